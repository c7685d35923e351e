//! Runs Matomo's archiving and its sibling console jobs on time, one at a time, with an honest outcome.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::entry::run("archiver", archiver::run)
}
