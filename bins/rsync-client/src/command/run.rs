//! `run`: a pass at every slot of the schedule, and the tasks at theirs, until asked to stop.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use shared::config;
use shared::entry::{Exit, Failure};
use shared::health_http::ListenOptions;
use shared::job::{AtStart, Job, JobOptions, Reload, Report, Run};
use shared::schedule::Schedule;
use shared::shutdown::Shutdown;
use tokio::task::LocalSet;
use tracing::error;

use super::start::{Ready, ReadyTask};
use crate::config::{Settings, neighbours};
use crate::ending::Ending;
use crate::history::{Entry, History};

/// Fetches on a schedule until asked to stop.
pub fn run() -> Result<Exit, Failure> {
    let settings = Ready::read()?;
    if settings.commands.is_none() && settings.tasks.iter().next().is_none() {
        return Err(Failure::new(
            Exit::Config,
            "there is nothing to do: neither RSYNC_COMMANDS nor any CRON_TASK_* is set",
        )
        .help("set RSYNC_COMMANDS to the commands that fetch the logs; for a shell, run `sh` instead of `run`"));
    }
    let shutdown = super::listen()?;
    super::block_on(async {
        let ready = Ready::prepare(settings).await?;
        serve(ready, &shutdown).await
    })?
}

async fn serve(ready: Ready, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let state = ready.settings.state_folder();
    if let Some(folder) = ready.settings.health_file.as_deref().and_then(Path::parent) {
        prepare(folder)?;
    }
    let here = LocalSet::new();
    // Where nothing is fetched, the first task answers by HTTP.
    let mut listen = Some(ready.settings.listen.clone()).filter(|_| ready.plan.is_none());
    let tasks: Vec<_> = ready
        .tasks
        .iter()
        .map(|task| {
            let listen = listen.take();
            here.spawn_local(task.clone().serve(state.clone(), ready.settings.job.clone(), listen, shutdown.clone()))
        })
        .collect();
    let served = here.run_until(async {
        if ready.plan.is_none() {
            shutdown.wait().await;
            return Ok(Exit::Done);
        }
        let exit = passes(ready, shutdown).await;
        // Whatever ended the passes ends the tasks as well.
        shutdown.request();
        exit
    });
    let exit = served.await;
    here.run_until(async {
        for task in tasks {
            // A task that panicked has said so; the others still end in peace.
            let _ = task.await;
        }
    })
    .await;
    shutdown.say_stopped("rsync-client");
    exit
}

/// The passes; HUP reads what they fetch and when anew. A pass under way keeps what it began with.
async fn passes(ready: Ready, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let (schedule, job) = (ready.schedule(), ready.job()?);
    let current = RefCell::new(Rc::new(ready));
    let reload: Reload<'_> = Box::new(|| Box::pin(read_again(&current)));
    let body = async |run: &Run| {
        let ready = Rc::clone(&current.borrow());
        match &ready.plan {
            Some(plan) => ready.pass(plan, &run.shutdown).await,
            // Settings without a plan are never taken.
            None => Report::success("there is nothing to fetch"),
        }
    };
    job.serve_and_reload(schedule, shutdown, Some(reload), body).await
}

async fn read_again(current: &RefCell<Rc<Ready>>) -> Result<Schedule, Failure> {
    let settings = config::from_env::<Settings>(&neighbours())?.settings;
    if settings.commands.is_none() {
        return Err(Failure::new(Exit::Config, "RSYNC_COMMANDS is not set any more"));
    }
    let fresh = Ready::prepare(settings).await?;
    let schedule = fresh.schedule();
    current.replace(Rc::new(fresh));
    Ok(schedule)
}

fn prepare(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::new(Exit::CannotCreate, format!("cannot make the folder {}: {error}", folder.display()))
            .help("mount the volume of the logs so that the user of this container may write, or set ANALYTICS_DIR")
    })
}

impl ReadyTask {
    /// Runs the task at each of its times, never twice at once, and never for a time that went by, as cron does.
    async fn serve(self, state: PathBuf, options: JobOptions, listen: Option<ListenOptions>, shutdown: Shutdown) {
        let options = JobOptions { at_start: AtStart::No, ..options };
        let job = Job::new(&self.label, options, &state, crate::task::health_file(&state, &self.label));
        let job = match listen {
            Some(listen) => job.listen(listen),
            None => job,
        };
        let mut history = History::open(&state.join("history.jsonl"));
        let schedule = self.schedule.clone();
        let served = job.serve(schedule, &shutdown, async |run: &Run| self.once(run, &mut history).await);
        if let Err(failure) = served.await {
            error!(job = self.label, why = failure.error.to_string(), help = failure.help, "Task cannot be served");
        }
    }

    async fn once(&self, run: &Run, history: &mut History) -> Report {
        match self.conditions.run(&self.label, &self.unit, &run.shutdown, |_| {}).await {
            Ok(report) => {
                history.add(&Entry::of(&self.label, &self.unit.shown, &report));
                let (exit, sentence) = (report.ending.exit(), report.ending.sentence());
                match report.ending {
                    Ending::Done | Ending::Vanished => Report::success(sentence),
                    Ending::Stopped => {
                        Report { result: shared::job::RunResult::Stopped, exit, ..Report::success(sentence) }
                    }
                    _ => Report::failed(exit, sentence),
                }
            }
            Err(error) => Report::failed(error.exit(), error.to_string()),
        }
    }
}
