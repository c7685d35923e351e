//! `once`: one pass.

use shared::entry::{Exit, Failure};
use shared::job::Trigger;
use tracing::info;

use super::past::Past;
use super::telling::{Telling, told};
use crate::pipeline::Pass;

/// Imports what is there, and says by the exit code how it went.
pub fn once() -> Result<Exit, Failure> {
    let settings = super::start()?;
    let shutdown = super::listen()?;
    super::watchdog::guard(&shutdown, settings.grace.get());
    let past = Past::of(&settings);
    if let Some(reason) = past.too_soon(&settings) {
        info!(reason, "Nothing to do: the job ran a short while ago");
        return Ok(Exit::Done);
    }
    let matomo = settings.matomo().map_err(|error| Failure::new(Exit::Config, error))?;
    let mut telling = Telling::new(&settings, &shutdown)?;
    let started = past.begins(Trigger::Once, None);
    let report = super::block_on(async {
        telling.begins().await;
        let report = Pass::new(&settings, matomo, &shutdown).run().await;
        let told = told(&report, &shutdown);
        past.ended(started, &told);
        telling.ended(&told).await;
        report
    })?;
    super::report::rewrite(&settings);
    Ok(report.exit())
}
