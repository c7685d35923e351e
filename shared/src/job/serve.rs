//! A job: what it is, and its two ways to run, once or on a schedule.

use std::{path::PathBuf, pin::Pin};

use jiff::Timestamp;
use tracing::{info, warn};

use super::{
    attend::pass_on,
    beginning::{self, announce, first_slots},
    history::History,
    options::JobOptions,
    report::Report,
    round::{Ground, Round, Run, Trigger},
    service::{Service, Standing},
    told::Told,
};
use crate::{
    entry::{Exit, Failure},
    health::Health,
    schedule::Schedule,
    shutdown::Shutdown,
};

/// A job and the ground it runs on.
#[derive(Debug)]
pub struct Job {
    pub(super) options: JobOptions,
    pub(super) ground: Ground,
    health_file: PathBuf,
    told: Told,
    #[cfg(feature = "health-http")]
    listen: Option<crate::health_http::ListenOptions>,
}

/// Reads the settings again and answers with the schedule that is now in force.
pub type Reload<'a> = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = Result<Schedule, Failure>> + 'a>> + 'a>;

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
        let wish = shutdown.own_wish();
        let run = Run { trigger: Trigger::Once, slot: None, attempt: 1, shutdown: wish.clone() };
        let patience = self.options.lock_wait.get();
        self.told.run_started(&self.ground.name, shutdown).await;
        let round = tokio::select! {
            biased;
            round = self.ground.run(&self.options, patience, run, &mut body) => round?,
            never = pass_on(&self.ground.name, &self.options.stop, shutdown, &wish) => match never {},
        };
        let ended = match round {
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
        };
        if shutdown.requested() {
            shutdown.say_stopped(&self.ground.name);
        }
        ended
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
        let waited = beginning::folder(&self.ground, self.options.volume_wait.get(), shutdown).await?;
        if waited.is_none() {
            shutdown.say_stopped(&self.ground.name);
            return Ok(Exit::Done);
        }
        let now = Timestamp::now();
        let slots = first_slots(&self.options, schedule, &self.ground.history.read()?, now);
        let health = Health::start(self.health_file.clone(), now, None)?;
        #[cfg(feature = "health-http")]
        let _listener = match &self.listen {
            Some(options) => crate::health_http::listen(options, &self.ground.name, health.file())?,
            None => None,
        };
        let state = Standing::new(slots, health, shutdown);
        let told = std::mem::take(&mut self.told);
        Service { job: &self, told, state, shutdown, reload }.serve(&mut body).await
    }
}
