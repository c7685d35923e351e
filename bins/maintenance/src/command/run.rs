//! `run`: a backup at every slot of the schedule, until asked to stop.

use jiff::{SignedDuration, Timestamp};
use shared::entry::{Exit, Failure};
use shared::health::{Health, Outcome};
use shared::schedule::{Slots, Waited, wait_until};
use shared::shutdown::Shutdown;
use tracing::{error, info, warn};

use super::{Report, block_on, start};
use crate::config::Settings;
use crate::session::Session;
use crate::set::{Kind, verify};
use crate::{backup, rehearse, sentence};

const SLOTS_SHOWN: usize = 3;

/// Takes backups on a schedule.
pub fn run() -> Result<Exit, Failure> {
    let (settings, shutdown) = start(Report { json: false })?;
    block_on(serve(&settings, &shutdown))?
}

async fn serve(settings: &Settings, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let schedule = settings.cron.clone().in_zone(&settings.zone);
    let zone = schedule.zone().clone();
    let shown = schedule.next_runs(Timestamp::now(), SLOTS_SHOWN);
    let next: Vec<String> =
        shown.iter().map(|slot| slot.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string()).collect();
    info!(schedule = schedule.in_words(), next = next.join(", "), "Schedule");
    // What an interrupted run left is repaired now, not at the next slot.
    if let Err(failure) = Session::begin(settings.clone(), shutdown.clone()).await {
        error!(why = sentence(failure.error.as_ref()), help = failure.help, "An interrupted run cannot be repaired yet");
        if failure.exit == Exit::CannotCreate {
            return Err(failure);
        }
    }
    let late = SignedDuration::try_from(settings.timeout.get()).unwrap_or(SignedDuration::from_hours(6));
    let due = |slots: &Slots| slots.next().map(|slot| slot + late);
    let first = Slots::after(schedule.clone(), Timestamp::now());
    let mut health = Health::start(settings.health_file(), Timestamp::now(), due(&first))?;
    // A backup that was missed while nothing ran is made up for at once; a first start waits for its slot.
    let since = health.state().last_success.unwrap_or_else(Timestamp::now);
    let mut slots = Slots::after(schedule, since);
    while let Some(slot) = slots.next() {
        if wait_until(slot, shutdown).await == Waited::Stopping {
            break;
        }
        health.run_started(Timestamp::now())?;
        let (outcome, words) = one(settings, shutdown).await;
        let missed = slots.after_run(Timestamp::now());
        if missed > 0 {
            warn!(missed, "Slots went by without a backup of their own");
        }
        if let Err(error) = health.run_ended(Timestamp::now(), outcome, words, due(&slots)) {
            warn!(why = sentence(&error), help = error.help(), "Health cannot be written");
        }
        if shutdown.requested() {
            break;
        }
    }
    info!("maintenance stops, as asked");
    Ok(Exit::Done)
}

/// One backup, verified, and rehearsed if asked for.
async fn one(settings: &Settings, shutdown: &Shutdown) -> (Outcome, String) {
    match attempt(settings, shutdown).await {
        Ok(words) => (Outcome::Success, words),
        Err(failure) => {
            let why = sentence(failure.error.as_ref());
            error!(why, help = failure.help, "Backup failed");
            (Outcome::Failure, why)
        }
    }
}

async fn attempt(settings: &Settings, shutdown: &Shutdown) -> Result<String, Failure> {
    let session = Session::begin(settings.clone(), shutdown.clone()).await?;
    let set = backup::backup(&session, Kind::Backup, settings.lock_backups).await?;
    let verified = verify(&set, shutdown)?;
    if settings.rehearse {
        rehearse::rehearse(&session, &set).await?;
    }
    Ok(format!("backup {} with {} rows", set.name, verified.rows))
}
