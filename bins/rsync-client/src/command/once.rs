//! `once`: one pass.

use shared::entry::{Exit, Failure};
use shared::job::Run;

use super::start::Ready;

/// Fetches once, and says by the exit code how it went.
pub fn once() -> Result<Exit, Failure> {
    let settings = Ready::read()?;
    let shutdown = super::listen()?;
    super::block_on(async {
        let ready = Ready::prepare(settings).await?;
        let Some(plan) = &ready.plan else {
            return Err(Failure::new(Exit::Config, "RSYNC_COMMANDS is not set")
                .help("set it to the commands that fetch the logs"));
        };
        ready.job()?.once(&shutdown, async |run: &Run| ready.pass(plan, &run.shutdown).await).await
    })?
}
