//! Every environment variable of log-analytics, declared once.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use shared::config::{Address, Count, Neighbours, Span, Value};
use shared::health_http::ListenOptions;
use shared::http::SetupError;
use shared::job::FailuresMax;
use shared::logging::LogOptions;
use shared::notify::NotifyOptions;
use shared::schedule::Schedule;
use shared::secret::Secret;

use crate::discover::{Names, SiteId};
use crate::matomo::{Matomo, RetryPolicy};
use crate::options::{ImportOptions, SHOWN};

shared::settings! {
    /// What log-analytics reads from its environment.
    pub struct Settings {
        /// Address of Matomo, as this container reaches it.
        pub matomo_url: Address = required("MATOMO_URL").example("http://matomo"),
        /// Token of a Matomo user with write access to the sites. A superuser's token is not needed.
        pub matomo_token: Secret = required("MATOMO_TOKEN"),
        /// Matomo site that receives one mark per batch, so that Matomo itself can tell whether a batch arrived. Recommended: create a site for it and give the token's user write access.
        pub ledger_site: Option<SiteId> = optional("MATOMO_LEDGER_SITE").example("99"),
        /// Connections to Matomo that send at the same time.
        pub recorders: Count<1, 64> = default("MATOMO_RECORDERS", "4"),
        /// What to import and how, in the words of Matomo's own importer.
        pub import_options: ImportOptions = default("MATOMO_IMPORT_OPTIONS", "--enable-http-errors --enable-http-redirects --enable-static --enable-bots"),
        /// When to import: a cron expression of five fields, or six with seconds first.
        pub cron: Schedule = default("MATOMO_IMPORT_LOGS_CRON", "0 5 * * * *"),
        /// Hits sent a second, at most; not limited when unset.
        pub requests_per_second: Option<Count<1, 1_000_000>> = optional("MATOMO_MAX_REQUESTS_PERS").example("1000"),
        /// A pass that would start sooner than this after the start of the last one is left out: against restarts in a loop.
        pub min_interval: Option<Span> = optional("MIN_INTERVAL").example("10m"),
        /// After so many failed passes in a row the program itself ends, with exit code 1. Never when unset.
        pub failures_max: Option<FailuresMax> = optional("MAX_CONSECUTIVE_FAILURES").example("5"),
        /// Folder with `logs/<SITE_ID>/` below it; our state lies beside `logs`.
        pub analytics_dir: PathBuf = default("ANALYTICS_DIR", "/analytics"),
        /// Where the ledger is: `file:` and a folder. Default: `ledger` below ANALYTICS_DIR.
        pub ledger_url: Option<LedgerUrl> = optional("LEDGER_URL").example("file:/analytics/ledger"),
        /// Where the shell image kept its state, to be taken over. Default: `processed` below ANALYTICS_DIR.
        pub legacy_state_dir: Option<PathBuf> = optional("LEGACY_STATE_DIR").example("/analytics/processed"),
        /// Names of the files to take: shell patterns, those after a `!` are left out.
        pub files: Names = default("IMPORT_FILES", "*access*,*.log,*.log.*,!*error*"),
        /// How long an archive must not have changed to be complete. Of a plain file whole lines are read though it is younger, after a pass has waited so long (30 seconds at most).
        pub settle_time: Span = default("SETTLE_TIME", "10s"),
        /// Attempts at a file that fails through its own fault (a damaged archive, an unknown format) before it is quarantined.
        pub attempts: Count<1, 1000> = default("IMPORT_ATTEMPTS", "3"),
        /// Hits in one request, at most.
        pub batch_size: Count<1, 10_000> = default("MATOMO_BATCH_SIZE", "400"),
        /// Longest turn of a site, while other sites wait for theirs: a backlog does not keep their fresh logs waiting.
        pub site_turn: Span = default("SITE_TURN", "10m"),
        /// Without effect: hits leave in the order of time. Earlier versions rearranged as many.
        pub window: Option<Count<1, 100_000>> = optional("IMPORT_WINDOW").example("2500"),
        /// Longest wait for an answer of Matomo.
        pub request_timeout: Span = default("MATOMO_REQUEST_TIMEOUT", "300s"),
        /// Times a batch is sent in all before the pass gives up.
        pub request_attempts: Count<1, 100> = default("MATOMO_REQUEST_ATTEMPTS", "5"),
        /// Longest pause between two of them; the first pauses are shorter.
        pub retry_delay: Span = default("MATOMO_RETRY_DELAY", "10s"),
        /// Shortest wait before a batch in doubt is sent again; longer when Matomo was seen to be slow.
        pub in_doubt_wait: Span = default("MATOMO_IN_DOUBT_WAIT", "5s"),
        /// Hours (in TZ) in which reports of past days are invalidated; two equal times mean all day.
        pub quiet_hours: QuietHours = default("INVALIDATE_HOURS", "01:00-07:00"),
        /// File with the certificate of an authority of your own.
        pub ca_file: Option<PathBuf> = optional("CA_FILE").example("/run/secrets/ca.pem"),
        /// Time zone of the schedule and the quiet hours.
        pub zone: TimeZone = default("TZ", "UTC").example("Europe/Copenhagen"),
        /// How long requests under way may take after a wish to stop.
        pub grace: Span = shared::shutdown::GRACE,
        /// Where the health of `run` is written. Default: `health.json` in the ledger's folder.
        pub health_file: Option<PathBuf> = optional("HEALTH_FILE").example("/tmp/health.json"),
        /// File that `run` and `once` rewrite with the page of `report` after each pass.
        pub report_file: Option<PathBuf> = optional("REPORT_FILE").example("/analytics/report.html"),
        /// Token without which nobody sees `/report`: a browser asks for it as the password of any user, programs send it as a bearer token. Everybody who reaches HEALTH_LISTEN sees it when unset.
        pub report_token: Option<Secret> = optional("REPORT_TOKEN"),
        /// Where health, metrics and the page of `report` (at `/report`) are answered by HTTP.
        pub listen: ListenOptions,
        /// Who is told about passes.
        pub notify: NotifyOptions,
        /// Level and format of the log.
        pub log: LogOptions,
    }
}

