//! Waits that differ between hosts and jobs, and are the same each time.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use super::options::JobOptions;
use crate::retry::Policy;

const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// The pauses between attempts.
pub(super) struct Pace(Policy);

impl Pace {
    pub(super) fn between_attempts(options: &JobOptions) -> Self {
        let attempts = u32::try_from(options.attempts.get()).unwrap_or(u32::MAX);
        Self(Policy { attempts, first_wait: options.retry_delay.get(), wait_max: WAIT_MAX, seed: seed(&host(), "") })
    }

    pub(super) fn wait_after(&self, attempt: u32) -> Duration {
        self.0.wait_after(attempt)
    }
}

/// How much later than planned a job starts on a host: from nothing to all of `jitter`, always the same.
pub(super) fn delay(jitter: Duration, host: &str, job: &str) -> Duration {
    const PARTS: u64 = 1_000_000;
    let part = u32::try_from(seed(host, job) % PARTS).unwrap_or(0);
    jitter.mul_f64(f64::from(part) / PARTS as f64)
}

/// The name of this host, or container.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn seed(host: &str, job: &str) -> u64 {
    // Its keys are fixed, so the answer is the same in every process.
    let mut hasher = DefaultHasher::new();
    (host, job).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_070_a_delay_is_bounded_repeatable_and_differs_between_hosts() {
        let jitter = Duration::from_secs(300);
        let delays: Vec<Duration> = (0..50).map(|host| delay(jitter, &format!("host{host}"), "fetch")).collect();
        assert!(delays.iter().all(|delay| *delay < jitter));
        assert!(delays.iter().any(|delay| *delay != delays[0]));
        assert_eq!(delay(jitter, "host7", "fetch"), delays[7]);
        assert_ne!(delay(jitter, "host7", "other"), delays[7]);
        assert_eq!(delay(Duration::ZERO, "host7", "fetch"), Duration::ZERO);
    }
}
