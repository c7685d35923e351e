//! Delivers one batch: sends it, repeats what is safe to repeat, and asks Matomo about what is not.

use std::cell::Cell;
use std::time::Duration;

use shared::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{Asked, Batch, Doubt, Outcome, Rejection, Seen, Sink, Size};
use crate::ledger::{Mark, Receipt};

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The batch is in Matomo.
    Arrived(Receipt),
    /// It is not, and will not be without somebody's doing.
    Rejected(Rejection),
    /// It is not; later it may be.
    NotNow(String),
    /// It may be, and there was no time or no way to ask: the next start will.
    InDoubt(String),
    /// It may be, and nobody can ever tell.
    Unknowable(String),
}

/// How patient a delivery is.
#[derive(Debug)]
pub struct Patience {
    /// How often a batch is sent in all.
    pub attempts_max: u32,
    /// Longest pause between two attempts; the first ones are shorter.
    pub retry_delay: Duration,
    /// Shortest wait before a batch in doubt may be sent again.
    pub doubt_least: Duration,
    /// How long an answer may still take once there is a wish to stop.
    pub grace: Duration,
    /// The slowest answer seen so far.
    pub slowest: Cell<Option<Duration>>,
}

/// What all deliveries of a site share.
pub struct Delivery<S> {
    /// Where batches go.
    pub sink: S,
    /// How patient to be.
    pub patience: Patience,
    /// How many requests may be under way.
    pub hands: Hands,
    /// How many hits a batch takes.
    pub size: Size,
    /// How many hits a second.
    pub throttle: Throttle,
    /// The wish to stop.
    pub shutdown: Shutdown,
}

/// A timed-out request may keep Matomo busy for this many times the shortest wait (a minute by default).
const TIMEOUT_FACTOR: u32 = 12;
/// Matomo may need this many times its slowest answer.
const SLOWEST_FACTOR: u32 = 5;
/// Timeouts in a row after which a batch is not sent again as it is.
const TIMEOUTS_MAX: u32 = 2;
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
const FIRST_POLL_DELAY: Duration = Duration::from_millis(100);
const POLL_DELAY_MAX: Duration = Duration::from_secs(5);
/// How long Matomo is asked in vain before the question is left to the next start.
const ASKING_MAX: Duration = Duration::from_secs(60);
const ANSWERED_WAIT_MAX: Duration = Duration::from_secs(1);

impl Patience {
    fn learn(&self, took_ms: u64) {
        self.slowest.set(self.slowest.get().max(Some(Duration::from_millis(took_ms))));
    }

    /// How long after sending Matomo may still be at work on a batch, so that its absence proves nothing.
    pub fn doubt_wait(&self, seen: Seen, elapsed: Duration) -> Duration {
        let usual = self.doubt_least.max(self.slowest.get().unwrap_or_default() * SLOWEST_FACTOR);
        match seen {
            Seen::Answer => elapsed + self.doubt_least.min(ANSWERED_WAIT_MAX),
            Seen::Closed => elapsed + usual,
            Seen::Timeout => usual.max(self.doubt_least * TIMEOUT_FACTOR).max(elapsed * 2),
            Seen::Crash if self.slowest.get().is_some() => usual,
            Seen::Crash => self.doubt_least * TIMEOUT_FACTOR,
        }
    }

    fn retry_wait(&self, attempt: u32, mark: Mark) -> Duration {
        let grown = FIRST_RETRY_DELAY * 2u32.saturating_pow(attempt.saturating_sub(1));
        // Recorders that failed together must not come back together.
        let share = mark.0.rotate_left(attempt) % 256;
        grown.min(self.retry_delay).mul_f64(0.75 + share as f64 / 1024.0)
    }
}

impl<S: Sink> Delivery<S> {
    /// Delivers a batch whose intent is on disk.
    pub async fn deliver(&self, batch: &Batch) -> End {
        let mut why = String::new();
        let mut timeouts = 0;
        for attempt in 1..=self.patience.attempts_max {
            let outcome = {
                let _hand = self.hands.take().await;
                self.throttle.wait(batch.hits()).await;
                if self.shutdown.requested() {
                    return self.given_up(&why);
                }
                tokio::select! {
                    biased;
                    outcome = self.sink.send(batch) => outcome,
                    () = self.out_of_time() => return End::InDoubt("stopped before the answer came".into()),
                }
            };
            match outcome {
                Outcome::Delivered(receipt) => {
                    self.patience.learn(receipt.took_ms);
                    self.size.answered(batch.hits(), Duration::from_millis(receipt.took_ms));
                    self.hands.regrow();
                    return End::Arrived(receipt);
                }
                Outcome::Rejected(rejection) => return End::Rejected(rejection),
                Outcome::Transient(reason) => {
                    self.hands.halve();
                    timeouts = 0;
                    why = reason;
                    warn!(site = %batch.site, hits = batch.hits(), attempt, why, "Batch was not taken, trying again");
                }
                Outcome::InDoubt(doubt) => {
                    let timed_out = doubt.seen == Seen::Timeout;
                    timeouts = if timed_out { timeouts + 1 } else { 0 };
                    if timed_out {
                        self.size.timed_out(batch.hits(), doubt.elapsed);
                    }
                    match self.settle(batch, &doubt).await {
                        Settled::Arrived => {
                            return End::Arrived(Receipt { tracked: batch.hits(), ..Receipt::default() });
                        }
                        // The same hits in smaller batches may get through.
                        Settled::Absent if timeouts == TIMEOUTS_MAX => return End::Rejected(Rejection::TooSlow),
                        Settled::Absent => why = doubt.why,
                        Settled::Unknowable => return End::Unknowable(doubt.why),
                        Settled::Unasked => return End::InDoubt(doubt.why),
                    }
                }
            }
            if attempt < self.patience.attempts_max && !self.pause(self.patience.retry_wait(attempt, batch.mark)).await
            {
                break;
            }
        }
        self.given_up(&why)
    }