shared::settings! {
    /// The few settings that `health` and `history` need: they must answer when others are wrong.
    pub struct HealthSettings {
        /// As for `run`.
        pub analytics_dir: PathBuf = default("ANALYTICS_DIR", "/analytics"),
        /// As for `run`.
        pub ledger_url: Option<LedgerUrl> = optional("LEDGER_URL").example("file:/analytics/ledger"),
        /// As for `run`.
        pub health_file: Option<PathBuf> = optional("HEALTH_FILE").example("/tmp/health.json"),
    }
}

shared::settings! {
    /// What `import` takes from the environment where its options do not say it.
    pub struct ImportSettings {
        /// As for `run`.
        pub matomo_url: Option<Address> = optional("MATOMO_URL").example("http://matomo"),
        /// As for `run`.
        pub matomo_token: Option<Secret> = optional("MATOMO_TOKEN"),
        /// As for `run`.
        pub ledger_site: Option<SiteId> = optional("MATOMO_LEDGER_SITE").example("99"),
        /// As for `run`.
        pub ca_file: Option<PathBuf> = optional("CA_FILE").example("/run/secrets/ca.pem"),
        /// As for `run`.
        pub in_doubt_wait: Span = default("MATOMO_IN_DOUBT_WAIT", "5s"),
        /// As for `run`.
        pub window: Option<Count<1, 100_000>> = optional("IMPORT_WINDOW").example("2500"),
        /// As for `run`.
        pub analytics_dir: PathBuf = default("ANALYTICS_DIR", "/analytics"),
        /// As for `run`.
        pub ledger_url: Option<LedgerUrl> = optional("LEDGER_URL").example("file:/analytics/ledger"),
        /// As for `run`.
        pub requests_per_second: Option<Count<1, 1_000_000>> = optional("MATOMO_MAX_REQUESTS_PERS").example("1000"),
        /// As for `run`.
        pub grace: Span = shared::shutdown::GRACE,
        /// As for `run`.
        pub log: LogOptions,
    }
}

impl ImportSettings {
    /// Folder of the ledger, for files that lie below the logs folder of a site.
    pub fn ledger_folder(&self) -> PathBuf {
        ledger_folder(self.ledger_url.as_ref(), &self.analytics_dir)
    }
}

impl HealthSettings {
    /// Folder of the ledger, where the history of passes is.
    pub fn ledger_folder(&self) -> PathBuf {
        ledger_folder(self.ledger_url.as_ref(), &self.analytics_dir)
    }

    /// The file to read.
    pub fn health_file(&self) -> PathBuf {
        health_file(self.health_file.as_deref(), &self.ledger_folder())
    }
}

fn ledger_folder(url: Option<&LedgerUrl>, analytics_dir: &Path) -> PathBuf {
    url.map_or_else(|| analytics_dir.join("ledger"), |url| url.folder().to_owned())
}

fn health_file(file: Option<&Path>, ledger_folder: &Path) -> PathBuf {
    file.map_or_else(|| ledger_folder.join("health.json"), Path::to_owned)
}

impl Settings {
    /// Folder with one folder per site.
    pub fn logs_folder(&self) -> PathBuf {
        self.analytics_dir.join("logs")
    }

    /// Folder of the shell image's state.
    pub fn legacy_folder(&self) -> PathBuf {
        self.legacy_state_dir.clone().unwrap_or_else(|| self.analytics_dir.join("processed"))
    }

