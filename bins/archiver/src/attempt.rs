//! One run of one job: alone under our lock, at a Matomo that is ready, watched to its end, judged and kept.

mod console;
mod delete;
mod report;
mod stuck;

use jiff::Timestamp;
use shared::entry::Failure;
use shared::files::Lock;
use shared::job::too_soon;
use shared::shutdown::Shutdown;
use shared::words::{length_in_words, whole_seconds};
use tracing::{info, warn};

use crate::config::Settings;
use crate::history::{Run, SIGN_OF_LIFE, State, UnderWay, host};
use crate::installation::Installation;
use crate::job::{ARCHIVE, Job, Work};
use crate::outcome::{Class, Outcome};
use crate::place::Place;
use crate::transcript::{Heard, Transcript};
use crate::wait::until_ready;
use crate::web::{Method, Web};

pub use report::say_plan;

/// Everything that a run needs.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What the operator wants.
    pub settings: &'a Settings,
    /// Where Matomo is.
    pub place: &'a Place,
    /// What is kept.
    pub state: &'a State,
    /// The wish to stop.
    pub shutdown: &'a Shutdown,
    /// Count and say, but delete nothing.
    pub dry_run: bool,
}

impl Attempt<'_> {
    /// Runs a job, unless an archiver of ours is at work already.
    ///
    /// # Errors
    /// When our own state cannot be written; whatever happens to the job is in the outcome.
    pub async fn run(&self, job: &Job) -> Result<Outcome, Failure> {
        let started = Timestamp::now();
        let mut said = Transcript::default();
        let mut outcome = match Lock::try_take(&self.state.lock_file())? {
            Some(_held) => self.run_alone(job, started, &mut said).await?,
            None => self.taken(),
        };
        outcome.tail = said.tail().collect::<Vec<_>>().join("\n");
        report::say_end(job, &outcome, &said, started);
        self.keep(job, &outcome, said, started)?;
        Ok(outcome)
    }

    /// Why the job must not run now, if it began less than `MIN_INTERVAL` ago.
    pub fn too_soon(&self, job: &Job) -> Option<String> {
        let least = self.settings.min_interval.as_ref()?;
        let runs = self.state.runs().unwrap_or_default();
        let began = runs.iter().filter(|run| run.job == job.name).map(|run| run.started);
        // One that was cut off together with us counts as well: that is what a loop of restarts is made of.
        let cut_off = self.state.under_way().filter(|run| run.job == job.name).map(|run| run.started);
        too_soon(Some(least), began.chain(cut_off).max(), Timestamp::now())
    }

    /// Only the holder of the lock gets here.
    async fn run_alone(&self, job: &Job, started: Timestamp, said: &mut Transcript) -> Result<Outcome, Failure> {
        self.bury(Vec::new());
        self.state.tidy();
        self.state.begin(&under_way(job, started))?;
        info!(job = job.name, "Job starts");
        let mut outcome = {
            let mut work = std::pin::pin!(self.work(job, said));
            loop {
                tokio::select! {
                    outcome = &mut work => break outcome,
                    // A full disk is told at the end of the run.
                    () = tokio::time::sleep(SIGN_OF_LIFE) => drop(self.state.begin(&under_way(job, started))),
                }
            }
        };
        self.state.end();
        // A Matomo that was never ready left nothing behind, and cannot be asked.
        let began = outcome.class != Class::Failed || said.tail().next().is_some();
        let left_behind = began && outcome.class.is_unclean();
        if let (Place::Console(installation), Work::Archive, true) = (self.place, &job.work, left_behind) {
            outcome.stuck = stuck::name(self, installation, &[(started, Timestamp::now())]).await;
        }
        Ok(outcome)
    }

    /// What an earlier life left behind: a run that nobody ended, and stuck sites. Neither Matomo nor another archiver
    /// is waited for: each archiving looks as well.
    ///
    /// # Errors
    /// When our own state cannot be used.
    pub async fn look_back(&self) -> Result<(), Failure> {
        let Some(_held) = Lock::try_take(&self.state.lock_file())? else { return Ok(()) };
        let mut cut_off = self.cut_off();
        cut_off.extend(
            self.state.under_way().filter(|dead| dead.job == ARCHIVE).map(|dead| (dead.started, end_of(&dead))),
        );
        let look = async {
            match self.place {
                Place::Console(installation) if self.place.is_ready().await.is_ok() => {
                    stuck::look(self, installation, &cut_off).await
                }
                _ => Vec::new(),
            }
        };
        let stuck = tokio::select! {
            stuck = look => stuck,
            () = self.shutdown.wait() => Vec::new(),
        };
        self.bury(stuck);
        Ok(())
    }

    async fn work(&self, job: &Job, said: &mut Transcript) -> Outcome {
        if let Err(outcome) = until_ready(self.place, self.settings.wait.get(), self.shutdown).await {
            return outcome;
        }
        match (self.place, &job.work) {
            (Place::Console(installation), Work::Archive) => self.archive(installation, said).await,
            (Place::Console(installation), Work::Free) => self.free(installation).await,
            (Place::Console(installation), Work::ScheduledTasks) => {
                self.command(installation, &["scheduled-tasks:run".to_owned()], said).await
            }
            (Place::Console(installation), Work::Console(command)) => self.command(installation, command, said).await,
            (Place::Console(installation), Work::DeleteRawData { days, sites }) => {
                self.delete(installation, *days, sites, said).await
            }
            (Place::Http(web), Work::Archive) => self.ask(web, Method::Archive, said).await,
            (Place::Http(web), Work::ScheduledTasks) => self.ask(web, Method::ScheduledTasks, said).await,
            (Place::Http(_), _) => {
                Outcome::new(Class::Failed, "this job needs Matomo's console, and there is none here")
                    .help("use an image with PHP and Matomo for it (ARCHIVE_MODE=console)")
            }
        }
    }

    /// Our lock is held by somebody.
    fn taken(&self) -> Outcome {
        let sentence = match self.state.under_way() {
            Some(UnderWay { job, started, host: there, pid, .. }) if there == host() => {
                format!("job {job} is under way here since {started:.0} (process {pid})")
            }
            Some(UnderWay { job, started, host, .. }) => {
                format!("job {job} is under way on host {host} since {started:.0}")
            }
            None => "another archiver holds the lock".to_owned(),
        };
        Outcome::new(Class::Skipped, sentence)
    }

    /// A run that nobody ended, although the lock is ours: its archiver was killed together with it.
    fn bury(&self, stuck: Vec<u32>) {
        let Some(dead) = self.state.under_way() else { return };
        let sentence = format!("was cut off together with the archiver on host {} (process {})", dead.host, dead.pid);
        warn!(job = dead.job, started = %whole_seconds(dead.started), sentence, "The last run did not end in order");
        let run = Run {
            ended: end_of(&dead),
            job: dead.job,
            started: dead.started,
            outcome: Class::Killed,
            sentence,
            archives: None,
            sites: Default::default(),
            stuck,
        };
        // A full disk is told at the end of this run.
        let _ = self.state.add(&run);
        self.state.end();
    }

    fn keep(&self, job: &Job, outcome: &Outcome, said: Transcript, started: Timestamp) -> Result<(), Failure> {
        if self.dry_run {
            return Ok(());
        }
        let run = Run {
            job: job.name.clone(),
            started,
            ended: Timestamp::now(),
            outcome: outcome.class,
            sentence: outcome.sentence.clone(),
            archives: said.archives,
            sites: said.sites,
            stuck: outcome.stuck.clone(),
        };
        Ok(self.state.add(&run)?)
    }

    /// Asks over HTTP; a wish to stop lets Matomo work on within the grace.
    async fn ask(&self, web: &Web, method: Method, said: &mut Transcript) -> Outcome {
        let hear = |heard: Heard, line: &[u8]| report::say_line(&heard, line);
        let answer = tokio::select! {
            biased;
            outcome = web.run(method, said, hear) => Some(outcome),
            () = self.patience_is_over() => None,
        };
        answer.unwrap_or_else(|| {
            Outcome::new(Class::Stopped, "was asked to stop and waits no longer; Matomo may work on by itself")
        })
    }

    /// Waits for a wish to stop, then as long as the job may work on; a second wish ends that.
    async fn patience_is_over(&self) {
        self.shutdown.wait().await;
        let patience = self.settings.patience();
        if !patience.is_zero() {
            info!(patience = length_in_words(patience), "Asked to stop: the job may finish first");
            tokio::select! {
                () = tokio::time::sleep(patience) => {}
                () = self.shutdown.wait_insisted() => {}
            }
        }
    }

    async fn free(&self, installation: &Installation) -> Outcome {
        stuck::free(self, installation, &self.cut_off()).await
    }

    /// The times of archivings that were cut off, as far back as the history goes.
    fn cut_off(&self) -> Vec<(Timestamp, Timestamp)> {
        let runs = self.state.runs().unwrap_or_default();
        let unclean = runs.iter().filter(|run| run.job == ARCHIVE && run.outcome.is_unclean());
        unclean.map(|run| (run.started, run.ended)).collect()
    }
}

/// The latest moment at which a run that nobody ended can have ended.
fn end_of(dead: &UnderWay) -> Timestamp {
    (dead.seen + 2 * SIGN_OF_LIFE).min(Timestamp::now())
}

fn under_way(job: &Job, started: Timestamp) -> UnderWay {
    UnderWay { job: job.name.clone(), started, seen: Timestamp::now(), host: host(), pid: std::process::id() }
}
