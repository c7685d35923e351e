//! `run`: write, check, start, listen, stop.

use std::time::Instant;

use shared::entry::{Exit, Failure};
use shared::shutdown::Shutdown;
use tracing::info;

use crate::config::Settings;
use crate::postfix::{self, Checks, make_ready};

/// Runs Postfix until asked to stop.
pub fn run(without_checks: bool) -> Result<Exit, Failure> {
    let started = Instant::now();
    let settings = super::start()?;
    let shutdown = super::listen()?;
    let checks = if without_checks { Checks::Skipped } else { Checks::Made };
    super::block_on(serve(&settings, checks, &shutdown, started))?
}

async fn serve(settings: &Settings, checks: Checks, shutdown: &Shutdown, started: Instant) -> Result<Exit, Failure> {
    let postfix = tokio::select! {
        ready = make_ready(settings, checks) => ready?,
        () = shutdown.wait() => {
            info!("postfix-config stops before Postfix was started, as asked");
            return Ok(Exit::Done);
        }
    };
    postfix::run(&postfix, settings, shutdown, started).await
}
