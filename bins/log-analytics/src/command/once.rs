//! `once`: one pass.

use shared::entry::{Exit, Failure};

use super::telling::{Telling, told};
use crate::pipeline::Pass;

/// Imports what is there, and says by the exit code how it went.
pub fn once() -> Result<Exit, Failure> {
    let settings = super::start()?;
    let shutdown = super::listen()?;
    let matomo = settings.matomo().map_err(|error| Failure::new(Exit::Config, error))?;
    let mut telling = Telling::new(&settings, &shutdown)?;
    let report = super::block_on(async {
        telling.begins().await;
        let report = Pass::new(&settings, matomo, &shutdown).run().await;
        telling.ended(&told(&report, &shutdown)).await;
        report
    })?;
    super::report::rewrite(&settings);
    Ok(report.exit())
}
