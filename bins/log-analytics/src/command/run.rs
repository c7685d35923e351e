//! `run`: a pass at every slot of the schedule, until asked to stop.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::entry::{Exit, Failure};
use shared::files::FileError;
use shared::health::{Health, Outcome};
use shared::health_http;
use shared::job::RunResult;
use shared::schedule::{Schedule, Slots, Waited, wait_until};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use super::telling::{JOB, Telling, told};
use crate::config::Settings;
use crate::pipeline::{Pass, PassReport};

/// How long after its slot a pass may still be missing before the health says late.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// How often a pass under way says that it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5 * 60);
const SLOTS_SHOWN: usize = 3;

/// Imports on a schedule until asked to stop.
pub fn run() -> Result<Exit, Failure> {
    let settings = super::start()?;
    let shutdown = super::listen()?;
    let schedule = settings.cron.clone().in_zone(&settings.zone);
    let zone = schedule.zone().clone();
    let next: Vec<String> = schedule
        .next_runs(Timestamp::now(), SLOTS_SHOWN)
        .iter()
        .map(|slot| slot.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string())
        .collect();
    info!(schedule = schedule.in_words(), next = next.join(", "), "Schedule");
    super::block_on(serve(&settings, schedule, &shutdown))?
}

async fn serve(settings: &Settings, schedule: Schedule, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let unwritable = |error: FileError| {
        let help = error.help();
        Failure::new(Exit::CannotCreate, error).help(help)
    };
    let ledger = settings.ledger_folder();
    crate::ledger::Ledger::open(&ledger).map_err(|error| {
        let help = error.help();
        Failure::new(Exit::CannotCreate, error).help(help)
    })?;
    let mut health = Health::start(settings.health_file(), Timestamp::now(), None).map_err(unwritable)?;
    let page = super::report::for_visitors(settings);
    let _listening = health_http::listen_with(&settings.listen, JOB, health.file(), Some(page)).await?;
    let mut telling = Telling::new(settings, shutdown)?;
    // A slot that went by while nothing ran is made up for at once; the first start counts as such.
    let since = health.state().last_success.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut slots = Slots::after(schedule, since);
    let mut first = true;
    while let Some(slot) = slots.next() {
        if wait_until(slot, shutdown).await == Waited::Stopping {
            break;
        }
        health.run_started(Timestamp::now()).map_err(unwritable)?;
        telling.begins().await;
        let report = alive(pass(settings, shutdown), &mut health, settings).await?;
        let missed = slots.after_run(Timestamp::now());
        if missed > 0 && !std::mem::take(&mut first) {
            warn!(missed, "Pass took longer than the time between two slots");
        }
        first = false;
        let told = told(&report, shutdown);
        let outcome = if told.is_bad() { Outcome::Failure } else { Outcome::Success };
        let expected = slots.next().map(|slot| slot + LATE_AFTER);
        let stopped = told.result == RunResult::Stopped;
        if !stopped && let Err(error) = health.run_ended(Timestamp::now(), outcome, &*told.sentence, expected) {
            warn!(why = crate::matomo::sentence(&error), help = error.help(), "Health cannot be written");
        }
        telling.ended(&told).await;
        super::report::rewrite(settings);
        if shutdown.requested() {
            break;
        }
    }
    info!("log-analytics stops, as asked");
    Ok(Exit::Done)
}

async fn pass(settings: &Settings, shutdown: &Shutdown) -> Result<PassReport, Failure> {
    let matomo = settings.matomo().map_err(|error| Failure::new(Exit::Config, error))?;
    Ok(Pass::new(settings, matomo, shutdown).run().await)
}

/// Runs a pass; while it takes long, lets the health know and keeps the page fresh.
async fn alive<T>(pass: impl Future<Output = T>, health: &mut Health, settings: &Settings) -> T {
    tokio::pin!(pass);
    loop {
        tokio::select! {
            report = &mut pass => return report,
            () = tokio::time::sleep(SIGN_OF_LIFE) => {
                // A full disk is told by the ledger, in better words.
                let _ = health.expect_by(Timestamp::now() + LATE_AFTER);
                super::report::rewrite(settings);
            }
        }
    }
}
