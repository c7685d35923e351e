//! One run of a job: alone (a lock), not too soon (a guard), recorded, tried again when that may help.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::{
    guard::too_soon,
    history::{History, Record},
    options::{AtStart, JobOptions},
    pace::Pace,
    report::{Report, Result as RunResult},
};
use crate::{
    entry::Failure,
    files::{FileError, Lock},
    shutdown::Shutdown,
    words::length_in_words,
};

/// Between two looks at a lock that somebody else holds.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Why a run happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// Its time has come.
    Schedule,
    /// Its time went by while nothing could run.
    Catchup,
    /// The program started.
    Start,
    /// Somebody sent USR1.
    Asked,
    /// `once`.
    Once,
}

impl Trigger {
    /// The word that histories show.
    pub fn word(self) -> &'static str {
        match self {
            Trigger::Schedule => "schedule",
            Trigger::Catchup => "catch-up",
            Trigger::Start => "start",
            Trigger::Asked => "asked",
            Trigger::Once => "once",
        }
    }
}

/// What a run knows about itself.
#[derive(Debug)]
pub struct Run {
    /// Why it happens.
    pub trigger: Trigger,
    /// The time of the schedule that it serves, if any.
    pub slot: Option<Timestamp>,
    /// Counted from 1; more than that after a failure that may pass.
    pub attempt: u32,
    /// The wish to stop this run: because the program stops, or for a newer run.
    pub shutdown: Shutdown,
}

/// What became of the intention to run.
#[derive(Debug)]
pub(super) enum Round {
    /// It ran; and whether the run before it was bad.
    Ran(Report, bool),
    /// It ran not long ago.
    TooSoon(String),
    /// Somebody else runs the job, or has just served this slot.
    Elsewhere(String),
    /// We are stopping.
    Stopping,
}

/// The ground of all runs of one job.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) name: String,
    pub(super) state_folder: PathBuf,
    pub(super) history: History,
}

impl Ground {
    /// The file whose holder may run the job.
    pub(super) fn lock(&self) -> PathBuf {
        self.state_folder.join(format!("{}.lock", self.name))
    }

