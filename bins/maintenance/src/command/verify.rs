//! `verify`: is a set whole?

use shared::entry::{Exit, Failure};

use super::{SetOptions, reading, tell};
use crate::{plugins, set};

/// Reads a set to its last byte.
pub fn verify(options: &SetOptions) -> Result<Exit, Failure> {
    let session = reading()?;
    let found = session.shelf.find(&options.set)?;
    let verified = set::verify(&found, &session.shutdown)?;
    let key = session.settings.backup_key.as_ref();
    key.map_or(Ok(()), |key| key.demand(&found))?;
    let seal = if key.is_some() { "; its seal is good" } else { "" };
    plugins::judge(&session.place, &found)?;
    tell(options.report, &verified, || {
        format!(
            "{} is whole: {} members, {} bytes, {} tables, {} rows{seal}\n",
            verified.set, verified.members, verified.bytes, verified.tables, verified.rows
        )
    });
    Ok(Exit::Done)
}
