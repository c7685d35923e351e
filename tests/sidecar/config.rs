//! Every environment variable of the test sidecar.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use shared::{
    config::Neighbours, health_http::ListenOptions, job::JobOptions, logging::LogOptions, notify::NotifyOptions,
    process::LimitOptions, schedule::Schedule, secret::Secret,
};

shared::settings! {
    /// What the test sidecar reads from its environment.
    pub struct Settings {
        /// Command line that a run executes with `sh -c`.
        pub command: String = required("JOB_COMMAND").example("echo hello").secret(),
        /// When it runs.
        pub cron: Schedule = default("JOB_CRON", "0 * * * *"),
        /// What its lines are marked with.
        pub label: String = default("JOB_LABEL", "job"),
        /// A secret that only the job knows.
        pub password: Option<Secret> = optional("JOB_PASSWORD"),
        /// Folder of locks, history and health.
        pub state_dir: PathBuf = default("STATE_DIR", "/state"),
        /// Time zone of the schedule.
        pub zone: TimeZone = default("TZ", "UTC").example("Europe/Copenhagen"),
        /// A run without a line of output is suspicious.
        pub expect_output: bool = default("JOB_EXPECT_OUTPUT", "no"),
        /// How runs are timed.
        pub job: JobOptions,
        /// How long runs may take.
        pub limits: LimitOptions,
        /// Where health is answered.
        pub listen: ListenOptions,
        /// Who is told.
        pub notify: NotifyOptions,
        /// Level and format of the log.
        pub log: LogOptions,
    }
}

shared::settings! {
    /// The setting that `health` and `history` need.
    pub struct StateSettings {
        /// As for `run`.
        pub state_dir: PathBuf = default("STATE_DIR", "/state"),
    }
}

/// Which unknown variables are worth a warning.
pub fn neighbours() -> Neighbours {
    Neighbours { ours: &["JOB_"], theirs: &[] }
}
