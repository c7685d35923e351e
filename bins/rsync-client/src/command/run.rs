//! `run`: a pass at every slot of the schedule, and the tasks at theirs, until asked to stop.

use std::path::{Path, PathBuf};

use shared::entry::{Exit, Failure};
use shared::job::{AtStart, Job, JobOptions, Report, Run};
use shared::shutdown::Shutdown;
use tokio::task::LocalSet;
use tracing::{error, info};

use super::start::{Ready, ReadyTask};
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
        serve(&ready, &shutdown).await
    })?
}

async fn serve(ready: &Ready, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let state = ready.settings.state_folder();
    if let Some(folder) = ready.settings.health_file().parent() {
        prepare(folder)?;
    }
    let here = LocalSet::new();
    let tasks: Vec<_> = ready
        .tasks
        .iter()
        .map(|task| here.spawn_local(task.clone().serve(state.clone(), ready.settings.job.clone(), shutdown.clone())))
        .collect();
    let served = here.run_until(async {
        let Some(plan) = &ready.plan else {
            shutdown.wait().await;
            return Ok(Exit::Done);
        };
        let schedule = ready.settings.cron.clone().in_zone(&ready.settings.zone);
        let exit =
            ready.job()?.serve(schedule, shutdown, async |run: &Run| ready.pass(plan, &run.shutdown).await).await;
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
    info!("rsync-client stops");
    exit
}

fn prepare(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::new(Exit::CannotCreate, format!("cannot make the folder {}: {error}", folder.display()))
            .help("mount the volume of the logs so that the user of this container may write, or set ANALYTICS_DIR")
    })
}

impl ReadyTask {
    /// Runs the task at each of its times, never twice at once, and never for a time that went by, as cron does.
    async fn serve(self, state: PathBuf, options: JobOptions, shutdown: Shutdown) {
        let options = JobOptions { at_start: AtStart::No, ..options };
        let job = Job::new(&self.label, options, &state, state.join(format!("{}.health.json", self.label)));
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
