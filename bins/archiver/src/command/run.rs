//! `run`: every job at the slots of its schedule, one at a time, until asked to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::entry::{Exit, Failure};
use shared::health::{self, Health};
use shared::health_http;
use shared::notify::Notifier;
use shared::schedule::{Slots, Waited, wait_until};
use tracing::{info, warn};

use super::{Start, start};
use crate::attempt::{Attempt, say_plan};
use crate::history::State;
use crate::job::Job;
use crate::outcome::{Class, Outcome};

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
    super::block_on(serve(&begun))?
}

async fn serve(begun: &Start) -> Result<Exit, Failure> {
    let Start { settings, jobs, place, state, shutdown } = begun;
    let mut planned = planned(jobs, state);
    let mut health = Health::start(settings.health_file(), Timestamp::now(), None)?;
    health.plan(next_slot(&planned), next_slot(&planned).map(late_after))?;
    let _listening = health_http::listen(&settings.listen, "archiver", health.file()).await?;
    let mut notifier = Notifier::new(&settings.notify)?;
    let mut bad = bad_before(state);
    let attempt = Attempt { settings, place, state, shutdown, dry_run: false };
    if planned.is_empty() {
        warn!("No job has a schedule: waiting to be stopped");
        shutdown.wait().await;
    }
    while let Some(next) = earliest(&mut planned) {
        let Some(slot) = next.slots.next() else { break };
        if wait_until(slot, shutdown).await == Waited::Stopping {
            break;
        }
        health.run_started(Timestamp::now())?;
        notifier.run_started(&next.job.name, shutdown).await;
        let outcome = alive(attempt.run(&next.job), &mut health).await?;
        let was_bad = bad.contains_key(&next.job.name);
        // A pause neither begins an incident nor ends one.
        if !(outcome.class.is_pause() && was_bad) {
            notifier.run_ended(&next.job.name, &outcome.report(), was_bad, shutdown).await;
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
    info!("archiver stops, as asked");
    Ok(Exit::Done)
}

/// The job whose slot is the earliest; of two at the same slot, the first in the order of the settings.
fn earliest(planned: &mut [Planned]) -> Option<&mut Planned> {
    planned.iter_mut().filter(|planned| planned.slots.next().is_some()).min_by_key(|planned| planned.slots.next())
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
    let written =
        health.run_ended(Timestamp::now(), verdict, sentence, expected).and_then(|()| health.plan(next, expected));
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
