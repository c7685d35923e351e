//! `rehearse`: a restore that changes nothing.

use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::{RehearseOptions, block_on, start, tell};
use crate::session::Session;
use crate::trust::Trust;
use crate::{rehearse, set};

#[derive(Debug, Serialize)]
struct Planned<'v> {
    dry_run: bool,
    #[serde(flatten)]
    verified: &'v set::Verified,
}

/// Restores a set into a scratch database.
pub fn rehearse(options: &RehearseOptions) -> Result<Exit, Failure> {
    let (settings, shutdown) = start(options.report)?;
    if options.dry_run {
        let session = Session::reading(settings, shutdown);
        let found = session.shelf.find(&options.set)?;
        Trust::from(options.trust).judge(&session, &found)?;
        let verified = set::verify(&found, &session.shutdown)?;
        tell(options.report, &Planned { dry_run: true, verified: &verified }, || {
            format!("would restore {} rows of {} into a scratch database\n", verified.rows, verified.set)
        });
        return Ok(Exit::Done);
    }
    block_on(async {
        let session = Session::begin(settings, shutdown).await?;
        let found = session.shelf.find(&options.set)?;
        let rehearsal = rehearse::rehearse(&session, &found, options.trust.into()).await?;
        tell(options.report, &rehearsal, || format!("{}: {}\n", found.name, rehearsal.found));
        Ok(Exit::Done)
    })?
}
