//! Maintenance mode, backup, verified restore and upgrade guard for Matomo.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::entry::run("maintenance", maintenance::run)
}
