//! `run`: write, check, start, listen, stop.

use std::time::{Duration, Instant};

use shared::entry::{Exit, Failure};
use shared::shutdown::Shutdown;
use tracing::info;

use crate::config::Settings;
use crate::gate::Gate;
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
    let prepare = async {
        let postfix = make_ready(settings, checks).await?;
        let mut gate = Gate::open(settings)?;
        let renewal = match &mut gate {
            Some(gate) => gate.begin().await,
            None => Duration::MAX,
        };
        Ok::<_, Failure>((postfix, gate, renewal))
    };
    let (postfix, gate, renewal) = tokio::select! {
        ready = prepare => ready?,
        () = shutdown.wait() => {
            info!("postfix-config stops before Postfix was started, as asked");
            return Ok(Exit::Done);
        }
    };
    let tokens = async {
        match gate {
            Some(gate) => gate.keep(renewal).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = postfix::run(&postfix, settings, shutdown, started) => ended,
        never = tokens => match never {},
    }
}
