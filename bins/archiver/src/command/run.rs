//! `run`: every job at the slots of its schedule, one at a time, until asked to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::config;
use shared::entry::{Exit, Failure};
use shared::files::FileError;
use shared::health::{self, Health};
use shared::health_http;
use shared::job::{Next, Signals, read_again, say_status, too_many_failures};
use shared::notify::Notifier;
use shared::schedule::Slots;
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

/// A job whose last run was bad.
#[derive(Default)]
struct Bad {
    sentence: String,
    /// Runs of this life that failed in a row.
    failures: u64,
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
    let _listening = health_http::listen(&begun.settings.listen, "archiver", health.file())?;
    let mut notifier = Notifier::new(&begun.settings.notify)?;
    if next_slot(&planned).is_none_or(|slot| slot > Timestamp::now()) {
        let Start { settings, place, state, .. } = &begun;
        Attempt { settings, place, state, shutdown: &shutdown, dry_run: false }.look_back().await?;
    }
    let mut bad = bad_before(&begun.state);
    let mut signals = Signals::new(&shutdown);
    if planned.is_empty() {
        warn!("No job has a schedule: waiting to be stopped");
    }
    loop {
        let wanted = signals.next(next_slot(&planned)).await;
        let at = match wanted {
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
                let notice = read_settings_again(&mut begun, &mut planned);
                let slot = next_slot(&planned);
                told(health.notice(notice).and_then(|()| health.plan(slot, slot.map(late_after))));
                continue;
            }
        };
        let Some(next) = at.and_then(|at| planned.get_mut(at)) else { continue };
        let Start { settings, place, state, .. } = &begun;
        let attempt = Attempt { settings, place, state, shutdown: &shutdown, dry_run: false };
        if wanted == Next::Slot
            && let Some(reason) = attempt.too_soon(&next.job)
        {
            info!(job = next.job.name, reason, "This run is left out: the job ran a short while ago");
            next.slots.after_run(Timestamp::now());
            let slot = next_slot(&planned);
            told(health.plan(slot, slot.map(late_after)));
            continue;
        }
        health.run_started(Timestamp::now())?;
        notifier.run_started(&next.job.name, &shutdown).await;
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
        let name = next.job.name.clone();
        note(&mut bad, &name, outcome.class, &outcome.sentence);
        let slot = next_slot(&planned);
        tell(&mut health, &outcome, &bad, slot);
        if shutdown.requested() {
            break;
        }
        let failures = bad.get(&name).map_or(0, |bad| bad.failures);
        if too_many_failures(begun.settings.failures_max, &name, failures) {
            return Ok(Exit::Failed);
        }
    }
    shutdown.say_stopped("archiver");
    Ok(Exit::Done)
}

/// Settings, jobs and the place of Matomo anew; what cannot be used leaves the old in force, and answers with a notice.
fn read_settings_again(begun: &mut Start, planned: &mut Vec<Planned>) -> Option<String> {
    let fresh = || {
        let settings = config::from_env::<Settings>(&neighbours())?.settings;
        let (jobs, place) = (job::plan(&settings)?, Place::find(&settings)?);
        super::fits(&jobs, &place)?;
        Ok::<_, Failure>((settings, jobs, place))
    };
    match read_again(fresh()) {
        Ok((settings, jobs, place)) => {
            (begun.settings, begun.jobs, begun.place) = (settings, jobs, place);
            *planned = self::planned(&begun.jobs, &begun.state);
            say_plan(&begun.jobs, Timestamp::now());
            None
        }
        Err(notice) => Some(notice),
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
fn bad_before(state: &State) -> BTreeMap<String, Bad> {
    let mut bad = BTreeMap::new();
    for run in state.runs().unwrap_or_default() {
        note(&mut bad, &run.job, run.outcome, &run.sentence);
    }
    bad.values_mut().for_each(|bad| bad.failures = 0);
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
fn note(bad: &mut BTreeMap<String, Bad>, job: &str, class: Class, sentence: &str) {
    if class.is_good() {
        bad.remove(job);
    } else if class.is_failure() {
        let bad = bad.entry(job.to_owned()).or_default();
        bad.sentence = format!("{job} {class}: {sentence}");
        bad.failures += 1;
    }
}

fn tell(health: &mut Health, outcome: &Outcome, bad: &BTreeMap<String, Bad>, next: Option<Timestamp>) {
    let expected = next.map(late_after);
    let (verdict, sentence) = match bad.is_empty() {
        false => {
            (health::Outcome::Failure, bad.values().map(|bad| bad.sentence.as_str()).collect::<Vec<_>>().join("; "))
        }
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
