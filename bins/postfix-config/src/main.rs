//! A mail relay that is right before it starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::entry::run("postfix-config", postfix_config::run)
}
