//! One probe per site before a line is read. Measured: a bulk hit with `rec: 0` stores nothing and tells
//! recording off, a wrong token or site, and a database that is down apart.

use std::time::Duration;

use shared::entry::Exit;

use super::bulk::{Doubt, Outcome, Rejection, Seen};
use super::{ApiError, Matomo};
use crate::discover::SiteId;

const PAUSES_BETWEEN_PROBES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Up, recording, and the token may write to the site.
    Ready,
    /// Not so.
    Not(Outcome),
}

/// Why nothing can be imported now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Recording is switched off.
    #[error("Matomo is not recording at present (record_statistics is off)")]
    RecordingOff,
    /// Maintenance.
    #[error("Matomo is in maintenance mode")]
    Maintenance,
    /// Its database.
    #[error("Matomo is up but its database does not answer")]
    DatabaseDown,
    /// No connection, or no usable answer.
    #[error("Matomo cannot be reached at {url}: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// Somebody answers who is not Matomo.
    #[error("what answers at {url} is not a working Matomo: {why}")]
    NotMatomo {
        /// Where.
        url: String,
        /// What was seen.
        why: String,
    },
    /// The token is wrong.
    #[error("Matomo does not accept the token in MATOMO_TOKEN")]
    WrongToken,
    /// The site is missing or hidden from this token.
    #[error("site {site} does not exist in Matomo, or the token may not see it")]
    UnknownSite {
        /// The site.
        site: SiteId,
    },
    /// Marks would be counted among the visits of a site.
    #[error("site {site} is the ledger site (MATOMO_LEDGER_SITE) and has logs of its own in {folder}")]
    LedgerSiteHasLogs {
        /// The site.
        site: SiteId,
        /// Its folder.
        folder: String,
    },
    /// Our clock cannot be right.
    #[error("the clock of this container is {off} {direction} {of}: dates of log lines cannot be judged")]
    WrongClock {
        /// By how much, in words.
        off: String,
        /// `behind` or `ahead of`.
        direction: &'static str,
        /// What it was compared with.
        of: &'static str,
    },
    /// The ledger does not fit what Matomo has.
    #[error("the ledger of site {site} cannot be brought up to date: {why}")]
    Ledger {
        /// The site.
        site: SiteId,
        /// Why.
        why: String,
    },
    /// Marks would not be taken.
    #[error("the ledger site (MATOMO_LEDGER_SITE) cannot be used: {why}")]
    LedgerSite {
        /// Why.
        why: String,
    },
    /// The token may look but not write.
    #[error("the token may read site {site} but not write to it")]
    ReadOnlyToken {
        /// The site.
        site: SiteId,
    },
}

impl Refusal {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            Self::RecordingOff | Self::Maintenance | Self::WrongClock { .. } => Exit::TryAgain,
            Self::DatabaseDown | Self::Unreachable { .. } | Self::NotMatomo { .. } => Exit::Unavailable,
            Self::WrongToken | Self::LedgerSite { .. } | Self::LedgerSiteHasLogs { .. } | Self::Ledger { .. } => {
                Exit::Config
            }
            Self::UnknownSite { .. } | Self::ReadOnlyToken { .. } => Exit::Failed,
        }
    }

    /// Whether the next moment may bring another answer.
    fn may_pass_soon(&self) -> bool {
        matches!(self, Self::DatabaseDown | Self::Unreachable { .. } | Self::NotMatomo { .. })
    }

    /// Whether other sites can still be imported.
    pub fn is_of_one_site(&self) -> bool {
        matches!(self, Self::UnknownSite { .. } | Self::ReadOnlyToken { .. } | Self::Ledger { .. })
    }

    /// What to do now.
    pub fn help(&self) -> String {
        match self {
            Self::RecordingOff => "switch recording on again (record_statistics = 1); all files are kept, the next pass imports them".into(),
            Self::Maintenance => "all files are kept, the next pass after maintenance imports them".into(),
            Self::DatabaseDown => "look at the database container; all files are kept, the next pass imports them".into(),
            Self::Unreachable { .. } => "check MATOMO_URL and that Matomo runs; all files are kept, the next pass imports them".into(),
            Self::NotMatomo { .. } => "check that MATOMO_URL is the address you open Matomo with; all files are kept".into(),
            Self::WrongToken => {
                "make a new token in Matomo (Administration > Personal > Security) that is not limited to secure requests".into()
            }
            Self::UnknownSite { site } => {
                format!("create site {site} in Matomo, or give the token's user write access to it, or rename the folder {site}")
            }
            Self::LedgerSiteHasLogs { site, .. } => format!(
                "create a Matomo site that receives nothing else and set MATOMO_LEDGER_SITE to its number, or rename the folder {site}; \
                 nothing was sent"
            ),
            Self::WrongClock { .. } => {
                "set the clock of the host (NTP); all files are kept, the next pass imports them".into()
            }
            Self::Ledger { site, .. } => format!(
                "restore the folder of the ledger from a backup that is newer, or look with `log-analytics adopt --site {site} --dry-run` \
                 what can be done without one; nothing was sent"
            ),
            Self::LedgerSite { .. } => {
                "create the site in Matomo and give the token's user write access to it, or unset MATOMO_LEDGER_SITE".into()
            }
            Self::ReadOnlyToken { site } => format!("give the token's user write access to site {site}"),
        }
    }
}

