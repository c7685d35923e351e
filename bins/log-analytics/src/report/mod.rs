//! What people want to see: how every site stands, and whether all is well. Reads the ledger and the folder listing,
//! asks nobody and changes nothing.

mod arrival;
mod chart;
mod markup;
mod page;
mod standing;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::health::{self, Verdict};

pub use page::page;
pub use standing::{Failing, Quarantined, SiteStanding, TakenOver, waits};
pub use verdict::{Mood, Remark, ago};

use arrival::arrivals;

use crate::config::Settings;
use crate::discover::{self, SiteId};
use crate::ledger::{Ledger, LedgerError};
use crate::matomo::sentence;

/// Everything the page shows.
#[derive(Debug)]
pub struct Report {
    /// When it was made.
    pub now: Timestamp,
    /// In which zone moments are shown.
    pub zone: TimeZone,
    /// When passes run, in words.
    pub schedule: String,
    /// When the next pass begins, if `run` is at work.
    pub next_pass: Option<Timestamp>,
    /// How `run` is; nothing where it never ran.
    pub health: Option<Verdict>,
    /// The sites, or why a ledger cannot be read.
    pub sites: Vec<Result<SiteStanding, (SiteId, String)>>,
}

/// Nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The logs are not there.
    #[error("cannot list the folder of the logs {}", folder.display())]
    Logs {
        /// Their folder.
        folder: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// The sites by number, each with its standing or the reason why its ledger cannot be read.
pub type Standings = Vec<(SiteId, Result<SiteStanding, LedgerError>)>;

/// How every site stands.
///
/// # Errors
/// When the folder of the logs cannot be listed. A ledger that cannot be read is the answer for its site.
pub fn sites(settings: &Settings) -> Result<Standings, ReportError> {
    let folder = settings.logs_folder();
    let found = discover::discover(&folder, &settings.files, SystemTime::now(), settings.settle_time.get(), &|| false)
        .map_err(|error| ReportError::Logs { folder, error })?;
    let ledger = Ledger::look(&settings.ledger_folder());
    let sites: BTreeSet<SiteId> = found.files.keys().copied().chain(ledger.sites()).collect();
    let arrivals = arrivals(&settings.analytics_dir);
    let standing = |site| {
        let arrival = arrivals.get(&site).copied().unwrap_or_default();
        (site, ledger.peek(site).map(|book| SiteStanding::of(&book, &found, arrival)))
    };
    Ok(sites.into_iter().map(standing).collect())
}

impl Report {
    /// Gathers what there is to say.
    ///
    /// # Errors
    /// When the folder of the logs cannot be listed.
    pub fn gather(settings: &Settings, now: Timestamp) -> Result<Self, ReportError> {
        let schedule = settings.cron.clone().in_zone(&settings.zone);
        let told = |(site, standing): (SiteId, Result<SiteStanding, LedgerError>)| {
            standing.map_err(|error| (site, format!("{}; {}", sentence(&error), error.help())))
        };
        Ok(Self {
            now,
            zone: settings.zone.clone(),
            schedule: schedule.in_words(),
            next_pass: schedule.next_after(now),
            health: health::answer(&settings.health_file(), now).ok(),
            sites: sites(settings)?.into_iter().map(told).collect(),
        })
    }
}