    /// Takes the job's lock, waiting for it at most this long.
    async fn take_lock(&self, patience: Duration, shutdown: &Shutdown) -> Result<Option<Lock>, FileError> {
        let begin = Instant::now();
        loop {
            if let Some(lock) = Lock::try_take(&self.lock())? {
                return Ok(Some(lock));
            }
            if shutdown.requested_at_all() || begin.elapsed() >= patience {
                return Ok(None);
            }
            tokio::select! {
                () = shutdown.wait_at_all() => return Ok(None),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Runs the job once, if nothing speaks against it.
    pub(super) async fn run(
        &self,
        options: &JobOptions,
        patience: Duration,
        run: Run,
        body: &mut impl AsyncFnMut(&Run) -> Report,
    ) -> Result<Round, Failure> {
        fs::create_dir_all(&self.state_folder)
            .map_err(|source| FileError::new("create", &self.state_folder, source))?;
        let Some(_lock) = self.take_lock(patience, &run.shutdown).await? else {
            if run.shutdown.requested_at_all() {
                return Ok(Round::Stopping);
            }
            return Ok(Round::Elsewhere(format!(
                "another process runs {} and holds {}",
                self.name,
                self.lock().display()
            )));
        };
        let runs = self.history.read()?;
        if let Some(reason) = reason_to_wait(options, &runs, &run) {
            return Ok(reason);
        }
        let was_bad = was_bad(&runs);
        let started = Timestamp::now();
        let (slot, trigger) = (run.slot, run.trigger);
        let record =
            Record { started, ended: None, slot, trigger, result: None, exit: None, sentence: "running".to_owned() };
        self.history.begin(runs, record)?;
        info!(job = self.name, trigger = trigger.word(), "Run starts");
        let report = attempts(options, run, body).await;
        self.tell(&report, started);
        if let Err(error) = self.history.end(started, Timestamp::now(), &report) {
            let help = error.help();
            error!(error = &error as &(dyn std::error::Error + 'static), help, "The end of a run cannot be recorded");
        }
        Ok(Round::Ran(report, was_bad))
    }

    fn tell(&self, report: &Report, started: Timestamp) {
        let took = Duration::try_from(started.duration_until(Timestamp::now())).unwrap_or_default();
        let (job, result, took) = (&self.name, report.result.word(), length_in_words(took));
        let (exit, outcome) = (report.exit.code(), &report.sentence);
        match report.result {
            RunResult::Success | RunResult::Stopped => info!(job, result, exit, took, outcome, "Run ended"),
            RunResult::Suspicious => warn!(job, result, exit, took, outcome, "Run ended"),
            _ => error!(job, result, exit, took, outcome, "Run ended"),
        }
    }
}

/// Whether the last run that came to an end of its own was bad.
fn was_bad(runs: &[Record]) -> bool {
    let own = runs.iter().rev().find(|run| run.came_to_its_end());
    own.and_then(|run| run.result).is_some_and(RunResult::is_bad)
}

/// The guard against a loop of restarts, and against a second runner that served the slot already.
fn reason_to_wait(options: &JobOptions, runs: &[Record], run: &Run) -> Option<Round> {
    let last = runs.last()?;
    // A run that was cut short serves no slot; whoever has the lock of the job knows that one without an end was.
    let served = runs.iter().rev().find(|run| run.came_to_its_end()).and_then(|run| run.slot);
    let always = run.trigger == Trigger::Start && options.at_start == AtStart::Yes;
    if let Some(slot) = run.slot.filter(|slot| !always && served.is_some_and(|served| served >= *slot)) {
        return Some(Round::Elsewhere(format!("the run of {slot} was done already")));
    }
    if run.trigger == Trigger::Asked {
        return None;
    }
    too_soon(options.min_interval.as_ref(), Some(last.started), Timestamp::now()).map(Round::TooSoon)
}

async fn attempts(options: &JobOptions, mut run: Run, body: &mut impl AsyncFnMut(&Run) -> Report) -> Report {
    let pace = Pace::between_attempts(options);
    loop {
        let report = body(&run).await;
        let last = u64::from(run.attempt) >= options.attempts.get();
        if !report.is_bad() || !report.may_retry || last || run.shutdown.requested_at_all() {
            if last && options.attempts.get() > 1 && report.is_bad() {
                warn!(attempts = run.attempt, "No further attempt is made");
            }
            return report;
        }
        let pause = pace.wait_after(run.attempt);
        warn!(
            attempt = run.attempt,
            pause = length_in_words(pause),
            outcome = report.sentence,
            "A run failed and is tried again"
        );
        tokio::select! {
            () = run.shutdown.wait_at_all() => return report,
            () = tokio::time::sleep(pause) => run.attempt += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Neighbours, read};

    const SLOT: i64 = 1_767_225_600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Whether a run for the same slot is left out after one that ended so.
    fn is_left_out(settings: &[(&str, &str)], trigger: Trigger, result: Option<RunResult>) -> bool {
        let options = read::<JobOptions>(settings.iter().copied(), &Neighbours::default()).unwrap().settings;
        let earlier = Record {
            started: at(SLOT),
            ended: None,
            slot: Some(at(SLOT)),
            trigger: Trigger::Schedule,
            result,
            exit: None,
            sentence: String::new(),
        };
        let run = Run { trigger, slot: Some(at(SLOT)), attempt: 1, shutdown: Shutdown::never() };
        reason_to_wait(&options, &[earlier], &run).is_some()
    }

    #[test]
    fn a_slot_is_served_once_by_runs_that_came_to_their_end() {
        for trigger in [Trigger::Schedule, Trigger::Catchup, Trigger::Start] {
            assert!(is_left_out(&[], trigger, Some(RunResult::Success)));
            assert!(is_left_out(&[], trigger, Some(RunResult::Failure)));
            assert!(!is_left_out(&[], trigger, Some(RunResult::Stopped)), "a container was stopped meanwhile");
            assert!(!is_left_out(&[], trigger, Some(RunResult::Interrupted)));
            assert!(!is_left_out(&[], trigger, None), "a run without an end died");
        }
    }

    #[test]
    fn yes_runs_at_every_start_but_not_in_a_loop() {
        const YES: (&str, &str) = ("RUN_AT_START", "yes");
        assert!(!is_left_out(&[YES], Trigger::Start, Some(RunResult::Success)));
        assert!(is_left_out(&[YES], Trigger::Schedule, Some(RunResult::Success)), "a second runner served the slot");
        let long = format!("{}s", Timestamp::now().as_second() - SLOT + 3600);
        assert!(is_left_out(&[YES, ("MIN_INTERVAL", &long)], Trigger::Start, Some(RunResult::Success)));
    }
}
