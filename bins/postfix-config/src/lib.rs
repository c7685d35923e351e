//! A mail relay that is right before it starts.
//!
//! ```text
//! value/        what a variable may hold, and what Postfix would take for something else
//! config/       the variables, and the decisions that several of them make together
//! main_cf.rs  master_cf.rs  password_map.rs  header_privacy.rs  replies.rs  sender.rs   the files, as text
//! mechanism.rs  how Postfix can log in
//! plan.rs       the files, as they come into their folder
//! postfix/      is all as it must be? then Postfix runs as our child
//! mail_log.rs   what it says;  outcome.rs  what it says about a test message;  waiting.rs  what waits in its queue;
//! circle.rs     mail that goes in circles
//! token/        access tokens, for a login without a password;  gate/  the way of mail that leaves with one
//! relay_probe/  a talk with the relay, step by step
//! ```

mod anonymize;
pub mod circle;
mod command;
pub mod config;
pub mod gate;
#[cfg(test)]
mod golden;
pub mod header_privacy;
pub mod mail_log;
pub mod main_cf;
pub mod master_cf;
pub mod mechanism;
pub mod outcome;
pub mod password_map;
pub mod plan;
pub mod postfix;
pub mod relay_probe;
pub mod replies;
pub mod sender;
pub mod token;
pub mod value;
pub mod waiting;

pub use command::{Arguments, run};
