//! `run`: every job at the slots of its schedule, one at a time, until asked to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::config;
use shared::entry::{Exit, Failure};
use shared::files::FileError;
use shared::health::{self, Health};
use shared::health_http;
use shared::notify::Notifier;
use shared::schedule::{Slots, Waited, wait_until};
use shared::shutdown::{Asks, Shutdown};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{Start, start};
use crate::attempt::{Attempt, say_plan};
use crate::config::{Settings, neighbours};
use crate::history::State;
use crate::job::{self, Job};
use crate::outcome::{Class, Outcome};
use crate::place::Place;

/// How long after its slot a run may still be missing before the health says late.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// How often a run under way says that it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5 * 60);

/// A job and the slots it waits for.
struct Planned {
    job: Job,
    slots: Slots,
    missed_before: bool,
}

/// Runs the jobs on their schedules until asked to stop.
pub fn run() -> Result<Exit, Failure> {
    let begun = start()?;
    say_plan(&begun.jobs, Timestamp::now());
    super::block_on(serve(begun))?
}

async fn serve(mut begun: Start) -> Result<Exit, Failure> {
    let shutdown = begun.shutdown.clone();
    let mut planned = planned(&begun.jobs, &begun.state);
    let mut health = Health::start(begun.settings.health_file(), Timestamp::now(), None)?;
    health.plan(next_slot(&planned), next_slot(&planned).map(late_after))?;
    let _listening = health_http::listen(&begun.settings.listen, "archiver", health.file()).await?;
    let mut notifier = Notifier::new(&begun.settings.notify)?;
    let mut bad = bad_before(&begun.state);
    let mut signals = Signals::new(&shutdown);
    if planned.is_empty() {
        warn!("No job has a schedule: waiting to be stopped");
    }
    loop {
        let at = match signals.next(next_slot(&planned)).await {
            Next::Stop => break,
            Next::Slot => earliest(&planned),
            Next::Run => {
                info!("Asked for a run");
                // The first in the order of the settings: the archiving, unless it is off.
                Some(0)
            }
            Next::Status => {
                say_status(&health, next_slot(&planned));
                continue;
            }
            Next::Reload => {
                let notice = read_again(&mut begun, &mut planned);
                let slot = next_slot(&planned);
                told(health.notice(notice).and_then(|()| health.plan(slot, slot.map(late_after))));
                continue;
            }
        };
        let Some(next) = at.and_then(|at| planned.get_mut(at)) else { continue };
        health.run_started(Timestamp::now())?;
        notifier.run_started(&next.job.name, &shutdown).await;
        let Start { settings, place, state, .. } = &begun;
        let attempt = Attempt { settings, place, state, shutdown: &shutdown, dry_run: false };
        let outcome = alive(attempt.run(&next.job), &mut health).await?;
        let was_bad = bad.contains_key(&next.job.name);
        // A pause neither begins an incident nor ends one.
        if !(outcome.class.is_pause() && was_bad) {
            notifier.run_ended(&next.job.name, &outcome.report(), was_bad, &shutdown).await;
        }
        let missed = next.slots.after_run(Timestamp::now());
        if missed > 0 && !std::mem::take(&mut next.missed_before) {
            warn!(job = next.job.name, missed, "Slots went by while jobs were under way");
        }
        next.missed_before = false;
        note(&mut bad, &next.job.name, outcome.class, &outcome.sentence);
        let slot = next_slot(&planned);
        tell(&mut health, &outcome, &bad, slot);
        if shutdown.requested() {
            break;
        }
    }
    shutdown.say_stopped("archiver");
    Ok(Exit::Done)
}

/// What the loop does next.
enum Next {
    Stop,
    Slot,
    Run,
    Status,
    Reload,
}

/// What was asked for by signals and is not done yet. One that comes while a job runs is answered after it.
struct Signals<'a> {
    shutdown: &'a Shutdown,
    asks: watch::Receiver<Asks>,
    answered: Asks,
}

impl<'a> Signals<'a> {
    fn new(shutdown: &'a Shutdown) -> Self {
        Self { shutdown, asks: shutdown.asks(), answered: Asks::default() }
    }

    async fn next(&mut self, slot: Option<Timestamp>) -> Next {
        loop {
            let asked = *self.asks.borrow_and_update();
            let answered = &mut self.answered;
            for (asked, answered, next) in [
                (asked.status, &mut answered.status, Next::Status),
                (asked.reload, &mut answered.reload, Next::Reload),
                (asked.run, &mut answered.run, Next::Run),
            ] {
                if std::mem::replace(answered, asked) != asked {
                    return next;
                }
            }
            tokio::select! {
                waited = wait_until(slot, self.shutdown) => return if waited == Waited::Due { Next::Slot } else { Next::Stop },
                // The sender lives as long as the wish to stop.
                _ = self.asks.changed() => {}
            }
        }
    }
}

