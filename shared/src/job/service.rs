//! The loop of a served job: wait for its time or for a signal, run it, tell the world.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use super::{
    beginning::announce,
    guard::too_many_failures,
    pace,
    report::{Report, Result as RunResult},
    round::{Round, Run, Trigger},
    serve::{Job, Reload},
    signals::read_again,
    told::Told,
};
use crate::{
    entry::{Exit, Failure},
    files::FileError,
    health::{Health, Outcome},
    schedule::{Due, Slots, Waited, wait_until},
    shutdown::{Asks, Shutdown},
    words::{length_in_words, whole_seconds},
};

/// What changes while the job is served.
pub(super) struct Standing {
    pub(super) slots: Slots,
    pub(super) health: Health,
    pub(super) asks: watch::Receiver<Asks>,
    asked: Asks,
    /// A run is wanted outside the schedule.
    pub(super) run_soon: Option<Trigger>,
    pub(super) said_skipped: Option<(Instant, u64)>,
}

pub(super) struct Service<'a, 'r> {
    pub(super) job: &'a Job,
    pub(super) told: Told,
    pub(super) state: Standing,
    pub(super) shutdown: &'a Shutdown,
    pub(super) reload: Option<Reload<'r>>,
}

impl Standing {
    pub(super) fn new(slots: Slots, health: Health, shutdown: &Shutdown) -> Self {
        let mut asks = shutdown.asks();
        // What was asked for before anybody could listen is answered first.
        asks.mark_changed();
        Self { slots, health, asks, asked: Asks::default(), run_soon: None, said_skipped: None }
    }
}

/// What a served job waits for.
enum Next {
    Run(Trigger, Option<Due>),
    Stop,
}

impl Service<'_, '_> {
    pub(super) async fn serve(mut self, body: &mut impl AsyncFnMut(&Run) -> Report) -> Result<Exit, Failure> {
        let mut first = true;
        loop {
            self.plan();
            match self.next().await {
                Next::Stop => break,
                Next::Run(trigger, due) => {
                    let trigger = if first && trigger == Trigger::Schedule && due.is_some_and(|due| due.missed > 0) {
                        Trigger::Start
                    } else {
                        trigger
                    };
                    self.run(trigger, due, first, body).await?;
                    first = false;
                }
            }
            if self.shutdown.requested() {
                break;
            }
            let failures = self.state.health.state().failures;
            if too_many_failures(self.job.options.failures_max, &self.job.ground.name, failures) {
                return Ok(Exit::Failed);
            }
        }
        self.shutdown.say_stopped(&self.job.ground.name);
        Ok(Exit::Done)
    }

    fn delay(&self) -> Duration {
        pace::delay(self.job.options.jitter.get(), &pace::host(), &self.job.ground.name)
    }

    fn late_after(&self) -> SignedDuration {
        SignedDuration::try_from(self.job.options.late_after.get() + self.delay()).unwrap_or(SignedDuration::MAX)
    }

    /// Lets the health know until when the next run must have ended.
    fn plan(&mut self) {
        let next = self.state.slots.next();
        let by = next.and_then(|slot| slot.max(Timestamp::now()).checked_add(self.late_after()).ok());
        // A long run is no lateness: the time of the schedule counts, and the end of the run sets it anew.
        let planned = self.state.health.plan(next, by);
        self.written(planned);
    }

