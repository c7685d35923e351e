//! The settings that all jobs share.

use super::guard::FailuresMax;
use crate::{
    config::{Count, Span, Value},
    process::StopOptions,
};

crate::settings! {
    /// When a job may run, and when its failures matter. A group for the settings of any program with a job.
    pub struct JobOptions {
        /// What happens when the program starts: `missed` runs the job at once if a time of the schedule went by since its last run (the first start counts as such), `yes` always runs it (unless `MIN_INTERVAL` says that it would be too soon), `no` waits for the next time.
        pub at_start: AtStart = default("RUN_AT_START", "missed").example("no"),
        /// A time of the schedule that went by longer ago than this is not made up for. Not limited when unset.
        pub catch_up: Option<Span> = optional("CATCH_UP_WITHIN").example("6h"),
        /// What happens when the next time comes while the job still runs: `forbid` leaves it out, `queue` runs once more afterwards, `replace` stops the old run for a new one.
        pub overlap: Overlap = default("OVERLAP", "forbid").example("queue"),
        /// A run that would start sooner than this after the start of the last one is left out: against restarts in a loop.
        pub min_interval: Option<Span> = optional("MIN_INTERVAL").example("10m"),
        /// Runs start up to this much later than planned; the same host and job always wait equally long.
        pub jitter: Span = default("JITTER", "0s").example("5m"),
        /// Attempts at a run whose failure may pass by itself.
        pub attempts: Count<1, 100> = default("JOB_ATTEMPTS", "1").example("3"),
        /// Pause before the second attempt; it doubles from there, up to fifteen minutes.
        pub retry_delay: Span = default("JOB_RETRY_DELAY", "10s"),
        /// After so many failed runs in a row the program itself ends, with exit code 1. Never when unset.
        pub failures_max: Option<FailuresMax> = optional("MAX_CONSECUTIVE_FAILURES").example("5"),
        /// A run that has not started (or not ended well) this long after its time is late.
        pub late_after: Span = default("LATE_AFTER", "15m"),
        /// How long `once` waits for a run of another process before it gives up with exit code 75.
        pub lock_wait: Span = default("LOCK_WAIT", "0s").example("10m"),
        /// How long `run` waits at its start for a folder of its state that is not there yet, such as a network volume; then it ends with exit code 73.
        pub volume_wait: Span = default("VOLUME_WAIT", "30s").example("5m"),
        /// How a run is stopped.
        pub stop: StopOptions,
    }
}

/// Whether the job runs when the program starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtStart {
    /// If a time of the schedule went by since the last run.
    Missed,
    /// Always.
    Yes,
    /// Never.
    No,
}

impl Value for AtStart {
    fn rule() -> String {
        "missed, yes or no".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("missed") {
            return Ok(AtStart::Missed);
        }
        bool::parse(text).map(|yes| if yes { AtStart::Yes } else { AtStart::No })
    }
}

/// What a slot means while the job still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is left out.
    Forbid,
    /// The job runs once more afterwards.
    Queue,
    /// The run under way is stopped for a new one.
    Replace,
}

impl Value for Overlap {
    fn rule() -> String {
        "forbid, queue or replace".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "forbid" => Ok(Overlap::Forbid),
            "queue" | "queue-one" => Ok(Overlap::Queue),
            "replace" => Ok(Overlap::Replace),
            _ => Err(String::new()),
        }
    }
}
