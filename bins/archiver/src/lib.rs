//! Runs Matomo's archiving and its sibling console jobs on time, one at a time, with an honest outcome.
//!
//! ```text
//! config.rs job.rs          what the operator wants: jobs, each with a schedule and a command line
//! installation.rs place.rs  where Matomo is: PHP and its console beside us, or web.rs behind an address
//! wait.rs matomo_config.rs database.rs   until it is configured and its database answers
//! attempt.rs                one run of one job: lock, neighbours, queue, child, outcome, history
//! transcript/ judge.rs outcome.rs   from what was said and how it ended to a class
//! queue.rs raw_data.rs prepare.rs   stuck rows, dates, links
//! history.rs                what ended how, and when
//! ```

pub mod attempt;
mod command;
pub mod config;
pub mod database;
pub mod history;
pub mod installation;
pub mod job;
pub mod judge;
pub mod matomo_config;
pub mod neighbour;
pub mod outcome;
pub mod place;
pub mod prepare;
pub mod queue;
pub mod raw_data;
pub mod transcript;
pub mod wait;
pub mod web;

pub use command::{Arguments, run};

pub(crate) use shared::words::sentence;
