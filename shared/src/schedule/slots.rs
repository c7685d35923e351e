//! The loop of a scheduled job: wait for a slot, let the caller run, count what was missed meanwhile.
//!
//! The caller runs the job itself between two waits, so two runs never overlap.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{expression::Schedule, timer::sleep_by_wall_clock};
use crate::shutdown::Shutdown;

/// Longest sleep without a look at the wall clock, which may be set or stand still with the machine.
const SLICE: Duration = Duration::from_secs(30);
/// Missed slots are counted up to here; more are as many.
pub const MISSED_MAX: usize = 10_000;
/// A clock that went back further than this was wrong before, so the slots start again from it.
const CLOCK_STEP_BACK: SignedDuration = SignedDuration::from_hours(24);

/// The slots of a schedule, one after the other, each at most once.
#[derive(Clone, Debug)]
pub struct Slots {
    schedule: Schedule,
    next: Option<Timestamp>,
}

impl Slots {
    /// The slots after a moment: now at the start, or the last run of an earlier life.
    pub fn after(schedule: Schedule, moment: Timestamp) -> Self {
        let next = schedule.next_after(moment);
        Self { schedule, next }
    }

    /// The slot to wait for; `None` when the calendar ends.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// The schedule behind the slots.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Moves past the slot that was just served and past all that went by meanwhile; answers how many of
    /// the latter there were. They are not made up for: the run that just ended is as good as all of them.
    pub fn after_run(&mut self, now: Timestamp) -> usize {
        let Some(served) = self.next else { return 0 };
        if now.duration_until(served) > CLOCK_STEP_BACK {
            self.next = self.schedule.next_after(now);
            return 0;
        }
        let mut missed = 0;
        self.next = self.schedule.next_after(served);
        while let Some(slot) = self.next.filter(|slot| *slot <= now) {
            missed += 1;
            let from = if missed == MISSED_MAX { now } else { slot };
            self.next = self.schedule.next_after(from);
        }
        missed
    }
}

/// A time of the schedule that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The latest one.
    pub slot: Timestamp,
    /// How many before it went by unserved.
    pub missed: usize,
}

impl Slots {
    /// Takes all slots up to now; the run of the latest is as good as all of them.
    pub fn take_due(&mut self, now: Timestamp) -> Option<Due> {
        let mut due = None;
        while let Some(slot) = self.next.filter(|slot| *slot <= now) {
            let missed = due.map_or(0, |due: Due| due.missed + 1);
            due = Some(Due { slot, missed });
            let from = if missed >= MISSED_MAX { now } else { slot };
            self.next = self.schedule.next_after(from);
        }
        due
    }

    /// Looks at the clock again after it may have been set: one that went back far was wrong before.
    pub fn look_again(&mut self, now: Timestamp) {
        let next = self.schedule.next_after(now);
        let ahead = |next: Timestamp| self.next.is_some_and(|planned| next.duration_until(planned) > CLOCK_STEP_BACK);
        if next.is_some_and(ahead) {
            self.next = next;
        }
    }

    /// Follows another schedule from now on.
    pub fn change(&mut self, schedule: Schedule, now: Timestamp) {
        *self = Self::after(schedule, now);
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The slot is here, or already past.
    Due,
    /// The program was asked to stop.
    Stopping,
}

/// Waits until the wall clock reaches the slot, or until the wish to stop; without a slot, for the wish alone.
pub async fn wait_until(slot: impl Into<Option<Timestamp>>, shutdown: &Shutdown) -> Waited {
    let Some(slot) = slot.into() else {
        shutdown.wait().await;
        return Waited::Stopping;
    };
    loop {
        let left = Duration::try_from(Timestamp::now().duration_until(slot)).unwrap_or_default();
        if left.is_zero() || shutdown.requested() {
            return wait_by(Timestamp::now, slot, shutdown).await;
        }
        tokio::select! {
            () = shutdown.wait() => {}
            slept = sleep_by_wall_clock(left) => {
                if slept.is_err() {
                    return wait_by(Timestamp::now, slot, shutdown).await;
                }
            }
        }
    }
}

async fn wait_by(clock: impl Fn() -> Timestamp, slot: Timestamp, shutdown: &Shutdown) -> Waited {
    loop {
        if shutdown.requested() {
            return Waited::Stopping;
        }
        let left = Duration::try_from(clock().duration_until(slot)).unwrap_or_default();
        if left.is_zero() {
            return Waited::Due;
        }
        tokio::select! {
            () = shutdown.wait() => {}
            () = tokio::time::sleep(left.min(SLICE)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use jiff::Timestamp;
    use tokio::time::Instant;

    use super::*;

    /// A wall clock that goes with tokio's, which the test runtime moves on when nobody is awake.
    fn clock(looks: &Cell<u32>) -> impl Fn() -> Timestamp {
        let begin = Instant::now();
        move || {
            looks.set(looks.get() + 1);
            Timestamp::UNIX_EPOCH + begin.elapsed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hour_wakes_up_every_thirty_seconds_at_most() {
        let looks = Cell::new(0);
        let begin = Instant::now();
        let slot = Timestamp::UNIX_EPOCH + Duration::from_secs(3_600);
        assert_eq!(wait_by(clock(&looks), slot, &Shutdown::never()).await, Waited::Due);
        assert!(begin.elapsed() >= Duration::from_secs(3_600));
        assert!(looks.get() <= 122, "{} looks at the clock", looks.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_in_the_past_is_due_at_once() {
        let begin = Instant::now();
        let looks = Cell::new(0);
        assert_eq!(wait_by(clock(&looks), Timestamp::UNIX_EPOCH, &Shutdown::never()).await, Waited::Due);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wish_to_stop_ends_the_wait() {
        let shutdown = Shutdown::never();
        let asks = shutdown.clone();
        let asking = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(45)).await;
            asks.request();
        });
        let begin = Instant::now();
        let slot = Timestamp::UNIX_EPOCH + Duration::from_secs(3_600);
        let looks = Cell::new(0);
        assert_eq!(wait_by(clock(&looks), slot, &shutdown).await, Waited::Stopping);
        assert!(begin.elapsed() < Duration::from_secs(60));
        asking.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_ahead_makes_the_slot_due_within_a_slice() {
        let begin = Instant::now();
        // After ten seconds the clock is moved on by a day.
        let jump = move || match begin.elapsed() {
            elapsed if elapsed < Duration::from_secs(10) => Timestamp::UNIX_EPOCH + elapsed,
            elapsed => Timestamp::UNIX_EPOCH + elapsed + Duration::from_secs(86_400),
        };
        let slot = Timestamp::UNIX_EPOCH + Duration::from_secs(3_600);
        assert_eq!(wait_by(jump, slot, &Shutdown::never()).await, Waited::Due);
        assert!(begin.elapsed() <= Duration::from_secs(31));
    }
}
