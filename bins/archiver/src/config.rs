//! Every environment variable of archiver, declared once.

mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use shared::config::{Address, Count, Family, Neighbours, Span};
use shared::health_http::ListenOptions;
use shared::job::FailuresMax;
use shared::logging::LogOptions;
use shared::notify::NotifyOptions;
use shared::process::{Limits, RunAs, StopPolicy, StopSignal};
use shared::secret::Secret;

use crate::raw_data::DaysToKeep;

pub use value::{Concurrency, ConsoleJob, MemoryLimit, Mode, SiteId, Sites, When, Words, site_list};

shared::settings! {
    /// What archiver reads from its environment.
    pub struct Settings {
        /// How Matomo is reached: `console` runs its command line in this container, `http` asks it over the network, `auto` takes the console if there is one.
        pub mode: Mode = default("ARCHIVE_MODE", "auto"),
        /// Address of Matomo. HTTP mode needs it; in console mode it is passed on as `--url`.
        pub matomo_url: Option<Address> = optional("MATOMO_URL").example("http://matomo"),
        /// Token of a superuser of Matomo, for HTTP mode; it is sent in the body, never in an address.
        pub matomo_token: Option<Secret> = optional("MATOMO_TOKEN"),
        /// Matomo's file `console`, or the folder it is in; looked for in the layouts of the official and of Bitnami's images when unset.
        pub console: Option<PathBuf> = optional("MATOMO_CONSOLE").example("/var/www/html/console"),
        /// The PHP command line; looked for in PATH when unset.
        pub php: Option<PathBuf> = optional("MATOMO_PHP").example("/usr/local/bin/php"),
        /// Whom the console runs as when this container runs as root: the owner of Matomo's files, `self`, a name, or numbers.
        pub run_as: RunAs = default("RUN_AS_USER", "owner").example("www-data"),
        /// When to archive: a cron expression of five fields, or six with seconds first; `off` for never.
        pub archive: When = default("MATOMO_ARCHIVE_CRON", "0 30 * * * *"),
        /// How many archivers may run at once, in all places (`--concurrent-archivers`); Matomo's own limit when unset.
        pub archivers: Option<Concurrency> = optional("CONCURRENT_ARCHIVERS").example("1"),
        /// Requests for one site at the same time (`--concurrent-requests-per-website`); Matomo's own number when unset.
        pub requests: Option<Concurrency> = optional("CONCURRENT_REQS_PER_WEBSITE").example("3"),
        /// Archive these sites only (`--force-idsites`).
        pub sites: Vec<SiteId> = optional("IDSITE").example("1,2"),
        /// Leave these sites out (`--skip-idsites`).
        pub skip_sites: Vec<SiteId> = optional("EXCLUDEIDSITE").example("3"),
        /// Memory for each PHP process of the console.
        pub memory: Option<MemoryLimit> = optional("PHP_MEMORY_LIMIT").example("2G"),
        /// More options for `core:archive`.
        pub options: Words = optional("ARCHIVE_OPTIONS").example("--skip-all-segments"),
        /// When to run Matomo's scheduled tasks by themselves; unset, they run at the end of each archiving.
        pub scheduled_tasks: Option<When> = optional("SCHEDULED_TASKS_CRON").example("0 15 * * * *"),
        /// When to synchronise users from LDAP (plugin LoginLdap).
        pub ldap: Option<When> = optional("MATOMO_LDAP_CRON").example("0 0 23 * * *"),
        /// When to delete old raw data.
        pub delete: Option<When> = optional("MATOMO_DELETE_CRON").example("0 0 4 5 * *"),
        /// Days of raw data to keep; what is older is deleted.
        pub days_to_keep: Option<DaysToKeep> = optional("DAYS_TO_KEEP").example("730"),
        /// Sites whose raw data is deleted; `all` must be said.
        pub sites_to_delete: Option<Sites> = optional("SITE_TO_DELETE").example("all"),
        /// The operator's own jobs.
        pub jobs: Family<ConsoleJob>,
        /// Free rows of the archiving queue that nobody works on any more, at the start and before each archiving, instead of only naming their sites.
        pub free_stuck: bool = default("ARCHIVE_FREE_STUCK", "no"),
        /// A queue row older than this is taken for stuck even when no run of ours was cut off; younger ones may belong to an archiver on another host.
        pub stuck_after: Span = default("ARCHIVE_STUCK_AFTER", "6h"),
        /// Longest wait for Matomo to be configured and its database to answer, before each job.
        pub wait: Span = default("WAIT_FOR_MATOMO", "10m"),
        /// Link what is mounted at `/config` and `/plugins` into Matomo's folders at the start. Nothing else is changed.
        pub prepare: bool = default("PREPARE_ENVIRONMENT", "no"),
        /// Folder of our own state: lock, history, health.
        pub state_dir: PathBuf = default("STATE_DIR", "/var/lib/archiver"),
        /// Runs that the history keeps.
        pub history: Count<1, 10_000> = default("HISTORY_RUNS", "500"),
        /// Longest time for a job; then it is ended.
        pub timeout: Span = default("JOB_TIMEOUT", "1d"),
        /// A run of a job that would start sooner than this after the start of its last one is left out: against restarts in a loop.
        pub min_interval: Option<Span> = optional("MIN_INTERVAL").example("10m"),
        /// After so many failed runs of a job in a row the program itself ends, with exit code 1. Never when unset.
        pub failures_max: Option<FailuresMax> = optional("MAX_CONSECUTIVE_FAILURES").example("5"),
        /// A job that takes longer than this is worth a warning.
        pub warn_after: Option<Span> = optional("JOB_WARN_AFTER").example("2h"),
        /// What a wish to stop means for a job under way: `finish` lets it work on until SHUTDOWN_GRACE is over, `now` asks it to end at once, which leaves sites of an archiving stuck.
        pub stop_policy: StopPolicy = default("STOP_POLICY", "finish"),
        /// Signal that asks a job to end.
        pub stop_signal: StopSignal = default("STOP_SIGNAL_TO_JOB", "TERM"),
        /// How long a job may work on after a wish to stop. Give the container at least as long (`stop_grace_period`).
        pub grace: Span = default("SHUTDOWN_GRACE", "1h"),
        /// How long PHP may take to end when it is asked to (with the extension pcntl it can); then it is killed.
        pub farewell: Span = default("STOP_FAREWELL", "20s"),
        /// File with the certificate of an authority of your own.
        pub ca_file: Option<PathBuf> = optional("CA_FILE").example("/run/secrets/ca.pem"),
        /// Time zone of the schedules, and of today when old raw data is deleted.
        pub zone: TimeZone = default("TZ", "UTC").example("Europe/Copenhagen"),
        /// Where the health of `run` is written. Default: `health.json` in STATE_DIR.
        pub health_file: Option<PathBuf> = optional("HEALTH_FILE").example("/tmp/health.json"),
        /// Where health is answered by HTTP.
        pub listen: ListenOptions,
        /// Who is told about runs.
        pub notify: NotifyOptions,
        /// Level and format of the log.
        pub log: LogOptions,
    }
}

