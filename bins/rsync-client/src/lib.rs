//! Keeps a key pair and fetches logs with rsync on a schedule.
//!
//! [`script`] reads what operators write, [`ssh`] keeps keys and hosts, [`pass`] runs the commands one after the other and
//! judges how they ended ([`ending`], [`statistics`]), [`site`] knows when logs last arrived. [`server`] is the other side: what
//! others may fetch from here.

pub mod announce;
pub mod attempt;
pub mod config;
pub mod daemon;
pub mod ending;
pub mod history;
pub mod negotiation;
pub mod pass;
pub mod plan;
pub mod script;
pub mod server;
pub mod site;
pub mod ssh;
pub mod statistics;
pub mod streams;
pub mod tally;
pub mod task;

mod command;

pub use command::{Arguments, run};
