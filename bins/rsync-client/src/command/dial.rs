//! `dial`: the connection to an rsync daemon, which our `rsync` asks for, given up when it goes silent.

use std::time::Duration;

use shared::entry::{Exit, Failure};

use crate::daemon;

/// Connects standard input and output to a host, until one side ends or nothing is heard.
pub fn dial(connect_seconds: u64, idle_seconds: u64, port: u16, host: &str) -> Result<Exit, Failure> {
    let (connect, idle) = (Duration::from_secs(connect_seconds), Duration::from_secs(idle_seconds));
    super::block_on(daemon::connect(host, port, connect, idle))??;
    Ok(Exit::Done)
}
