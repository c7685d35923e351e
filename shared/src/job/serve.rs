//! The loop of a job: wait for its time or for a signal, run it, tell the world, until asked to stop.

use std::{path::PathBuf, pin::pin, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, time::Instant};
use tracing::{error, info, warn};

use super::{
    history::History,
    options::{AtStart, JobOptions, Overlap},
    pace,
    report::{Report, Result as RunResult},
    round::{Ground, Round, Run, Trigger},
};
use crate::{
    entry::{Exit, Failure},
    files::FileError,
    health::{Health, Outcome},
    schedule::{Due, Schedule, Slots, Waited, wait_until},
    shutdown::{Asks, Shutdown},
    words::{length_in_words, whole_seconds},
};

/// How often a run under way says that it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5 * 60);
/// How often slots left out are worth a line.
const SKIPPED_SAID_EVERY: Duration = Duration::from_secs(60);
/// Longest wait for somebody else's run before the slot is given up.
const LOCK_PATIENCE_MAX: Duration = Duration::from_secs(86_400);
const SLOTS_SHOWN: usize = 3;

/// A job and the ground it runs on.
#[derive(Debug)]
pub struct Job {
    options: JobOptions,
    ground: Ground,
    health_file: PathBuf,
    told: Told,
    #[cfg(feature = "health-http")]
    listen: Option<crate::health_http::ListenOptions>,
}

/// Reads the settings again and answers with the schedule that is now in force.
pub type Reload<'a> = Box<dyn FnMut() -> Result<Schedule, Failure> + 'a>;

impl Job {
    /// A job by its name, which names its files in the state folder as well.
    pub fn new(
        name: &str,
        options: JobOptions,
        state_folder: impl Into<PathBuf>,
        health_file: impl Into<PathBuf>,
    ) -> Self {
        let state_folder = state_folder.into();
        let history = History::of(&state_folder, name);
        Self {
            options,
            ground: Ground { name: name.to_owned(), state_folder, history },
            health_file: health_file.into(),
            told: Told::default(),
            #[cfg(feature = "health-http")]
            listen: None,
        }
    }

    /// Tells people about failures and recoveries, and others about every run.
    #[cfg(feature = "notify")]
    #[must_use]
    pub fn notify(mut self, notifier: crate::notify::Notifier) -> Self {
        self.told.notifier = Some(notifier);
        self
    }

    /// Answers health checks by HTTP as well.
    #[cfg(feature = "health-http")]
    #[must_use]
    pub fn listen(mut self, options: crate::health_http::ListenOptions) -> Self {
        self.listen = Some(options);
        self
    }

    /// Its past runs.
    pub fn history(&self) -> &History {
        &self.ground.history
    }

    /// Runs the job once, now; the exit code is the run's. While another process runs it, it waits for `LOCK_WAIT`,
    /// then gives up with 75. A run that would come too soon is left out, with exit code 0.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub async fn once(
        mut self,
        shutdown: &Shutdown,
        mut body: impl AsyncFnMut(&Run) -> Report,
    ) -> Result<Exit, Failure> {
        let run = Run { trigger: Trigger::Once, slot: None, attempt: 1, shutdown: shutdown.clone() };
        let patience = self.options.lock_wait.get();
        self.told.run_started(&self.ground.name, shutdown).await;
        match self.ground.run(&self.options, patience, run, &mut body).await? {
            Round::Ran(report, was_bad) => {
                self.told.run_ended(&self.ground.name, &report, was_bad, shutdown).await;
                Ok(report.exit)
            }
            Round::TooSoon(reason) => {
                info!(reason, "Nothing to do: the job ran a short while ago");
                Ok(Exit::Done)
            }
            Round::Elsewhere(reason) => {
                warn!(reason, "The job does not run a second time beside itself");
                Ok(Exit::TryAgain)
            }
            Round::Stopping => Ok(Exit::Done),
        }
    }

    /// Runs the job on its schedule until asked to stop.
    ///
    /// # Errors
    /// When the state cannot be read or written at the start.
    pub async fn serve(
        self,
        schedule: Schedule,
        shutdown: &Shutdown,
        body: impl AsyncFnMut(&Run) -> Report,
    ) -> Result<Exit, Failure> {
        self.serve_and_reload(schedule, shutdown, None, body).await
    }

    /// As [`Job::serve`]; HUP calls `reload`. Settings that cannot be used leave the old ones in force.
    ///
    /// # Errors
    /// As for [`Job::serve`].
    pub async fn serve_and_reload(
        mut self,
        schedule: Schedule,
        shutdown: &Shutdown,
        reload: Option<Reload<'_>>,
        mut body: impl AsyncFnMut(&Run) -> Report,
    ) -> Result<Exit, Failure> {
        announce(&schedule);
        let now = Timestamp::now();
        std::fs::create_dir_all(&self.ground.state_folder)
            .map_err(|source| FileError::new("create", &self.ground.state_folder, source))?;
        let slots = first_slots(&self.options, schedule, &self.ground.history.read()?, now);
        let health = Health::start(self.health_file.clone(), now, None)?;
        #[cfg(feature = "health-http")]
        let _listener = match &self.listen {
            Some(options) => crate::health_http::listen(options, &self.ground.name, health.file()).await?,
            None => None,
        };
        let mut asks = shutdown.asks();
        // What was asked for before anybody could listen is answered first.
        asks.mark_changed();
        let state = Standing { slots, health, asked: Asks::default(), asks, run_soon: None, said_skipped: None };
        let told = std::mem::take(&mut self.told);
        Service { job: &self, told, state, shutdown, reload }.serve(&mut body).await
    }
}

