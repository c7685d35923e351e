//! Two guards: against a loop of restarts, where each start of a container would run its job; and against going on when
//! every run fails.

use std::time::Duration;

use jiff::Timestamp;
use tracing::error;

use crate::{
    config::{Count, Span},
    words::length_in_words,
};

/// How many runs may fail in a row before the program ends (`MAX_CONSECUTIVE_FAILURES`).
pub type FailuresMax = Count<1, 1_000_000>;

/// Whether so many runs of a job failed in a row that the program ends; says so.
pub fn too_many_failures(most: Option<FailuresMax>, job: &str, failures: u64) -> bool {
    let too_many = most.is_some_and(|most| failures >= most.get());
    if too_many {
        error!(job, failures, "Too many runs failed in a row: the program ends (MAX_CONSECUTIVE_FAILURES)");
    }
    too_many
}

/// Why a run must not start now, if the last one started less than `least` (`MIN_INTERVAL`) ago. Runs that somebody
/// asks for by a signal are not guarded.
pub fn too_soon(least: Option<&Span>, last_start: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let least = least?.get();
    // A clock that was set back since has nothing to say.
    let since = Duration::try_from(last_start?.duration_until(now)).ok()?;
    (since < least).then(|| {
        format!("the last run started {} ago, and MIN_INTERVAL is {}", length_in_words(since), length_in_words(least))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value as _;

    #[test]
    fn c_119_a_run_is_too_soon_within_the_interval_and_not_after_it() {
        let ten_minutes = Span::parse("10m").unwrap();
        let at = |second: i64| Timestamp::from_second(1_767_225_600 + second).unwrap();
        let guarded = |last, now| too_soon(Some(&ten_minutes), last, at(now)).is_some();
        assert!(guarded(Some(at(0)), 0) && guarded(Some(at(0)), 599));
        assert!(!guarded(Some(at(0)), 600) && !guarded(None, 0) && !guarded(Some(at(900)), 0));
        assert_eq!(too_soon(None, Some(at(0)), at(1)), None);
    }
}