shared::settings! {
    /// The few settings that `health`, `history` and `status` need: they must answer when others are wrong.
    pub struct StateSettings {
        /// As for `run`.
        pub state_dir: PathBuf = default("STATE_DIR", "/var/lib/archiver"),
        /// As for `run`.
        pub health_file: Option<PathBuf> = optional("HEALTH_FILE").example("/tmp/health.json"),
        /// As for `run`.
        pub zone: TimeZone = default("TZ", "UTC").example("Europe/Copenhagen"),
    }
}

impl StateSettings {
    /// The file to read.
    pub fn health_file(&self) -> PathBuf {
        health_file(self.health_file.as_deref(), &self.state_dir)
    }
}

impl Settings {
    /// The file that `health` reads.
    pub fn health_file(&self) -> PathBuf {
        health_file(self.health_file.as_deref(), &self.state_dir)
    }

    /// How long a job may take. Whether a wish to stop is passed on at once is decided before it gets here.
    pub fn limits(&self) -> Limits {
        Limits {
            soft: self.warn_after.map(Span::get),
            hard: Some(self.timeout.get()),
            signal: self.stop_signal.0,
            grace: self.farewell(),
            ..Limits::default()
        }
    }

    /// How long a job may take to end when it is asked to; at most half of the whole grace.
    fn farewell(&self) -> Duration {
        self.farewell.get().min(self.grace.get() / 2)
    }

    /// How long a job may work on after a wish to stop, before the signal is passed on to it.
    pub fn patience(&self) -> Duration {
        match self.stop_policy {
            StopPolicy::Finish => self.grace.get() - self.farewell(),
            StopPolicy::Now => Duration::ZERO,
        }
    }
}

fn health_file(file: Option<&Path>, state_dir: &Path) -> PathBuf {
    file.map_or_else(|| state_dir.join("health.json"), Path::to_owned)
}

/// The rows of this program in `docs/reference/environment.md`.
pub fn reference() -> String {
    shared::config::reference::<Settings>()
}

/// Which unknown variables are worth a warning: those that look like ours.
pub fn neighbours() -> Neighbours {
    Neighbours {
        ours: &["MATOMO_", "ARCHIVE_", "CONCURRENT_", "CONSOLE_"],
        // Variables of the other sidecars and of Matomo's own images, which often share one environment file with this.
        theirs: &[
            "MATOMO_RSYNC_*",
            "MATOMO_IMPORT_*",
            "MATOMO_LEDGER_*",
            "MATOMO_RECORDERS",
            "MATOMO_MAX_REQUESTS_PERS",
            "MATOMO_BATCH_SIZE",
            "MATOMO_REQUEST_*",
            "MATOMO_RETRY_DELAY",
            "MATOMO_IN_DOUBT_WAIT",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_can_be_read() {
        assert_eq!(shared::config::faults_in_declaration::<Settings>(), Vec::<String>::new());
    }
}
