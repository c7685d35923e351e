//! The smallest sidecar: shared parts and nothing else. It exists to be tested.

mod command;
mod config;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::entry::run("sidecar", command::run)
}
