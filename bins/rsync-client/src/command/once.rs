//! `once`: one pass.

use shared::entry::{Exit, Failure};

use super::start::Ready;

/// Fetches once, and says by the exit code how it went.
pub fn once() -> Result<Exit, Failure> {
    let settings = Ready::read()?;
    let shutdown = super::listen()?;
    super::block_on(async {
        let ready = Ready::prepare(settings).await?;
        let report = ready.pass(&shutdown).await?;
        report.map(|report| report.exit()).ok_or_else(|| {
            Failure::new(Exit::Config, "RSYNC_COMMANDS is not set").help("set it to the commands that fetch the logs")
        })
    })?
}
