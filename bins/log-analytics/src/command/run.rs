//! `run`: a pass at every slot of the schedule, until asked to stop.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::config;
use shared::entry::{Exit, Failure};
use shared::files::FileError;
use shared::health::{Health, Outcome};
use shared::health_http;
use shared::job::{Next, Report, RunResult, Signals, Trigger, read_again, say_status, too_many_failures};
use shared::schedule::{Schedule, Slots};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use super::past::Past;
use super::telling::{JOB, Telling, told};
use crate::config::{Settings, neighbours};
use crate::pipeline::{Pass, PassReport};

/// How long after its slot a pass may still be missing before the health says late.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// How often a pass under way says that it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5 * 60);
const SLOTS_SHOWN: usize = 3;

/// What changes from pass to pass.
struct Standing<'a> {
    settings: Settings,
    slots: Slots,
    health: Health,
    telling: Telling<'a>,
    past: Past,
    shutdown: &'a Shutdown,
    /// A first pass makes up for what went by while nothing ran, without a word.
    first: bool,
}

/// Imports on a schedule until asked to stop.
pub fn run() -> Result<Exit, Failure> {
    let settings = super::start()?;
    let shutdown = super::listen()?;
    announce(&schedule(&settings));
    super::block_on(serve(settings, &shutdown))?
}

fn schedule(settings: &Settings) -> Schedule {
    settings.cron.clone().in_zone(&settings.zone)
}

fn announce(schedule: &Schedule) {
    let runs = schedule.next_runs(Timestamp::now(), SLOTS_SHOWN);
    let shown = |slot: &Timestamp| slot.to_zoned(schedule.zone().clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string();
    let next = runs.iter().map(shown).collect::<Vec<_>>().join(", ");
    info!(schedule = schedule.in_words(), next, "Schedule");
}

async fn serve(settings: Settings, shutdown: &Shutdown) -> Result<Exit, Failure> {
    crate::ledger::Ledger::open(&settings.ledger_folder()).map_err(|error| {
        let help = error.help();
        Failure::new(Exit::CannotCreate, error).help(help)
    })?;
    let health = Health::start(settings.health_file(), Timestamp::now(), None).map_err(unwritable)?;
    let page = super::report::for_visitors(&settings);
    let _listening = health_http::listen_with(&settings.listen, JOB, health.file(), Some(page))?;
    let telling = Telling::new(&settings, shutdown)?;
    // A slot that went by while nothing ran is made up for at once; the first start counts as such.
    let since = health.state().last_success.unwrap_or(Timestamp::UNIX_EPOCH);
    let slots = Slots::after(schedule(&settings), since);
    let past = Past::of(&settings);
    let mut standing = Standing { settings, slots, health, telling, past, shutdown, first: true };
    super::watchdog::guard(shutdown, standing.settings.grace.get());
    written(standing.health.plan(standing.slots.next(), None));
    let mut signals = Signals::new(shutdown);
    while !shutdown.requested() {
        let slot = standing.slots.next();
        match signals.next(slot).await {
            Next::Stop => break,
            Next::Slot => standing.pass(Trigger::Schedule, slot).await?,
            Next::Run => {
                info!("Asked for a run");
                standing.pass(Trigger::Asked, None).await?;
            }
            Next::Status => say_status(&standing.health, slot),
            Next::Reload => standing.read_settings_again(),
        }
        let failures = standing.health.state().failures;
        if !shutdown.requested() && too_many_failures(standing.settings.failures_max, JOB, failures) {
            return Ok(Exit::Failed);
        }
    }
    info!("log-analytics stops, as asked");
    Ok(Exit::Done)
}

impl Standing<'_> {
    async fn pass(&mut self, trigger: Trigger, slot: Option<Timestamp>) -> Result<(), Failure> {
        if trigger != Trigger::Asked
            && let Some(reason) = self.past.too_soon(&self.settings)
        {
            info!(reason, "This run is left out: the job ran a short while ago");
            self.slots.after_run(Timestamp::now());
            self.plan();
            return Ok(());
        }
        self.health.run_started(Timestamp::now()).map_err(unwritable)?;
        let started = self.past.begins(trigger, slot);
        self.telling.begins().await;
        let report = alive(pass(&self.settings, self.shutdown), &mut self.health, &self.settings).await?;
        let missed = self.slots.after_run(Timestamp::now());
        if missed > 0 && !self.first {
            warn!(missed, "Pass took longer than the time between two slots");
        }
        self.first = false;
        let told = told(&report, self.shutdown);
        self.past.ended(started, &told);
        self.note(&told);
        self.plan();
        self.telling.ended(&told).await;
        super::report::rewrite(&self.settings);
        Ok(())
    }

    fn expected(&self) -> Option<Timestamp> {
        self.slots.next().map(|slot| slot + LATE_AFTER)
    }

    fn note(&mut self, report: &Report) {
        let outcome = if report.is_bad() { Outcome::Failure } else { Outcome::Success };
        if report.result != RunResult::Stopped {
            let expected = self.expected();
            written(self.health.run_ended(Timestamp::now(), outcome, &*report.sentence, expected));
        }
    }

    fn plan(&mut self) {
        let (next, expected) = (self.slots.next(), self.expected());
        written(self.health.plan(next, expected));
    }

    /// What is given as `NAME_FILE` may have changed. Folders stay where they are.
    fn read_settings_again(&mut self) {
        let fresh = || {
            let settings = config::from_env::<Settings>(&neighbours())?.settings;
            let telling = Telling::new(&settings, self.shutdown)?;
            Ok::<_, Failure>((settings, telling))
        };
        let notice = match read_again(fresh()) {
            Ok((settings, telling)) => {
                let schedule = schedule(&settings);
                announce(&schedule);
                self.slots.change(schedule, Timestamp::now());
                (self.settings, self.telling) = (settings, telling);
                None
            }
            Err(notice) => Some(notice),
        };
        written(self.health.notice(notice));
        self.plan();
    }
}

fn unwritable(error: FileError) -> Failure {
    let help = error.help();
    Failure::new(Exit::CannotCreate, error).help(help)
}

fn written(written: Result<(), FileError>) {
    if let Err(error) = written {
        warn!(why = crate::matomo::sentence(&error), help = error.help(), "Health cannot be written");
    }
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
