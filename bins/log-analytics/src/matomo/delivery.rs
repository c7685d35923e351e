//! Delivers one batch: sends it, repeats what is safe to repeat, and asks Matomo about what is not.

use std::cell::Cell;
use std::time::Duration;

use shared::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{Asked, Batch, Doubt, Outcome, Rejection, Seen, Sink, Size, Span, Trace, mark};
use crate::id::Mark;
use crate::ledger::{Intent, Part, Receipt};

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The batch is in Matomo.
    Arrived(Receipt),
    /// All of it but these lines.
    ArrivedBut(Vec<Part>),
    /// It is not, and will not be without somebody's doing.
    Rejected(Rejection),
    /// It is not; later it may be.
    NotNow(String),
    /// It may be, and there was no time or no way to ask: the next start will.
    InDoubt(String),
    /// It may be, and nobody can ever tell.
    Unknowable(String),
}

/// How often a batch is sent, and how long answers may take.
#[derive(Debug)]
pub struct RetryPolicy {
    /// How often a batch is sent in all.
    pub attempts_max: u32,
    /// Longest pause between two attempts; the first ones are shorter.
    pub retry_delay: Duration,
    /// Shortest wait before a batch in doubt may be sent again.
    pub doubt_least: Duration,
    /// How long an answer may still take after a shutdown request.
    pub grace: Duration,
    /// The slowest answer seen so far.
    pub slowest: Cell<Option<Duration>>,
}

/// What all deliveries of a site share.
pub struct Delivery<S> {
    /// Where batches go.
    pub sink: S,
    /// The site of their marks.
    pub ledger_site: Option<crate::discover::SiteId>,
    /// How often to send, and how long to wait.
    pub retry: RetryPolicy,
    /// How many requests may be in flight.
    pub limit: ConcurrencyLimit,
    /// How many hits a batch takes.
    pub size: Size,
    /// How many hits a second.
    pub throttle: Throttle,
    /// The shutdown request.
    pub shutdown: Shutdown,
}

/// A timed-out request may keep Matomo busy for this many times the shortest wait (a minute by default).
const TIMEOUT_FACTOR: u32 = 12;
/// Matomo may need this many times its slowest answer.
const SLOWEST_FACTOR: u32 = 5;
/// Timeouts in a row after which a batch is not sent again as it is.
const TIMEOUTS_MAX: u32 = 2;
/// One of so many hits may be missing from Matomo's count; more are no lock wait.
const SHORTFALL_SHARE: u64 = 20;
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(500);
const FIRST_POLL_DELAY: Duration = Duration::from_millis(100);
const POLL_DELAY_MAX: Duration = Duration::from_secs(5);
/// How long Matomo is asked in vain before the question is left to the next start.
const ASKING_MAX: Duration = Duration::from_secs(60);
const ANSWERED_WAIT_MAX: Duration = Duration::from_secs(1);

impl RetryPolicy {
    fn learn(&self, took_ms: u64) {
        self.slowest.set(self.slowest.get().max(Some(Duration::from_millis(took_ms))));
    }

    /// How long after sending Matomo may still be at work on a batch, so that its absence proves nothing. After a crash nobody
    /// knows when it was sent, so the time counts from the start of this process.
    pub fn doubt_wait(&self, seen: Seen, elapsed: Duration) -> Duration {
        let usual = self.doubt_least.max(self.slowest.get().unwrap_or_default() * SLOWEST_FACTOR);
        match seen {
            Seen::Shortfall { .. } => elapsed,
            Seen::Answer | Seen::MatomoError => elapsed + self.doubt_least.min(ANSWERED_WAIT_MAX),
            Seen::Closed => elapsed + usual,
            Seen::Timeout => usual.max(self.doubt_least * TIMEOUT_FACTOR).max(elapsed * 2),
            // Somebody may have lost patience with it before.
            Seen::Crash => usual.max(self.doubt_least * TIMEOUT_FACTOR),
        }
    }

    fn retry_wait(&self, attempt: u32, mark: Mark) -> Duration {
        let grown = FIRST_RETRY_DELAY * 2u32.saturating_pow(attempt.saturating_sub(1));
        // Requests that failed together must not come back together.
        let share = mark.0.rotate_left(attempt) % 256;
        grown.min(self.retry_delay).mul_f64(0.75 + share as f64 / 1024.0)
    }
}

