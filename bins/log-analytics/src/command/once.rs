//! `once`: one pass.

use shared::entry::{Exit, Failure};

use crate::pipeline::Pass;

/// Imports what is there, and says by the exit code how it went.
pub fn once() -> Result<Exit, Failure> {
    let settings = super::start()?;
    let shutdown = super::listen()?;
    let matomo = settings.matomo().map_err(|error| Failure::new(Exit::Config, error))?;
    let report = super::block_on(Pass::new(&settings, matomo, &shutdown).run())?;
    super::report::rewrite(&settings);
    Ok(report.exit())
}