/// Who is told about runs.
#[derive(Debug, Default)]
struct Told {
    #[cfg(feature = "notify")]
    notifier: Option<crate::notify::Notifier>,
}

#[cfg(feature = "notify")]
impl Told {
    async fn run_started(&mut self, job: &str, shutdown: &Shutdown) {
        if let Some(notifier) = &mut self.notifier {
            notifier.run_started(job, shutdown).await;
        }
    }

    async fn run_ended(&mut self, job: &str, report: &Report, was_bad: bool, shutdown: &Shutdown) {
        if let Some(notifier) = &mut self.notifier {
            notifier.run_ended(job, report, was_bad, shutdown).await;
        }
    }
}

#[cfg(not(feature = "notify"))]
impl Told {
    async fn run_started(&mut self, _job: &str, _shutdown: &Shutdown) {}

    async fn run_ended(&mut self, _job: &str, _report: &Report, _was_bad: bool, _shutdown: &Shutdown) {}
}

/// Says when the job will run.
fn announce(schedule: &Schedule) {
    let runs = schedule.next_runs(Timestamp::now(), SLOTS_SHOWN);
    let shown = |run: &Timestamp| run.to_zoned(schedule.zone().clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string();
    let next = runs.iter().map(shown).collect::<Vec<_>>().join(", ");
    info!(schedule = schedule.in_words(), next, "Schedule");
}

/// Where the schedule goes on after an earlier life of the program. A run that was cut short does not count.
fn first_slots(options: &JobOptions, schedule: Schedule, runs: &[super::Record], now: Timestamp) -> Slots {
    let whole = |run: &&super::Record| {
        run.result.is_some_and(|result| !matches!(result, RunResult::Stopped | RunResult::Interrupted))
    };
    let last = runs.iter().rev().find(whole).map(|run| run.slot.map_or(run.started, |slot| slot.max(run.started)));
    let made_up_from = options.catch_up.and_then(|within| now.checked_sub(within.get()).ok());
    let from = match options.at_start {
        AtStart::No => now,
        AtStart::Yes => Timestamp::UNIX_EPOCH,
        // A clock that was wrong does not postpone runs for years.
        AtStart::Missed => {
            last.filter(|last| *last <= now + SignedDuration::from_hours(24)).unwrap_or(Timestamp::UNIX_EPOCH)
        }
    };
    let first_life = from == Timestamp::UNIX_EPOCH;
    Slots::after(schedule, if first_life { from } else { made_up_from.map_or(from, |limit| limit.max(from)) })
}

/// What changes while the job is served.
struct Standing {
    slots: Slots,
    health: Health,
    asks: watch::Receiver<Asks>,
    asked: Asks,
    /// A run is wanted outside the schedule.
    run_soon: Option<Trigger>,
    said_skipped: Option<(Instant, u64)>,
}

struct Service<'a> {
    job: &'a Job,
    told: Told,
    state: Standing,
    shutdown: &'a Shutdown,
    reload: Option<Reload<'a>>,
}

/// What a served job waits for.
enum Next {
    Run(Trigger, Option<Due>),
    Stop,
}