    fn given_up(&self, why: &str) -> End {
        End::NotNow(if why.is_empty() { "stopped before it was sent".to_owned() } else { why.to_owned() })
    }

    async fn settle(&self, batch: &Batch, doubt: &Doubt) -> Settled {
        let asked = batch.asked();
        warn!(site = %batch.site, hits = batch.hits(), why = doubt.why, "Batch is in doubt, asking Matomo whether it arrived");
        let wait = self.patience.doubt_wait(doubt.seen, doubt.elapsed).saturating_sub(doubt.elapsed);
        let settled = resolve(&self.sink, &asked, wait, &self.shutdown).await;
        info!(site = %batch.site, hits = batch.hits(), outcome = settled.word(), "Doubt about a batch is settled");
        settled
    }

    /// Waits until an answer would come too late: asked to stop, and the grace is over or somebody insists.
    async fn out_of_time(&self) {
        self.shutdown.wait().await;
        tokio::select! {
            () = self.shutdown.wait_insisted() => {}
            () = sleep(self.patience.grace) => {}
        }
    }

    /// Waits; false if there is a wish to stop.
    async fn pause(&self, wait: Duration) -> bool {
        pause(wait, &self.shutdown).await
    }
}

impl Batch {
    /// What to ask Matomo for.
    pub fn asked(&self) -> Asked {
        Asked {
            site: self.site,
            ledger_site: self.ledger_site,
            mark: self.mark,
            pv_id: self.pv_id.clone(),
            newest: self.newest,
        }
    }
}

/// What is known of a batch after asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is there.
    Arrived,
    /// It is not, and the time in which it might still have come has passed.
    Absent,
    /// Matomo cannot tell.
    Unknowable,
    /// Matomo did not answer, or there was no time to wait.
    Unasked,
}

impl Settled {
    fn word(self) -> &'static str {
        match self {
            Self::Arrived => "it arrived",
            Self::Absent => "it did not arrive and is sent again",
            Self::Unknowable => "nobody can tell",
            Self::Unasked => "left to the next start",
        }
    }
}

/// Asks until the batch is found, or until `wait` has passed and it is still absent.
pub async fn resolve<S: Sink>(sink: &S, asked: &Asked, wait: Duration, shutdown: &Shutdown) -> Settled {
    let begin = Instant::now();
    let mut poll = FIRST_POLL_DELAY;
    loop {
        let may_conclude = begin.elapsed() >= wait;
        match sink.arrived(std::slice::from_ref(asked)).await.map(|times| times.first().copied().flatten()) {
            Ok(None) => return Settled::Unknowable,
            Ok(Some(0)) if may_conclude => return Settled::Absent,
            Ok(Some(0)) => {}
            Ok(Some(times)) => {
                if times > 1 {
                    warn!(site = %asked.site, mark = %asked.mark, times, "Mark appears more than once: the hits of this batch were counted as often");
                }
                return Settled::Arrived;
            }
            Err(error) if begin.elapsed() >= wait + ASKING_MAX => {
                warn!(site = %asked.site, why = error.sentence(), "Matomo could not be asked about a batch in doubt");
                return Settled::Unasked;
            }
            Err(_) => {}
        }
        let rest = wait.saturating_sub(begin.elapsed());
        let next = if rest.is_zero() { poll } else { poll.min(rest) };
        if !pause(next, shutdown).await {
            return Settled::Unasked;
        }
        poll = (poll * 2).min(POLL_DELAY_MAX);
    }
}

async fn pause(wait: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        biased;
        () = shutdown.wait() => false,
        () = sleep(wait) => true,
    }
}

/// How many requests may be under way: all recorders at first, half of them after Matomo undid a batch,
/// one more after a run of successes.
pub struct Hands {
    free: Semaphore,
    all: usize,
    lent: Cell<usize>,
    successes: Cell<usize>,
}

/// Successes before another recorder joins in again.
const SUCCESSES_BEFORE_REGROWTH: usize = 8;

impl Hands {
    /// So many hands, one at least.
    pub fn new(all: usize) -> Self {
        let all = all.max(1);
        Self { free: Semaphore::new(all), all, lent: Cell::new(all), successes: Cell::new(0) }
    }

    async fn take(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.free.acquire().await.ok()
    }

    fn halve(&self) {
        self.successes.set(0);
        let wanted = (self.lent.get() / 2).max(1);
        while self.lent.get() > wanted && self.free.try_acquire().map(|permit| permit.forget()).is_ok() {
            self.lent.set(self.lent.get() - 1);
        }
    }

    fn regrow(&self) {
        self.successes.set(self.successes.get() + 1);
        if self.lent.get() < self.all && self.successes.get() >= SUCCESSES_BEFORE_REGROWTH {
            self.successes.set(0);
            self.lent.set(self.lent.get() + 1);
            self.free.add_permits(1);
        }
    }
}

/// At most so many hits a second, over all recorders.
pub struct Throttle {
    hits_per_second: Option<u32>,
    next: Cell<Option<Instant>>,
}

impl Throttle {
    /// No throttle without a number.
    pub fn new(hits_per_second: Option<u32>) -> Self {
        Self { hits_per_second, next: Cell::new(None) }
    }

    async fn wait(&self, hits: u64) {
        let Some(rate) = self.hits_per_second else { return };
        let now = Instant::now();
        let turn = self.next.get().unwrap_or(now).max(now);
        self.next.set(Some(turn + Duration::from_secs_f64(hits as f64 / f64::from(rate.max(1)))));
        tokio::time::sleep_until(turn).await;
    }
}