    /// Folder of the embedded ledger.
    pub fn ledger_folder(&self) -> PathBuf {
        ledger_folder(self.ledger_url.as_ref(), &self.analytics_dir)
    }

    /// The file that `health` reads.
    pub fn health_file(&self) -> PathBuf {
        health_file(self.health_file.as_deref(), &self.ledger_folder())
    }
}

impl Settings {
    /// How often batches are sent and how long answers may take, knowing the slowest answer so far.
    pub fn retry_policy(&self, slowest_ms: Option<u64>) -> RetryPolicy {
        let server = &self.import_options.server;
        RetryPolicy {
            attempts_max: server.retry_max_attempts.unwrap_or(self.request_attempts.get() as u32),
            retry_delay: server.retry_delay_seconds.map_or(self.retry_delay.get(), Duration::from_secs),
            doubt_least: self.in_doubt_wait.get(),
            grace: self.grace.get(),
            slowest: Cell::new(slowest_ms.map(Duration::from_millis)),
        }
    }

    /// The server as the settings and the import options describe it together; the options win.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn matomo(&self) -> Result<Matomo, SetupError> {
        let server = &self.import_options.server;
        let timeout = server.request_timeout_seconds.map_or(self.request_timeout.get(), Duration::from_secs);
        let address = server.address(self.matomo_url.as_str(), Some(self.matomo_token.clone()), self.ledger_site);
        server.connect(address, timeout, self.ca_file.clone())
    }
}

/// The rows of this program in `docs/reference/environment.md`.
pub fn reference() -> String {
    shared::config::reference::<Settings>()
}

/// Which unknown variables are worth a warning: those that look like ours.
pub fn neighbours() -> Neighbours {
    Neighbours {
        ours: &["MATOMO_", "IMPORT_", "LEDGER_", "ANALYTICS_"],
        // Variables of the other sidecars, which often share one environment file with this one.
        theirs: &[
            "MATOMO_RSYNC_*",
            "MATOMO_ARCHIVE_*",
            "MATOMO_DELETE_*",
            "MATOMO_LDAP_*",
            "MATOMO_CONSOLE",
            "MATOMO_DATABASE_*",
            "MATOMO_USERNAME",
            "MATOMO_PASSWORD",
            "MATOMO_EMAIL",
            "MATOMO_WEBSITE_*",
            "MATOMO_HOST",
            "MATOMO_FIRST_USER_NAME",
            "MATOMO_VERSION",
        ],
    }
}

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerUrl(PathBuf);

impl LedgerUrl {
    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Value for LedgerUrl {
    fn rule() -> String {
        "`file:` and the absolute path of a folder".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")).unwrap_or(text);
        if path.starts_with('/') { Ok(Self(path.into())) } else { Err("only a folder is supported so far".to_owned()) }
    }
}

/// Hours of the day, from one time to another; past midnight if the second is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: Time,
    to: Time,
}

impl QuietHours {
    /// Whether a time of day lies within; two equal times mean the whole day.
    pub fn contains(&self, time: Time) -> bool {
        if self.from < self.to { (self.from..self.to).contains(&time) } else { time >= self.from || time < self.to }
    }
}

impl Value for QuietHours {
    fn rule() -> String {
        "two times of day, such as 01:00-07:00".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once('-').ok_or("there is no `-` in it")?;
        let time = |text: &str| text.trim().parse::<Time>().map_err(|_| format!("`{}` is no time of day", text.trim()));
        Ok(Self { from: time(from)?, to: time(to)? })
    }
}

impl Value for SiteId {
    fn rule() -> String {
        "the number of a Matomo site".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(str::to_owned)
    }
}

impl Value for Names {
    fn rule() -> String {
        "shell patterns, separated by commas".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl Value for ImportOptions {
    fn rule() -> String {
        "options of Matomo's log importer".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::from_text(text).map_err(|error| crate::matomo::sentence(&error))
    }

    fn shown(text: &str) -> String {
        shared::veil::options(text, SHOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_can_be_read() {
        assert_eq!(shared::config::faults_in_declaration::<Settings>(), Vec::<String>::new());
    }

    #[test]
    fn quiet_hours_may_pass_midnight() {
        let at = |text: &str| text.parse::<Time>().unwrap();
        let night = <QuietHours as Value>::parse("22:30-06:00").unwrap();
        assert!(night.contains(at("23:00")) && night.contains(at("05:59")) && !night.contains(at("06:00")));
        let morning = <QuietHours as Value>::parse("01:00-07:00").unwrap();
        assert!(morning.contains(at("01:00")) && !morning.contains(at("00:59")) && !morning.contains(at("07:00")));
    }
}
