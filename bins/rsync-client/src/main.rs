//! Keeps a key pair and fetches logs with rsync on a schedule.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::entry::run("rsync-client", rsync_client::run)
}
