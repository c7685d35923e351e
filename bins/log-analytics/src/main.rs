//! Imports web server access logs into Matomo, each line exactly once.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::entry::run("log-analytics", log_analytics::run)
}
