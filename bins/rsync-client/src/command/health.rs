//! `health`: the answer of the container's health check.

use std::path::Path;

use jiff::Timestamp;
use shared::entry::{Exit, Failure};
use shared::{config, health};

use super::start::surroundings;
use crate::config::HealthSettings;

/// Says how each job is, one on a line; 0 when all are well, 1 when one is not.
pub fn health() -> Result<Exit, Failure> {
    let settings = config::from_env::<HealthSettings>(&config::Neighbours::default())?.settings;
    let jobs = settings.jobs(&surroundings()?);
    if let [(_, file)] = jobs.as_slice() {
        let (sentence, exit) = answer(file)?;
        super::say(&format!("{sentence}\n"));
        return Ok(exit);
    }
    let mut worst = Exit::Done;
    for (name, file) in &jobs {
        let (sentence, exit) = answer(file)?;
        super::say(&format!("{name}: {sentence}\n"));
        worst = if exit == Exit::Done { worst } else { exit };
    }
    Ok(worst)
}

fn answer(file: &Path) -> Result<(String, Exit), Failure> {
    let verdict = health::answer(file, Timestamp::now())?;
    Ok((verdict.sentence(), verdict.exit()))
}