impl<S: Sink> Delivery<S> {
    /// Delivers a batch whose intent is on disk.
    pub async fn deliver(&self, batch: &Batch) -> End {
        let mut why = String::new();
        let mut timeouts = 0;
        for attempt in 1..=self.retry.attempts_max {
            let outcome = {
                let _permit = self.limit.take().await;
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
                    self.retry.learn(receipt.took_ms);
                    self.size.answered(batch.hits(), Duration::from_millis(receipt.took_ms));
                    self.limit.regrow();
                    return End::Arrived(receipt);
                }
                Outcome::Rejected(rejection) => return End::Rejected(rejection),
                Outcome::Transient(reason) => {
                    self.limit.halve();
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
                        Resolution::Arrived { marks_missing } => {
                            return End::Arrived(receipt_of(batch, &doubt, marks_missing));
                        }
                        Resolution::ArrivedBut(missing) => return End::ArrivedBut(missing),
                        // The same hits in smaller batches may get through.
                        Resolution::Absent if timeouts == TIMEOUTS_MAX => return End::Rejected(Rejection::TooSlow),
                        Resolution::Absent => {
                            if doubt.seen == Seen::MatomoError {
                                self.limit.halve();
                            }
                            why = doubt.why;
                        }
                        // What a lock wait leaves; that Matomo took the others it said itself.
                        Resolution::Unknowable if is_a_few(batch, &doubt) => {
                            return End::Arrived(receipt_of(batch, &doubt, 0));
                        }
                        Resolution::Unknowable => return End::Unknowable(doubt.why),
                        Resolution::Unasked => return End::InDoubt(doubt.why),
                    }
                }
            }
            if attempt < self.retry.attempts_max && !self.pause(self.retry.retry_wait(attempt, batch.mark)).await {
                break;
            }
        }
        self.given_up(&why)
    }

    fn given_up(&self, why: &str) -> End {
        End::NotNow(if why.is_empty() { "stopped before it was sent".to_owned() } else { why.to_owned() })
    }

    async fn settle(&self, batch: &Batch, doubt: &Doubt) -> Resolution {
        warn!(site = %batch.site, hits = batch.hits(), why = doubt.why, "Batch is in doubt, asking Matomo whether it arrived");
        let wait = self.retry.doubt_wait(doubt.seen, doubt.elapsed).saturating_sub(doubt.elapsed);
        let question = Question { is_short: matches!(doubt.seen, Seen::Shortfall { .. }), ..Question::about(batch) };
        let resolution = resolve(&self.sink, &question, wait, &self.shutdown).await;
        info!(site = %batch.site, hits = batch.hits(), outcome = resolution.word(), "Doubt about a batch is settled");
        resolution
    }

    /// Waits until an answer would come too late: asked to stop, and the grace is over or somebody insists.
    async fn out_of_time(&self) {
        self.shutdown.wait().await;
        tokio::select! {
            () = self.shutdown.wait_insisted() => {}
            () = sleep(self.retry.grace) => {}
        }
    }

    /// Waits; false after a shutdown request.
    async fn pause(&self, wait: Duration) -> bool {
        pause(wait, &self.shutdown).await
    }
}

/// What a batch came to that arrived though Matomo did not say so. If it counted too few hits, these are stored by half, unless
/// it was a mark that is missing.
fn receipt_of(batch: &Batch, doubt: &Doubt, marks_missing: u64) -> Receipt {
    let short = match doubt.seen {
        Seen::Shortfall { hits } => hits.saturating_sub(marks_missing).min(batch.hits()),
        _ => 0,
    };
    Receipt { tracked: batch.hits() - short, short, ..Receipt::default() }
}

/// Whether Matomo counted nearly all hits.
fn is_a_few(batch: &Batch, doubt: &Doubt) -> bool {
    matches!(doubt.seen, Seen::Shortfall { hits } if hits * SHORTFALL_SHARE <= batch.hits() + batch.marks)
}

/// A batch in doubt.
#[derive(Debug, Clone)]
pub struct Question {
    asked: Asked,
    parts: Vec<Part>,
    days: Vec<jiff::civil::Date>,
    /// Date of its oldest hit. Unknown of a batch of version 1, whose hits have no page views of their own, and of one that only
    /// its marks tell of: then Matomo cannot be asked for its hits.
    oldest: Option<i64>,
    newest: i64,
    /// Matomo counted too few hits: though both marks are there, hits may be missing.
    is_short: bool,
}

impl Question {
    /// About a batch of this process.
    fn about(batch: &Batch) -> Self {
        let by_day: Vec<_> = batch.days.iter().map(|touched| (touched.day, touched.hits)).collect();
        Self {
            asked: Asked { site: batch.site, ledger_site: batch.ledger_site, mark: batch.mark },
            parts: super::parts(&batch.origins),
            days: mark::days(&by_day),
            oldest: Some(batch.oldest),
            newest: batch.newest,
            is_short: false,
        }
    }