fn say_status(health: &Health, next: Option<Timestamp>) {
    let state = health.state();
    let shown = |moment: Option<Timestamp>| moment.map_or_else(|| "-".to_owned(), |moment| format!("{moment:.0}"));
    let (next, success) = (shown(next), shown(state.last_success));
    let last = state.last_outcome.as_deref().unwrap_or("no run has ended yet");
    let verdict = health::judge(state, Timestamp::now()).sentence();
    let (runs, failures) = (state.runs, state.failures);
    info!(next, runs, failures, last_success = success, last, health = verdict, "Status");
}

/// Settings, jobs and the place of Matomo anew; what cannot be used leaves the old in force, and answers with a notice.
fn read_again(begun: &mut Start, planned: &mut Vec<Planned>) -> Option<String> {
    let fresh = || {
        let settings = config::from_env::<Settings>(&neighbours())?.settings;
        let (jobs, place) = (job::plan(&settings)?, Place::find(&settings)?);
        super::fits(&jobs, &place)?;
        Ok::<_, Failure>((settings, jobs, place))
    };
    match fresh() {
        Ok((settings, jobs, place)) => {
            info!("Settings were read again");
            (begun.settings, begun.jobs, begun.place) = (settings, jobs, place);
            *planned = self::planned(&begun.jobs, &begun.state);
            say_plan(&begun.jobs, Timestamp::now());
            None
        }
        Err(failure) => {
            warn!(why = failure.to_string(), "Settings cannot be used; the old ones stay in force");
            Some("the settings could not be read again, and the old ones are in force".to_owned())
        }
    }
}

/// The job whose slot is the earliest; of two at the same slot, the first in the order of the settings.
fn earliest(planned: &[Planned]) -> Option<usize> {
    let slots = planned.iter().enumerate().filter_map(|(at, planned)| Some((planned.slots.next()?, at)));
    slots.min().map(|(_, at)| at)
}

fn next_slot(planned: &[Planned]) -> Option<Timestamp> {
    planned.iter().filter_map(|planned| planned.slots.next()).min()
}

/// Jobs whose last run in an earlier life was bad: an incident goes on across a restart.
fn bad_before(state: &State) -> BTreeMap<String, String> {
    let mut bad = BTreeMap::new();
    for run in state.runs().unwrap_or_default() {
        note(&mut bad, &run.job, run.outcome, &run.sentence);
    }
    bad
}

/// A job that ran before catches up once on what went by while nothing ran; a new one waits for its slot.
fn planned(jobs: &[Job], state: &State) -> Vec<Planned> {
    let now = Timestamp::now();
    let runs = state.runs().unwrap_or_default();
    let last_start = |job: &Job| runs.iter().rev().find(|run| run.job == job.name).map(|run| run.started.min(now));
    let scheduled = jobs.iter().filter_map(|job| Some((job, job.schedule.clone()?)));
    scheduled
        .map(|(job, schedule)| {
            let slots = Slots::after(schedule, last_start(job).unwrap_or(now));
            Planned { job: job.clone(), slots, missed_before: true }
        })
        .collect()
}

fn late_after(slot: Timestamp) -> Timestamp {
    slot.max(Timestamp::now()) + LATE_AFTER
}

/// Keeps the sentence of every job whose last run was bad. A pause says nothing, and a stop was wanted.
fn note(bad: &mut BTreeMap<String, String>, job: &str, class: Class, sentence: &str) {
    if class.is_good() {
        bad.remove(job);
    } else if !class.is_pause() && class != Class::Stopped {
        bad.insert(job.to_owned(), format!("{job} {class}: {sentence}"));
    }
}

fn tell(health: &mut Health, outcome: &Outcome, bad: &BTreeMap<String, String>, next: Option<Timestamp>) {
    let expected = next.map(late_after);
    let (verdict, sentence) = match bad.is_empty() {
        false => (health::Outcome::Failure, bad.values().cloned().collect::<Vec<_>>().join("; ")),
        true if outcome.class.is_pause() => (health::Outcome::Success, format!("paused: {}", outcome.sentence)),
        true if outcome.class == Class::Ok => (health::Outcome::Success, outcome.sentence.clone()),
        true => (health::Outcome::Success, format!("{}: {}", outcome.class, outcome.sentence)),
    };
    told(health.run_ended(Timestamp::now(), verdict, sentence, expected).and_then(|()| health.plan(next, expected)));
}

fn told(written: Result<(), FileError>) {
    if let Err(error) = written {
        warn!(why = crate::sentence(&error), help = error.help(), "Health cannot be written");
    }
}

/// Runs a job, and lets the health know while it takes long.
async fn alive<T>(job: impl Future<Output = T>, health: &mut Health) -> T {
    tokio::pin!(job);
    loop {
        tokio::select! {
            ended = &mut job => return ended,
            // A full disk is told at the end of the run.
            () = tokio::time::sleep(SIGN_OF_LIFE) => drop(health.expect_by(Timestamp::now() + LATE_AFTER)),
        }
    }
}
