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

/// Names every site with stuck rows, and the command that frees them. What cannot be read is told and no obstacle.
pub(super) async fn name(attempt: &Attempt<'_>, installation: &Installation, cut_off: &[(Timestamp, Timestamp)]) {
    match stuck(attempt, installation, cut_off).await {
        Ok(sites) => sites.iter().for_each(name_one),
        Err(error) => warn!(why = crate::sentence(&error), "The archiving queue cannot be read"),
    }
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

/// Gives stuck rows back to the queue.
pub(super) async fn free(
    attempt: &Attempt<'_>,
    installation: &Installation,
    cut_off: &[(Timestamp, Timestamp)],
) -> Outcome {
    if neighbour::archivers().iter().any(|other| other.may_share(&installation.console)) {
        return Outcome::new(
            Class::Skipped,
            "an archiver that is not ours is at work, so nobody can tell which rows are stuck",
        );
    }
    let freed = async {
        let sites = stuck(attempt, installation, cut_off).await?;
        let rows = if sites.is_empty() { 0 } else { installation.free(&sites, attempt.shutdown).await? };
        Ok::<_, Unanswered>((sites, rows))
    };
    match freed.await {
        Ok((sites, _)) if sites.is_empty() => {
            Outcome::new(Class::NothingToDo, "no row of the archiving queue is stuck")
        }
        Ok((sites, rows)) => {
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