    /// About a batch of an earlier process.
    pub fn of(site: crate::discover::SiteId, intent: &Intent) -> Self {
        Self {
            asked: Asked { site, ledger_site: intent.ledger_site, mark: intent.mark },
            parts: intent.parts.clone(),
            days: mark::days(&intent.by_day),
            oldest: intent.oldest,
            newest: intent.newest,
            is_short: false,
        }
    }
}

/// What is known of a batch after asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It is there, but for so many of its marks.
    Arrived {
        /// None, one or both.
        marks_missing: u64,
    },
    /// All of it but these lines.
    ArrivedBut(Vec<Part>),
    /// It is not, and the time in which it might still have come has passed.
    Absent,
    /// Matomo cannot tell.
    Unknowable,
    /// Matomo did not answer, or there was no time to wait.
    Unasked,
}

impl Resolution {
    fn word(&self) -> &'static str {
        match self {
            Self::Arrived { .. } => "it arrived",
            Self::ArrivedBut(_) => "a part of it arrived, the rest is sent again",
            Self::Absent => "it did not arrive and is sent again",
            Self::Unknowable => "Matomo cannot tell",
            Self::Unasked => "left to the next start",
        }
    }
}

/// Asks until the batch is found, or until `wait` has passed and it is still absent. The wait is by the monotonic clock.
pub async fn resolve<S: Sink>(sink: &S, question: &Question, wait: Duration, shutdown: &Shutdown) -> Resolution {
    let begin = Instant::now();
    let mut poll = FIRST_POLL_DELAY;
    loop {
        let may_conclude = begin.elapsed() >= wait;
        match look(sink, question, may_conclude).await {
            Ok(Some(resolution)) => return resolution,
            Ok(None) => {}
            Err(error) if begin.elapsed() >= wait + ASKING_MAX => {
                let (site, why) = (question.asked.site, error.sentence());
                warn!(%site, why, "Matomo could not be asked about a batch in doubt");
                return Resolution::Unasked;
            }
            Err(_) => {}
        }
        let rest = wait.saturating_sub(begin.elapsed());
        let next = if rest.is_zero() { poll } else { poll.min(rest) };
        if !pause(next, shutdown).await {
            return Resolution::Unasked;
        }
        poll = (poll * 2).min(POLL_DELAY_MAX);
    }
}

/// One look at what Matomo has; nothing while it may still be at work.
async fn look<S: Sink>(
    sink: &S,
    question: &Question,
    may_conclude: bool,
) -> Result<Option<Resolution>, super::ApiError> {
    let Question { asked, .. } = question;
    if asked.ledger_site.is_none() {
        return look_for_hits(sink, question, may_conclude).await;
    }
    let traces = sink.traces(std::slice::from_ref(asked)).await?;
    let Some(Trace { times, first, last, .. }) = traces.into_iter().next().flatten() else {
        return Ok(Some(Resolution::Unknowable));
    };
    if times > 1 {
        warn!(site = %asked.site, mark = %asked.mark, times, "Mark appears more than once: the hits of this batch were counted as often");
    }
    match (first, last) {
        (false, false) => Ok(may_conclude.then_some(Resolution::Absent)),
        // The transaction is over once there is a mark: what is not there now will not come. Both marks are there as well where
        // a lock wait lost a hit, and the answer that would have said so did not come.
        _ => Ok(Some(match compare(sink, question, first && last && !question.is_short).await? {
            Resolution::Arrived { .. } => Resolution::Arrived { marks_missing: u64::from(!first) + u64::from(!last) },
            Resolution::Unknowable if first && last && !question.is_short => Resolution::Arrived { marks_missing: 0 },
            other => other,
        })),
    }
}

/// Without a ledger site only hits can be looked for, and only recent ones: older ones take Matomo too long.
async fn look_for_hits<S: Sink>(
    sink: &S,
    question: &Question,
    may_conclude: bool,
) -> Result<Option<Resolution>, super::ApiError> {
    let age_seconds = jiff::Timestamp::now().as_second() - question.newest;
    if age_seconds >= mark::RECENT_SECONDS {
        return Ok(Some(Resolution::Unknowable));
    }
    let resolution = compare(sink, question, false).await?;
    Ok(Some(resolution).filter(|resolution| may_conclude || *resolution != Resolution::Absent))
}