impl<'a> Service<'a> {
    async fn serve(mut self, body: &mut impl AsyncFnMut(&Run) -> Report) -> Result<Exit, Failure> {
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
            if let Some(most) =
                self.job.options.failures_max.filter(|most| self.state.health.state().failures >= most.get())
            {
                error!(
                    failures = most.get(),
                    "Too many runs failed in a row: the program ends (MAX_CONSECUTIVE_FAILURES)"
                );
                return Ok(Exit::Failed);
            }
        }
        info!(job = self.job.ground.name, "Stopped, as asked");
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
            let wait = async {
                match slot {
                    Some(slot) => wait_until(slot, self.shutdown).await,
                    None => {
                        self.shutdown.wait().await;
                        Waited::Stopping
                    }
                }
            };
            tokio::select! {
                waited = wait => {
                    let now = Timestamp::now();
                    match waited {
                        Waited::Stopping => return Next::Stop,
                        Waited::Due => {
                            let due = self.state.slots.take_due(now);
                            return Next::Run(Trigger::Schedule, due);
                        }
                    }
                }
                changed = self.state.asks.changed() => if changed.is_ok() { self.answer(None) },
            }
            self.state.slots.look_again(Timestamp::now());
        }
    }

    /// Does what signals ask for. `busy`: since when a run is under way.
    fn answer(&mut self, busy: Option<Instant>) {
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
            self.read_settings_again();
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

    fn read_settings_again(&mut self) {
        let Some(reload) = &mut self.reload else {
            info!("Asked to read settings again: nothing in them can change while the program runs");
            return;
        };
        let notice = match reload() {
            Ok(schedule) => {
                info!("Settings were read again");
                announce(&schedule);
                self.state.slots.change(schedule, Timestamp::now());
                None
            }
            Err(failure) => {
                warn!(why = failure.to_string(), "Settings cannot be used; the old ones stay in force");
                Some("the settings could not be read again, and the old ones are in force".to_owned())
            }
        };
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

    /// Stays with a run: passes the wish to stop on, and answers slots and signals meanwhile.
    async fn attend(
        &mut self,
        run: Run,
        wish: &Shutdown,
        body: &mut impl AsyncFnMut(&Run) -> Report,
    ) -> Result<Round, Failure> {
        let began = Instant::now();
        let next = self.state.slots.next();
        let until_next =
            next.map(|next| Timestamp::now().duration_until(next)).and_then(|left| Duration::try_from(left).ok());
        let patience = until_next.unwrap_or(LOCK_PATIENCE_MAX).clamp(Duration::from_secs(1), LOCK_PATIENCE_MAX);
        let shutdown = self.shutdown;
        let job: &'a Job = self.job;
        let running = job.ground.run(&job.options, patience, run, body);
        let mut running = pin!(running);
        let mut passed = 0;
        let mut alive_at = Instant::now() + SIGN_OF_LIFE;
        loop {
            let slot = self.state.slots.next();
            tokio::select! {
                round = &mut running => return round,
                () = shutdown.wait(), if passed < 1 => { passed = 1; wish.request(); }
                () = shutdown.wait_insisted(), if passed < 2 => { passed = 2; wish.request(); wish.request(); }
                () = arrival(slot, shutdown), if passed == 0 => {
                    if let Some(due) = self.state.slots.take_due(Timestamp::now()) {
                        self.overlap(due, began, wish);
                    }
                }
                changed = self.state.asks.changed() => if changed.is_ok() { self.answer(Some(began)) },
                () = tokio::time::sleep_until(alive_at) => {
                    alive_at = Instant::now() + SIGN_OF_LIFE;
                    let by = Timestamp::now() + SignedDuration::try_from(job.options.late_after.get()).unwrap_or_default();
                    // A full disk is told when the run ends.
                    let _ = self.state.health.expect_by(by);
                }
            }
        }
    }

    /// The next time has come while the job still runs.
    fn overlap(&mut self, due: Due, began: Instant, wish: &Shutdown) {
        let (job, age) = (self.job, length_in_words(began.elapsed()));
        let name = &job.ground.name;
        match job.options.overlap {
            Overlap::Forbid => {
                let unsaid = match &mut self.state.said_skipped {
                    Some((said, unsaid)) if said.elapsed() < SKIPPED_SAID_EVERY => {
                        *unsaid += 1;
                        return;
                    }
                    other => other.replace((Instant::now(), 0)).map_or(0, |(_, unsaid)| unsaid),
                };
                let skipped = due.missed as u64 + 1 + unsaid;
                warn!(job = name, age, skipped, "A time of the schedule is left out because the job still runs");
            }
            Overlap::Queue => {
                if self.state.run_soon.replace(Trigger::Catchup).is_none() {
                    warn!(
                        job = name,
                        age, "The next time has come and the job still runs: it runs once more afterwards"
                    );
                }
            }
            Overlap::Replace => {
                self.state.run_soon = Some(Trigger::Catchup);
                warn!(job = name, age, "The next time has come and the job still runs: it is stopped for a new run");
                wish.request();
            }
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

async fn arrival(slot: Option<Timestamp>, shutdown: &Shutdown) {
    match slot {
        Some(slot) if wait_until(slot, shutdown).await == Waited::Due => {}
        _ => std::future::pending().await,
    }
}