    fn written(&self, written: Result<(), FileError>) {
        if let Err(error) = written {
            let help = error.help();
            warn!(error = &error as &(dyn std::error::Error + 'static), help, "Health cannot be written");
        }
    }

    async fn next(&mut self) -> Next {
        loop {
            if let Some(trigger) = self.state.run_soon.take() {
                return Next::Run(trigger, None);
            }
            let delay = self.delay();
            let slot = self.state.slots.next().and_then(|slot| slot.checked_add(delay).ok());
            tokio::select! {
                waited = wait_until(slot, self.shutdown) => {
                    let now = Timestamp::now();
                    match waited {
                        Waited::Stopping => return Next::Stop,
                        Waited::Due => {
                            let due = self.state.slots.take_due(now);
                            return Next::Run(Trigger::Schedule, due);
                        }
                    }
                }
                changed = self.state.asks.changed() => if changed.is_ok() { self.answer(None).await },
            }
            self.state.slots.look_again(Timestamp::now());
        }
    }

    /// Does what signals ask for. `busy`: since when a run is under way.
    pub(super) async fn answer(&mut self, busy: Option<Instant>) {
        let asks = *self.state.asks.borrow_and_update();
        let before = std::mem::replace(&mut self.state.asked, asks);
        if asks.status != before.status {
            self.tell_status(busy);
        }
        if asks.run != before.run {
            if busy.is_some() {
                info!("Asked for a run: the job runs once more after this run");
            } else {
                info!("Asked for a run");
            }
            self.state.run_soon = Some(Trigger::Asked);
        }
        if asks.reload != before.reload {
            self.read_settings_again().await;
        }
    }

    fn tell_status(&self, busy: Option<Instant>) {
        let state = self.state.health.state();
        let next = self.state.slots.next().map(|next| whole_seconds(next).to_string()).unwrap_or_default();
        let running = busy.map_or_else(|| "no".to_owned(), |since| length_in_words(since.elapsed()));
        let success = state.last_success.map(|at| whole_seconds(at).to_string()).unwrap_or_default();
        let outcome = state.last_outcome.as_deref().unwrap_or("no run has ended yet");
        let verdict = crate::health::judge(state, Timestamp::now()).sentence();
        let (job, runs, failures) = (&self.job.ground.name, state.runs, state.failures);
        info!(job, running, next, runs, failures, last_success = success, last = outcome, health = verdict, "Status");
    }

    async fn read_settings_again(&mut self) {
        let Some(reload) = &mut self.reload else {
            info!("Asked to read settings again: nothing in them can change while the program runs");
            return;
        };
        let read = read_again(reload().await).map(|schedule| {
            announce(&schedule);
            self.state.slots.change(schedule, Timestamp::now());
        });
        let notice = read.err();
        let noted = self.state.health.notice(notice);
        self.written(noted);
        self.plan();
    }

    async fn run(
        &mut self,
        trigger: Trigger,
        due: Option<Due>,
        first: bool,
        body: &mut impl AsyncFnMut(&Run) -> Report,
    ) -> Result<(), Failure> {
        let slot = due.map(|due| due.slot);
        if let Some(due) = due {
            self.tell_lateness(due, first);
        }
        let wish = self.shutdown.own_wish();
        let run = Run { trigger, slot, attempt: 1, shutdown: wish.clone() };
        let noted = self.state.health.run_started(Timestamp::now());
        self.written(noted);
        self.told.run_started(&self.job.ground.name, self.shutdown).await;
        let round = self.attend(run, &wish, body).await;
        let round = match round {
            Ok(round) => round,
            // A state that cannot be written is told at every run, and may heal; at the first run it is a fault of the setting-up.
            Err(failure) if !first => Round::Ran(Report::failed(failure.exit, failure.error.to_string()), false),
            Err(failure) => return Err(failure),
        };
        self.settle(round).await;
        Ok(())
    }

    fn tell_lateness(&self, due: Due, first: bool) {
        let late = due.slot.duration_until(Timestamp::now());
        if !first && due.missed > 0 {
            warn!(
                missed = due.missed,
                "Times of the schedule went by while nothing could run; one run makes up for them"
            );
        }
        if !first && late > self.late_after() {
            let late = length_in_words(Duration::try_from(late).unwrap_or_default());
            warn!(late, planned = %whole_seconds(due.slot), "A run starts late");
        }
    }

    /// Writes down how it went, and tells those who want to know.
    async fn settle(&mut self, round: Round) {
        let now = Timestamp::now();
        let (report, was_bad) = match round {
            Round::Ran(report, was_bad) => (report, was_bad),
            Round::TooSoon(reason) => {
                info!(reason, "This run is left out: the job ran a short while ago");
                return;
            }
            Round::Elsewhere(reason) => {
                warn!(reason, "This run is left out");
                return;
            }
            Round::Stopping => return,
        };
        let outcome = if report.is_bad() { Outcome::Failure } else { Outcome::Success };
        let next = self.state.slots.next();
        let by = next.and_then(|slot| slot.max(now).checked_add(self.late_after()).ok());
        if report.result != RunResult::Stopped {
            let ended = self.state.health.run_ended(now, outcome, report.sentence.clone(), by);
            self.written(ended);
        }
        self.told.run_ended(&self.job.ground.name, &report, was_bad, self.shutdown).await;
    }
}
