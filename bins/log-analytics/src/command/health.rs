//! `health`: the answer of the container's health check.

use jiff::Timestamp;
use shared::entry::{Exit, Failure};
use shared::{config, health};

use crate::config::HealthSettings;

/// Says how `run` is, on one line; 0 for well, 1 for not.
pub fn health() -> Result<Exit, Failure> {
    let settings = config::from_env::<HealthSettings>(&config::Neighbours::default())?.settings;
    let verdict = health::answer(&settings.health_file(), Timestamp::now())?;
    super::say(&format!("{}\n", verdict.sentence()));
    Ok(verdict.exit())
}
