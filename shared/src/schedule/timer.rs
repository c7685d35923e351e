//! Sleeps until a moment of the wall clock, and wakes when somebody sets the clock; nothing in between.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Waits for `left`, measured by the wall clock. Answers sooner when the clock was set. An error means that the system
/// has no such timer.
pub(super) async fn sleep_by_wall_clock(left: Duration) -> io::Result<()> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer: OwnedFd = timerfd_create(TimerfdClockId::Realtime, flags)?;
    let when = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(&timer, when, &Itimerspec { it_interval: Timespec::default(), it_value: from_now(left)? })?;
    watched(timer)?.readable().await?.retain_ready();
    Ok(())
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that may close the descriptor early; an owned one does not"
)]
fn watched(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

fn from_now(left: Duration) -> io::Result<Timespec> {
    let now = clock_gettime(ClockId::Realtime);
    let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
    now.checked_add(left).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
