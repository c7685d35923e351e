//! The loop of a scheduled job: wait for a slot, let the caller run, count what was missed meanwhile.
//!
//! The caller runs the job itself between two waits, so two runs never overlap.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::expression::Schedule;
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

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The slot is here, or already past.
    Due,
    /// The program was asked to stop.
    Stopping,
}

/// Waits until the wall clock reaches the slot, or until the wish to stop.
pub async fn wait_until(slot: Timestamp, shutdown: &Shutdown) -> Waited {
    wait_by(Timestamp::now, slot, shutdown).await
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
