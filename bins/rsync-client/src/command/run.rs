//! `run`: a pass at every slot of the schedule, and the tasks at theirs, until asked to stop.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::entry::{Exit, Failure};
use shared::files::FileError;
use shared::health::{Health, Outcome};
use shared::schedule::{Schedule, Slots, Waited, wait_until};
use shared::shutdown::Shutdown;
use tokio::task::LocalSet;
use tracing::{error, info, warn};

use super::start::{Ready, ReadyTask};
use crate::history::{Entry, History};

/// How long after its slot a pass may still be missing before the health says late.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// How often a pass under way says that it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5 * 60);
const SLOTS_SHOWN: usize = 3;

/// Fetches on a schedule until asked to stop.
pub fn run() -> Result<Exit, Failure> {
    let settings = Ready::read()?;
    if settings.commands.is_none() && settings.tasks.0.is_empty() {
        return Err(Failure::new(Exit::Config, "there is nothing to do: neither RSYNC_COMMANDS nor any CRON_TASK_* is set")
            .help("set RSYNC_COMMANDS to the commands that fetch the logs; for a shell, run `sh` instead of `run`"));
    }
    let shutdown = super::listen()?;
    super::block_on(async {
        let ready = Ready::prepare(settings).await?;
        serve(&ready, &shutdown).await
    })?
}

async fn serve(ready: &Ready, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let state = ready.settings.state_folder();
    let folder = ready.settings.health_file();
    for folder in [Some(state.as_path()), folder.parent()].into_iter().flatten() {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::new(Exit::CannotCreate, format!("cannot make the folder {}: {error}", folder.display()))
                .help("mount the volume of the logs so that the user of this container may write, or set ANALYTICS_DIR")
        })?;
    }
    let health = Health::start(ready.settings.health_file(), Timestamp::now(), None)?;
    let here = LocalSet::new();
    for task in &ready.tasks {
        here.spawn_local(task.clone().serve(state.join("history.jsonl"), shutdown.clone()));
    }
    here.run_until(passes(ready, health, shutdown)).await?;
    // The tasks know the same wish to stop.
    here.await;
    info!("rsync-client stops, as asked");
    Ok(Exit::Done)
}

async fn passes(ready: &Ready, mut health: Health, shutdown: &Shutdown) -> Result<(), Failure> {
    if ready.plan.is_none() {
        shutdown.wait().await;
        return Ok(());
    }
    let schedule = ready.settings.cron.clone().in_zone(&ready.settings.zone);
    announce("rsync", &schedule);
    // A slot that went by while nothing ran is made up for at once; the first start counts as such.
    let since = health.state().last_success.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut slots = Slots::after(schedule, since);
    let mut first = true;
    while let Some(slot) = slots.next() {
        if wait_until(slot, shutdown).await == Waited::Stopping {
            break;
        }
        told(health.run_started(Timestamp::now()));
        let (outcome, sentence) = match alive(ready.pass(shutdown), &mut health).await {
            Ok(Some(report)) if report.exit() == Exit::Done => (Outcome::Success, report.sentence()),
            Ok(report) => (Outcome::Failure, report.map(|report| report.sentence()).unwrap_or_default()),
            // The next slot is another chance: a lock goes away, a disk gets room.
            Err(failure) => {
                let help = failure.help.as_deref().unwrap_or_default();
                error!(why = failure.error.to_string(), help, "Pass could not run");
                (Outcome::Failure, failure.error.to_string())
            }
        };
        let missed = slots.after_run(Timestamp::now());
        if missed > 0 && !std::mem::take(&mut first) {
            warn!(missed, "Pass took longer than the time between two slots, which are skipped");
        }
        first = false;
        if shutdown.requested() {
            break;
        }
        told(health.run_ended(Timestamp::now(), outcome, sentence, slots.next().map(|slot| slot + LATE_AFTER)));
    }
    Ok(())
}

/// Says when something runs, in words.
fn announce(job: &str, schedule: &Schedule) {
    let zone = schedule.zone().clone();
    let next = schedule.next_runs(Timestamp::now(), SLOTS_SHOWN);
    let next = next.iter().map(|slot| slot.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string());
    info!(job, schedule = schedule.in_words(), next = next.collect::<Vec<_>>().join(", "), "Schedule");
}

fn told(written: Result<(), FileError>) {
    if let Err(error) = written {
        warn!(why = error.source.to_string(), file = %error.path.display(), help = error.help(), "Health cannot be written");
    }
}

/// Runs a pass, and lets the health know while it takes long.
async fn alive<T>(pass: impl Future<Output = T>, health: &mut Health) -> T {
    tokio::pin!(pass);
    loop {
        tokio::select! {
            report = &mut pass => return report,
            () = tokio::time::sleep(SIGN_OF_LIFE) => told(health.expect_by(Timestamp::now() + LATE_AFTER)),
        }
    }
}

impl ReadyTask {
    /// Runs the task at each of its slots, never twice at once.
    async fn serve(self, history: std::path::PathBuf, shutdown: Shutdown) {
        announce(&self.label, &self.schedule);
        let mut slots = Slots::after(self.schedule.clone(), Timestamp::now());
        let mut history = History::open(&history);
        while let Some(slot) = slots.next() {
            if wait_until(slot, &shutdown).await == Waited::Stopping {
                return;
            }
            info!(command = self.label, what = self.unit.shown, "Task starts");
            match self.conditions.run(&self.label, &self.unit, &shutdown, |_| {}).await {
                Ok(report) => history.add(&Entry::of(&self.label, &self.unit.shown, &report)),
                Err(error) => error!(command = self.label, why = error.to_string(), "Task cannot be started"),
            }
            let missed = slots.after_run(Timestamp::now());
            if missed > 0 {
                warn!(command = self.label, missed, "Task took longer than the time between two slots, which are skipped");
            }
        }
    }
}
