//! What goes on while a run is under way: the wish to stop is passed on in time, slots and signals are answered.

use std::{convert::Infallible, pin::pin, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::{
    options::Overlap,
    report::Report,
    round::{Round, Run, Trigger},
    serve::Job,
    service::Service,
};
use crate::{
    entry::Failure,
    process::StopOptions,
    schedule::{Due, Waited, wait_until},
    shutdown::Shutdown,
    words::length_in_words,
};

/// How often a run under way says that it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5 * 60);
/// How often slots left out are worth a line.
const SKIPPED_SAID_EVERY: Duration = Duration::from_secs(60);
/// Longest wait for somebody else's run before the slot is given up.
const LOCK_PATIENCE_MAX: Duration = Duration::from_secs(86_400);

/// Passes the wish to stop on to a run: the first when it had its time to finish, the second at once.
pub(super) async fn pass_on(job: &str, stop: &StopOptions, shutdown: &Shutdown, wish: &Shutdown) -> Infallible {
    let began = Instant::now();
    shutdown.wait().await;
    let patience = stop.patience();
    if !patience.is_zero() {
        let (age, grace) = (length_in_words(began.elapsed()), length_in_words(patience));
        info!(job, age, grace, "Asked to stop: a job may finish first");
        tokio::select! {
            () = sleep(patience) => {}
            () = shutdown.wait_insisted() => {}
        }
    }
    wish.request();
    shutdown.wait_insisted().await;
    wish.request();
    std::future::pending().await
}

impl<'a> Service<'a, '_> {
    /// Stays with a run: passes the wish to stop on, and answers slots and signals meanwhile.
    pub(super) async fn attend(
        &mut self,
        run: Run,
        wish: &Shutdown,
        body: &mut impl AsyncFnMut(&Run) -> Report,
    ) -> Result<Round, Failure> {
        let began = Instant::now();
        let next = self.state.slots.next();
        let until_next =
            next.map(|next| Timestamp::now().duration_until(next)).and_then(|left| Duration::try_from(left).ok());
        let patience = until_next.unwrap_or(LOCK_PATIENCE_MAX).clamp(Duration::from_secs(1), LOCK_PATIENCE_MAX);
        let shutdown = self.shutdown;
        let job: &'a Job = self.job;
        let running = job.ground.run(&job.options, patience, run, body);
        let mut running = pin!(running);
        let mut passing = pin!(pass_on(&job.ground.name, &job.options.stop, shutdown, wish));
        let mut alive_at = Instant::now() + SIGN_OF_LIFE;
        loop {
            let slot = self.state.slots.next();
            tokio::select! {
                round = &mut running => return round,
                never = &mut passing => match never {},
                () = arrival(slot, shutdown), if !shutdown.requested() => {
                    if let Some(due) = self.state.slots.take_due(Timestamp::now()) {
                        self.overlap(due, began, wish);
                    }
                }
                changed = self.state.asks.changed() => if changed.is_ok() { self.answer(Some(began)).await },
                () = sleep_until(alive_at) => {
                    alive_at = Instant::now() + SIGN_OF_LIFE;
                    let by = Timestamp::now() + SignedDuration::try_from(job.options.late_after.get()).unwrap_or_default();
                    // A full disk is told when the run ends.
                    let _ = self.state.health.expect_by(by);
                }
            }
        }
    }

    /// The next time has come while the job still runs.
    fn overlap(&mut self, due: Due, began: Instant, wish: &Shutdown) {
        let (job, age) = (self.job, length_in_words(began.elapsed()));
        let name = &job.ground.name;
        match job.options.overlap {
            Overlap::Forbid => {
                let unsaid = match &mut self.state.said_skipped {
                    Some((said, unsaid)) if said.elapsed() < SKIPPED_SAID_EVERY => {
                        *unsaid += 1;
                        return;
                    }
                    other => other.replace((Instant::now(), 0)).map_or(0, |(_, unsaid)| unsaid),
                };
                let skipped = due.missed as u64 + 1 + unsaid;
                warn!(job = name, age, skipped, "A time of the schedule is left out because the job still runs");
            }
            Overlap::Queue => {
                if self.state.run_soon.replace(Trigger::Catchup).is_none() {
                    warn!(
                        job = name,
                        age, "The next time has come and the job still runs: it runs once more afterwards"
                    );
                }
            }
            Overlap::Replace => {
                self.state.run_soon = Some(Trigger::Catchup);
                warn!(job = name, age, "The next time has come and the job still runs: it is stopped for a new run");
                wish.request();
            }
        }
    }
}

async fn arrival(slot: Option<Timestamp>, shutdown: &Shutdown) {
    match slot {
        Some(slot) if wait_until(slot, shutdown).await == Waited::Due => {}
        _ => std::future::pending().await,
    }
}