/// Compares the hits of a batch with those that Matomo has.
async fn compare<S: Sink>(sink: &S, question: &Question, is_marked: bool) -> Result<Resolution, super::ApiError> {
    let Question { asked, parts, days, oldest, .. } = question;
    let Some(oldest) = oldest.filter(|_| !days.is_empty()) else { return Ok(Resolution::Unknowable) };
    let views =
        parts.iter().flat_map(|part| part.lines.as_slice().iter().map(|line| asked.mark.page_view(part.file, *line)));
    let span = Span { site: asked.site, days: days.clone(), oldest, page_views: views.collect(), is_marked };
    let found = match sink.stored(&span).await {
        Ok(Some(found)) => found,
        // A list of visits that is too long to be read, or none at all.
        Ok(None) | Err(super::ApiError::Refused { .. } | super::ApiError::TooLong { .. }) => {
            return Ok(Resolution::Unknowable);
        }
        Err(error) => return Err(error),
    };
    let missing = missing(asked.mark, parts, |page_view| found.contains(page_view));
    let all: usize = parts.iter().map(|part| part.lines.as_slice().len()).sum();
    let absent: usize = missing.iter().map(|part| part.lines.as_slice().len()).sum();
    Ok(match absent {
        0 => Resolution::Arrived { marks_missing: 0 },
        _ if absent == all && asked.ledger_site.is_none() => Resolution::Absent,
        _ => Resolution::ArrivedBut(missing),
    })
}

/// Of a batch the lines whose hits are not there.
pub fn missing(mark: Mark, parts: &[Part], is_there: impl Fn(&super::PageView) -> bool) -> Vec<Part> {
    let of = |part: &Part| {
        let lines = part.lines.as_slice().iter().copied();
        let lines = lines.filter(|line| !is_there(&mark.page_view(part.file, *line))).collect();
        Part { file: part.file, lines: crate::ledger::Offsets::ascending(lines), proof: None }
    };
    parts.iter().map(of).filter(|part| !part.lines.is_empty()).collect()
}

async fn pause(wait: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        biased;
        () = shutdown.wait() => false,
        () = sleep(wait) => true,
    }
}

/// How many requests may be in flight: one for each connection at first, half as many after a refusal or an error of Matomo, one
/// more after a run of successes.
pub struct ConcurrencyLimit {
    free: Semaphore,
    all: usize,
    lent: Cell<usize>,
    successes: Cell<usize>,
}

/// Successes before one more request may be in flight again.
const SUCCESSES_BEFORE_REGROWTH: usize = 8;

impl ConcurrencyLimit {
    /// So many, one at least.
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

/// At most so many hits a second, over all connections.
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::discover::SiteId;
    use crate::id::{FileId, IntentId, JournalId};
    use crate::ledger::Offsets;
    use crate::matomo::{ApiError, BatchBuilder, Label, PageView, Wrapped};

    /// Has both marks of every batch, and none of the hits that it is asked for.
    struct WithoutHits;

    impl Sink for WithoutHits {
        async fn send(&self, _: &Batch) -> Outcome {
            Outcome::Transient("it only answers questions".to_owned())
        }

        async fn traces(&self, asked: &[Asked]) -> Result<Vec<Option<Trace>>, ApiError> {
            Ok(vec![Some(Trace { times: 1, first: true, last: true, ..Trace::default() }); asked.len()])
        }

        async fn stored(&self, _: &Span) -> Result<Option<HashSet<PageView>>, ApiError> {
            Ok(Some(HashSet::new()))
        }
    }

