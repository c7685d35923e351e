//! Imports web server access logs into Matomo, each line exactly once.
//!
//! The folders are the stages, in the order in which a line passes them.

pub mod discover;
pub mod file;
pub mod format;
pub mod hit;
pub mod merge;

pub mod ledger;
pub mod matomo;
pub mod pipeline;

pub mod id;

mod command;
pub mod config;
pub mod options;
pub mod report;
pub mod summary;
mod trouble;

pub use command::{Arguments, run};
