//! `history`: the last passes.

use shared::config;
use shared::entry::{Exit, Failure};
use shared::job::History;

use super::telling::JOB;
use crate::config::HealthSettings;

/// Shows the last passes, the oldest first.
pub fn history(json: bool) -> Result<Exit, Failure> {
    let settings = config::from_env::<HealthSettings>(&config::Neighbours::default())?.settings;
    let history = History::of(&settings.ledger_folder(), JOB);
    super::say(&if json { history.as_json()? } else { history.as_text()? });
    Ok(Exit::Done)
}
