//! `run`: a backup at every slot of the schedule, until asked to stop; failures are told to people.

use std::cell::RefCell;
use std::future::ready;

use shared::config;
use shared::entry::{Exit, Failure};
use shared::job::{Job, Reload, Report as JobReport, Run, RunResult};
use shared::notify::Notifier;
use shared::shutdown::Shutdown;
use tracing::error;

use super::{Report, block_on, start};
use crate::config::Settings;
use crate::session::Session;
use crate::set::{Kind, verify};
use crate::trust::Trust;
use crate::{backup, plugins, rehearse, sentence};

/// Takes backups on a schedule.
pub fn run() -> Result<Exit, Failure> {
    let (settings, shutdown) = start(Report { json: false })?;
    block_on(serve(&settings, &shutdown))?
}

async fn serve(settings: &Settings, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let schedule = settings.cron.clone().in_zone(&settings.zone);
    // What an interrupted run left is repaired now, not at the next slot.
    let repaired = Session::begin(settings.clone(), shutdown.clone()).await.map(drop);
    let state = Session::reading(settings.clone(), shutdown.clone()).state_folder();
    if let Err(failure) = repaired {
        // A volume that never comes ends the job.
        error!(
            why = sentence(failure.error.as_ref()),
            help = failure.help,
            "Nobody can tell yet whether an interrupted run left something to repair"
        );
    }
    let job = Job::new("backup", settings.job.clone(), state, settings.health_file());
    let job = job.notify(Notifier::new(&settings.notify)?).listen(settings.listen.clone());
    let current = RefCell::new(settings.clone());
    let read_again = || {
        let fresh = config::from_env::<Settings>(&crate::config::neighbours())?.settings;
        let schedule = fresh.cron.clone().in_zone(&fresh.zone);
        current.replace(fresh);
        Ok(schedule)
    };
    let reload: Reload<'_> = Box::new(|| Box::pin(ready(read_again())));
    let body = async |run: &Run| {
        let settings = current.borrow().clone();
        one(&settings, run).await
    };
    job.serve_and_reload(schedule, shutdown, Some(reload), body).await
}

/// One backup, verified, and rehearsed if asked for.
async fn one(settings: &Settings, run: &Run) -> JobReport {
    match attempt(settings, &run.shutdown).await {
        Ok(words) => JobReport::success(words),
        Err(failure) if run.shutdown.requested() => {
            let report = JobReport::failed(failure.exit, sentence(failure.error.as_ref()));
            JobReport { result: RunResult::Stopped, ..report }
        }
        Err(failure) => {
            let why = sentence(failure.error.as_ref());
            error!(why, help = failure.help, "Backup failed");
            let may_retry = matches!(failure.exit, Exit::Unavailable | Exit::TryAgain);
            JobReport::failed(failure.exit, why).may_retry(may_retry)
        }
    }
}

async fn attempt(settings: &Settings, shutdown: &Shutdown) -> Result<String, Failure> {
    let session = Session::begin(settings.clone(), shutdown.clone()).await?;
    let set = backup::backup(&session, Kind::Backup, settings.lock_backups).await?;
    let verified = verify(&set, shutdown)?;
    if settings.rehearse {
        rehearse::rehearse(&session, &set, Trust::Seal).await?;
    }
    plugins::judge_made(&session.place, &set)?;
    Ok(format!("backup {} with {} rows", set.name, verified.rows))
}
