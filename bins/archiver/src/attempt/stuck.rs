//! Rows of the archiving queue that nobody works on any more: named, or freed. Only the holder of the lock comes here.

use jiff::{SignedDuration, Timestamp};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use super::Attempt;
use crate::installation::Installation;
use crate::neighbour;
use crate::outcome::{Class, Outcome};
use crate::place::Unanswered;
use crate::queue::{self, StuckSite};

/// Looks for stuck sites before anything is at work: each is given back to the queue if that is wanted, else named.
/// Answers with those that stay stuck.
pub(super) async fn look(
    attempt: &Attempt<'_>,
    installation: &Installation,
    cut_off: &[(Timestamp, Timestamp)],
) -> Vec<u32> {
    let sites = readable(attempt, installation, cut_off).await;
    if attempt.settings.free_stuck && !sites.is_empty() {
        let freed = give_back(attempt, installation, &sites).await;
        if freed.class == Class::Ok {
            return Vec::new();
        }
        warn!(outcome = %freed.class, why = freed.sentence, help = freed.help, "Stuck sites stay stuck");
    }
    named(&sites)
}

/// Names stuck sites after an archiving was cut off: what it left behind may still be at work for a moment.
pub(super) async fn name(
    attempt: &Attempt<'_>,
    installation: &Installation,
    cut_off: &[(Timestamp, Timestamp)],
) -> Vec<u32> {
    named(&readable(attempt, installation, cut_off).await)
}

/// The stuck sites; what cannot be read is told and no obstacle.
async fn readable(
    attempt: &Attempt<'_>,
    installation: &Installation,
    cut_off: &[(Timestamp, Timestamp)],
) -> Vec<StuckSite> {
    stuck(attempt, installation, cut_off).await.unwrap_or_else(|error| {
        let why = crate::sentence(&error);
        warn!(why, "The archiving queue cannot be read, so nobody can tell which sites are stuck");
        Vec::new()
    })
}

/// Names each with the command that frees it.
fn named(sites: &[StuckSite]) -> Vec<u32> {
    sites.iter().for_each(name_one);
    sites.iter().map(|site| site.site).collect()
}

fn name_one(site: &StuckSite) {
    let since = site.since.map_or_else(|| "unknown".to_owned(), |since| format!("{since:.0}"));
    warn!(
        site = site.site,
        rows = site.rows,
        since,
        help = "archiver once free",
        "Site is stuck in the archiving queue: Matomo leaves it out for a day"
    );
}

/// The job `free`.
pub(super) async fn free(
    attempt: &Attempt<'_>,
    installation: &Installation,
    cut_off: &[(Timestamp, Timestamp)],
) -> Outcome {
    match stuck(attempt, installation, cut_off).await {
        Ok(sites) if sites.is_empty() => {
            Outcome::new(Class::NothingToDo, "no row of the archiving queue is stuck")
        }
        Ok(sites) => give_back(attempt, installation, &sites).await,
        Err(error) => Outcome::new(Class::Failed, format!("nobody can tell which sites are stuck: {}", crate::sentence(&error)))
            .help("see what `console diagnostics:archiving-queue --json` says; docs/archiver.md has the SQL that frees a site"),
    }
}

/// Gives stuck rows back to the queue.
async fn give_back(attempt: &Attempt<'_>, installation: &Installation, sites: &[StuckSite]) -> Outcome {
    if neighbour::archivers().iter().any(|other| other.may_share(&installation.console)) {
        let sentence = "an archiver that is not ours is at work, so nobody can tell which rows are stuck";
        return Outcome::new(Class::Skipped, sentence).help("wait for its end, or end it");
    }
    match installation.free(sites, attempt.shutdown).await {
        Ok(rows) => {
            sites.iter().for_each(|site| {
                info!(site = site.site, rows = site.rows, "Site is given back to the archiving queue");
            });
            Outcome::new(
                Class::Ok,
                format!("{rows} rows of {} sites were given back to the archiving queue", sites.len()),
            )
        }
        Err(error) => Outcome::new(Class::Failed, format!("stuck rows cannot be freed: {}", crate::sentence(&error)))
            .help("see that PHP has mysqli and that Matomo's account may change its own tables"),
    }
}

async fn stuck(
    attempt: &Attempt<'_>,
    installation: &Installation,
    cut_off: &[(Timestamp, Timestamp)],
) -> Result<Vec<StuckSite>, Unanswered> {
    // Also read when we are asked to stop: that is when sites get stuck.
    let rows = installation.queue(&Shutdown::never()).await?;
    let patience = SignedDuration::try_from(attempt.settings.stuck_after.get()).unwrap_or(SignedDuration::MAX);
    Ok(queue::stuck(&rows, cut_off, Timestamp::now(), patience))
}
