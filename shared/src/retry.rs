//! A bounded number of attempts, spaced.

use std::{fmt, time::Duration};

use crate::shutdown::Shutdown;

/// How often and how far apart. Waits double from `first_wait` up to `wait_max`.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// All attempts together, the first included; at least one is made.
    pub attempts: u32,
    /// Wait before the second attempt.
    pub first_wait: Duration,
    /// Longest wait.
    pub wait_max: Duration,
    /// Spreads the waits of several programs; the same seed gives the same waits.
    pub seed: u64,
}

/// Why an attempt failed, and whether another one is worth it.
#[derive(Debug)]
pub enum Again<E> {
    /// It may work next time.
    Retry(E),
    /// It will never work.
    Stop(E),
}

/// Why no more attempts are made.
#[derive(Debug)]
pub enum GaveUp<E> {
    /// The operation said that it will never work.
    Stopped(E),
    /// All attempts were used.
    Exhausted {
        /// How many.
        attempts: u32,
        /// What the last one said.
        error: E,
    },
    /// The program is stopping; this is what the last attempt said.
    Interrupted(E),
}

impl<E> GaveUp<E> {
    /// What the last attempt said.
    pub fn into_error(self) -> E {
        match self {
            GaveUp::Stopped(error) | GaveUp::Exhausted { error, .. } | GaveUp::Interrupted(error) => error,
        }
    }
}

impl<E> fmt::Display for GaveUp<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GaveUp::Stopped(_) => f.write_str("another attempt would not help"),
            GaveUp::Exhausted { attempts, .. } => write!(f, "gave up after {attempts} attempts"),
            GaveUp::Interrupted(_) => f.write_str("no further attempt because the program is stopping"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for GaveUp<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            GaveUp::Stopped(error) | GaveUp::Exhausted { error, .. } | GaveUp::Interrupted(error) => Some(error),
        }
    }
}

impl Policy {
    /// The wait after an attempt (counted from 1): doubled each time, then between half and all of it.
    pub fn wait_after(&self, attempt: u32) -> Duration {
        let doubled = self.first_wait.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait = doubled.min(self.wait_max);
        let parts = u32::try_from(scrambled(self.seed.wrapping_add(u64::from(attempt))) % 1_001).unwrap_or(0);
        wait / 2 + wait / 2 / 1_000 * parts
    }
}

/// One step of splitmix64: enough to spread, and the same everywhere.
fn scrambled(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Makes attempts until one works. `operation` is told which attempt it is, counted from 1.
/// The wish to stop ends a wait, never an attempt.
pub async fn retry<T, E>(
    policy: &Policy,
    shutdown: &Shutdown,
    mut operation: impl AsyncFnMut(u32) -> Result<T, Again<E>>,
) -> Result<T, GaveUp<E>> {
    let mut attempt = 1;
    loop {
        let error = match operation(attempt).await {
            Ok(done) => return Ok(done),
            Err(Again::Stop(error)) => return Err(GaveUp::Stopped(error)),
            Err(Again::Retry(error)) => error,
        };
        if attempt >= policy.attempts {
            return Err(GaveUp::Exhausted { attempts: attempt, error });
        }
        tokio::select! {
            biased;
            () = shutdown.wait_at_all() => return Err(GaveUp::Interrupted(error)),
            () = tokio::time::sleep(policy.wait_after(attempt)) => attempt += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const POLICY: Policy =
        Policy { attempts: 4, first_wait: Duration::from_secs(1), wait_max: Duration::from_secs(3), seed: 7 };

    #[tokio::test(start_paused = true)]
    async fn it_tries_again_until_it_works() {
        let done = retry(&POLICY, &Shutdown::never(), async |attempt| match attempt {
            3 => Ok("done"),
            _ => Err(Again::Retry("not yet")),
        })
        .await;
        assert_eq!(done.unwrap(), "done");
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_after_the_last_attempt_without_a_wait() {
        let begin = Instant::now();
        let mut made = 0;
        let ended: Result<(), _> = retry(&POLICY, &Shutdown::never(), async |attempt| {
            made = attempt;
            Err(Again::Retry("never"))
        })
        .await;
        assert!(matches!(ended, Err(GaveUp::Exhausted { attempts: 4, error: "never" })));
        assert_eq!(made, 4);
        let waits: Duration = (1..=3).map(|attempt| POLICY.wait_after(attempt)).sum();
        assert!(begin.elapsed() >= waits && begin.elapsed() < waits + Duration::from_millis(10));
    }

    #[tokio::test]
    async fn what_will_never_work_is_tried_once() {
        let ended: Result<(), _> = retry(&POLICY, &Shutdown::never(), async |attempt| Err(Again::Stop(attempt))).await;
        assert!(matches!(ended, Err(GaveUp::Stopped(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wish_to_stop_ends_the_wait() {
        let shutdown = Shutdown::never();
        let begin = Instant::now();
        let ended: Result<(), _> = retry(&POLICY, &shutdown, async |attempt| {
            shutdown.request();
            Err(Again::Retry(attempt))
        })
        .await;
        assert!(matches!(ended, Err(GaveUp::Interrupted(1))));
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[test]
    fn waits_double_up_to_a_limit_and_depend_on_the_seed_alone() {
        for attempt in 1..100 {
            let whole = Duration::from_secs(1 << (attempt - 1).min(5)).min(POLICY.wait_max);
            let wait = POLICY.wait_after(attempt);
            assert!(wait >= whole / 2 && wait <= whole, "{attempt}: {wait:?}");
            assert_eq!(wait, POLICY.wait_after(attempt));
        }
        let other = Policy { seed: 8, ..POLICY };
        assert_ne!(other.wait_after(1), POLICY.wait_after(1));
    }
}