    fn resolution_of(oldest: Option<i64>) -> Resolution {
        let parts = vec![Part { file: FileId(1), lines: Offsets::new(vec![0, 10]), proof: None }];
        let intent = Intent {
            intent: IntentId(3),
            mark: Mark(7),
            ledger_site: Some(SiteId(9)),
            marks: 2,
            sent_ms: 1,
            parts,
            newest: 100,
            oldest,
            days: Vec::new(),
            by_day: vec![("1970-01-01".parse().unwrap(), 2)],
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (question, shutdown) = (Question::of(SiteId(4), &intent), Shutdown::never());
        runtime.block_on(resolve(&WithoutHits, &question, Duration::ZERO, &shutdown))
    }

    /// A rebuilt ledger does not know the oldest date: asked from the newest one on, Matomo would seem to lack the others.
    #[test]
    fn hits_are_looked_for_only_where_their_dates_are_known() {
        assert_eq!(resolution_of(None), Resolution::Arrived { marks_missing: 0 });
        assert!(
            matches!(resolution_of(Some(50)), Resolution::ArrivedBut(missing) if missing[0].lines.as_slice() == [0, 10])
        );
    }

    #[test]
    fn a_batch_in_doubt_is_given_the_time_that_matomo_may_still_need() {
        let seconds = Duration::from_secs;
        let policy = |slowest: Option<u64>| RetryPolicy {
            attempts_max: 1,
            retry_delay: Duration::ZERO,
            doubt_least: seconds(5),
            grace: Duration::ZERO,
            slowest: Cell::new(slowest.map(seconds)),
        };
        for (seen, elapsed, slowest, wait) in [
            (Seen::Shortfall { hits: 1 }, 2, Some(9), 2),
            (Seen::Answer, 2, Some(9), 3),
            (Seen::MatomoError, 2, Some(9), 3),
            (Seen::Closed, 2, None, 7),
            (Seen::Closed, 2, Some(9), 47),
            (Seen::Timeout, 60, None, 120),
            (Seen::Timeout, 2, None, 60),
            (Seen::Timeout, 2, Some(20), 100),
            (Seen::Crash, 0, None, 60),
            (Seen::Crash, 0, Some(1), 60),
            (Seen::Crash, 0, Some(20), 100),
        ] {
            assert_eq!(
                policy(slowest).doubt_wait(seen, seconds(elapsed)),
                seconds(wait),
                "{seen:?} {elapsed} {slowest:?}"
            );
        }
    }

    /// Answers every batch alike, and has none of them.
    struct Answers(fn() -> Outcome);

    impl Sink for Answers {
        async fn send(&self, _: &Batch) -> Outcome {
            (self.0)()
        }

        async fn traces(&self, asked: &[Asked]) -> Result<Vec<Option<Trace>>, ApiError> {
            Ok(vec![Some(Trace::default()); asked.len()])
        }

        async fn stored(&self, _: &Span) -> Result<Option<HashSet<PageView>>, ApiError> {
            Ok(None)
        }
    }

    /// How many requests of four may be in flight after a batch was answered like this once.
    fn in_flight_after(answer: fn() -> Outcome) -> usize {
        let retry = RetryPolicy {
            attempts_max: 1,
            retry_delay: Duration::ZERO,
            doubt_least: Duration::ZERO,
            grace: Duration::ZERO,
            slowest: Cell::new(None),
        };
        let delivery = Delivery {
            sink: Answers(answer),
            ledger_site: Some(SiteId(9)),
            retry,
            limit: ConcurrencyLimit::new(4),
            size: Size::new(400),
            throttle: Throttle::new(None),
            shutdown: Shutdown::never(),
        };
        let label = Label::of(SiteId(4), Some(SiteId(9)), JournalId(1), IntentId(1));
        let (batch, _) = BatchBuilder::default().close(label, true, |_| Wrapped::plain());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        assert!(matches!(runtime.block_on(delivery.deliver(&batch)), End::NotNow(_)));
        delivery.limit.free.available_permits()
    }

    #[test]
    fn half_as_many_requests_are_in_flight_after_matomo_refused_one_or_undid_it() {
        assert_eq!(in_flight_after(|| Outcome::Transient("too many requests".to_owned())), 2);
        assert_eq!(in_flight_after(|| doubt(Seen::MatomoError)), 2);
        assert_eq!(in_flight_after(|| doubt(Seen::Closed)), 4, "a wire that breaks says nothing of Matomo");
    }

    fn doubt(seen: Seen) -> Outcome {
        Outcome::InDoubt(Doubt { seen, why: "no proper answer".to_owned(), elapsed: Duration::ZERO })
    }

    #[test]
    fn requests_at_a_time_are_halved_down_to_one_and_come_back_one_by_one() {
        let limit = ConcurrencyLimit::new(4);
        let halved = [(); 3].map(|()| {
            limit.halve();
            limit.free.available_permits()
        });
        assert_eq!(halved, [2, 1, 1]);
        let regrown = [1, SUCCESSES_BEFORE_REGROWTH - 1, SUCCESSES_BEFORE_REGROWTH, 5 * SUCCESSES_BEFORE_REGROWTH].map(
            |successes| {
                (0..successes).for_each(|_| limit.regrow());
                limit.free.available_permits()
            },
        );
        assert_eq!(regrown, [1, 2, 3, 4]);
    }

    #[test]
    fn a_limit_of_hits_a_second_is_one_for_all_connections_together() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let took = |limit| {
            runtime.block_on(async {
                let (begin, throttle) = (Instant::now(), Throttle::new(limit));
                let connection = async || {
                    for _ in 0..10 {
                        throttle.wait(25).await;
                    }
                };
                tokio::join!(connection(), connection(), connection(), connection());
                begin.elapsed()
            })
        };
        // The last of the 40 batches leaves when the time of those before it is over.
        assert_eq!(took(Some(100)).as_millis() / 10, 975);
        assert_eq!(took(None), Duration::ZERO);
    }
}
