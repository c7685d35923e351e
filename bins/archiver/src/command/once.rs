//! `once`: one job, now.

use shared::entry::{Exit, Failure};
use tracing::info;

use super::{Start, start};
use crate::attempt::Attempt;
use crate::job::{Job, Work};

/// Runs a job, and says by the exit code how it went.
pub fn once(name: &str, dry_run: bool) -> Result<Exit, Failure> {
    let Start { settings, jobs, place, state, shutdown } = start()?;
    let job = find(&jobs, name)?;
    if dry_run && !matches!(job.work, Work::DeleteRawData { .. }) {
        return Err(Failure::new(Exit::Usage, format!("--dry-run means nothing to the job {name}"))
            .help("leave it away, or name the job delete-raw-data"));
    }
    let attempt = Attempt { settings: &settings, place: &place, state: &state, shutdown: &shutdown, dry_run };
    if !dry_run && let Some(reason) = attempt.too_soon(job) {
        info!(reason, "Nothing to do: the job ran a short while ago");
        return Ok(Exit::Done);
    }
    let outcome = super::block_on(attempt.run(job))??;
    if shutdown.requested() {
        shutdown.say_stopped("archiver");
    }
    Ok(outcome.exit)
}

fn find<'a>(jobs: &'a [Job], name: &str) -> Result<&'a Job, Failure> {
    jobs.iter().find(|job| job.name == name).ok_or_else(|| {
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        Failure::new(Exit::Usage, format!("there is no job {name}"))
            .help(format!("name one of {}; delete-raw-data needs DAYS_TO_KEEP and SITE_TO_DELETE", names.join(", ")))
    })
}