impl Matomo {
    /// Asks whether hits for a site would be taken now. Stores nothing.
    pub(super) async fn probe(&self, site: SiteId) -> Probe {
        // Two days ago: old enough to need a token with write access, young enough for any retention of raw data.
        let date =
            jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - 2 * 24 * 60 * 60).unwrap_or_default();
        let cdt = date.strftime("%Y-%m-%d %H:%M:%S");
        let hit = format!(r#"{{"idsite":"{site}","rec":"0","apiv":"1","cip":"192.0.2.1","cdt":"{cdt}"}}"#);
        let body = format!(r#"{{"requests":[{hit}{}"#, self.end);
        match self.send_body(body.into(), 1, 1).await {
            Outcome::Delivered(_) => Probe::Ready,
            other => Probe::Not(other),
        }
    }

    /// Makes sure that hits for a site would be taken now.
    ///
    /// # Errors
    /// The reason why they would not.
    pub async fn preflight(&self, site: SiteId) -> Result<(), Refusal> {
        // A probe stores nothing, so one odd answer need not cost a whole pass.
        for pause in PAUSES_BETWEEN_PROBES {
            match self.judge_probe(site).await {
                Err(refusal) if refusal.may_pass_soon() => tokio::time::sleep(pause).await,
                judged => return judged,
            }
        }
        self.judge_probe(site).await
    }

    async fn judge_probe(&self, site: SiteId) -> Result<(), Refusal> {
        match self.probe(site).await {
            Probe::Ready => Ok(()),
            Probe::Not(Outcome::Rejected(Rejection::RecordingOff)) => Err(Refusal::RecordingOff),
            Probe::Not(Outcome::Rejected(Rejection::NotAllowed)) => Err(self.why_not_allowed(site).await),
            Probe::Not(Outcome::InDoubt(Doubt { seen: Seen::MatomoError, .. })) => Err(Refusal::DatabaseDown),
            Probe::Not(Outcome::Transient(why)) => Err(self.unreachable(why)),
            Probe::Not(Outcome::InDoubt(doubt)) => Err(self.why_in_doubt(doubt.why).await),
            Probe::Not(Outcome::Rejected(_) | Outcome::Delivered(_)) => {
                Err(self.unreachable("the web server takes no request of Matomo's tracker".to_owned()))
            }
        }
    }

    async fn why_not_allowed(&self, site: SiteId) -> Refusal {
        match self.site(site).await {
            Ok(_) => Refusal::ReadOnlyToken { site },
            Err(ApiError::Token) => Refusal::WrongToken,
            Err(_) => match self.version().await {
                Err(ApiError::Token | ApiError::Refused { .. }) => Refusal::WrongToken,
                _ => Refusal::UnknownSite { site },
            },
        }
    }

    async fn why_in_doubt(&self, why: String) -> Refusal {
        match self.version().await {
            Err(ApiError::NotMatomo { status: 503, .. }) => Refusal::Maintenance,
            Err(ApiError::Http { .. }) => self.unreachable(why),
            _ => Refusal::NotMatomo { url: self.url(), why },
        }
    }

    /// What an error of the API means for an import.
    pub fn refusal_of(&self, error: &ApiError) -> Refusal {
        let url = self.url();
        match error {
            ApiError::Token => Refusal::WrongToken,
            ApiError::NotMatomo { status: 503, .. } => Refusal::Maintenance,
            ApiError::NotMatomo { .. } => Refusal::NotMatomo { url, why: error.sentence() },
            ApiError::Refused { message, .. } if message.contains("SQLSTATE") => Refusal::DatabaseDown,
            ApiError::Http { .. } | ApiError::Refused { .. } | ApiError::TooLong { .. } => {
                self.unreachable(error.sentence())
            }
        }
    }

    fn unreachable(&self, why: String) -> Refusal {
        Refusal::Unreachable { url: self.url(), why }
    }
}
