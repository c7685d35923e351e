//! From the stream of hits to receipts: one batch per connection being filled, and requests in flight.

use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;
use std::time::Duration;

use jiff::civil::Date;
use tokio::task::{JoinSet, yield_now};
use tracing::{error, warn};

use super::connections::Connections;
use super::day::Days;
use super::progress::Progress;
use crate::discover::SiteId;
use crate::file::{Proof, ReadError};
use crate::id::{FileId, IntentId, JournalId};
use crate::ledger::{Lease, LedgerError, Part, Receipt};
use crate::matomo::{Announcement, Batch, BatchBuilder, Delivery, End, Label, Rejection, Sink};
use crate::merge::Queued;

/// How batches are made.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Connections that send at the same time.
    pub connections: usize,
    /// Hits in a batch, at most.
    pub batch_hits_max: usize,
    /// Bytes in a batch, at most (one hit more may fit in).
    pub batch_bytes_max: usize,
    /// The site that receives marks.
    pub ledger_site: Option<SiteId>,
}

impl Default for Shape {
    fn default() -> Self {
        Self { connections: 1, batch_hits_max: 400, batch_bytes_max: BATCH_BYTES_MAX, ledger_site: None }
    }
}

/// Common limits of web servers for a request begin at 1 MiB.
const BATCH_BYTES_MAX: usize = 1000 * 1000;
/// After this many hits the reader yields to the requests in flight, so that answers of server and disk are handled while
/// lines are read.
const HITS_PER_YIELD: usize = 300;
/// How often the ledger is synced while nothing leaves.
const IDLE_SYNC: Duration = Duration::from_secs(1);

/// Why no more hits are sent.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// There is a shutdown request.
    #[error("asked to stop")]
    Asked,
    /// Other sites wait for their turn.
    #[error("the turn of the site is over")]
    TurnOver,
    /// The site has to be looked at again: a file changed while it was read, or a batch arrived in part.
    #[error("the files have to be looked at again")]
    Again,
    /// Matomo stores nothing at present.
    #[error("Matomo is not recording any more (record_statistics is off)")]
    RecordingOff,
    /// The token lost its rights, or the site is gone.
    #[error("Matomo refuses all hits of the site: the site is gone or the token may not write to it")]
    NotAllowed,
    /// A batch is larger than the web server takes.
    #[error("the web server in front of Matomo takes no request of {bytes} bytes (status 413)")]
    TooLarge {
        /// Size of the batch.
        bytes: usize,
        /// Hits in it.
        hits: usize,
    },
    /// A batch takes Matomo longer than the gateway in front of it waits.
    #[error("a gateway gives up before Matomo has stored {hits} hits")]
    TooSlow {
        /// Hits in it.
        hits: usize,
    },
    /// Matomo failed too often in a row.
    #[error("gave up for now: {0}")]
    NotNow(String),
    /// A batch may have arrived, and Matomo could not be asked.
    #[error("a batch is in doubt: {0}")]
    InDoubt(String),
    /// The ledger does not fit what Matomo has.
    #[error("{0}")]
    LedgerUnclear(String),
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What is proven of the files whose hits are sent.
pub trait Proofs {
    /// What is proven of a file up to where it was read; nothing if the file does not hold any more what was read of it.
    ///
    /// # Errors
    /// When it cannot be read.
    fn prove(&mut self, file: FileId) -> Result<Option<Proof>, ReadError>;
}

/// Files of which nothing has to be proven, as no ledger knows them.
pub struct Unproven;

impl Proofs for Unproven {
    fn prove(&mut self, _: FileId) -> Result<Option<Proof>, ReadError> {
        Ok(Some(Proof::default()))
    }
}

/// What became of a hit that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is in a batch.
    Taken,
    /// It is the first of its day, or of its journal: it has to go alone, see [`Sender::send_alone`].
    NewDay,
}

/// The way of one site's hits to Matomo.
pub struct Sender<S> {
    delivery: Rc<Delivery<S>>,
    shape: Shape,
    site: SiteId,
    connections: Connections,
    in_flight: JoinSet<Back>,
    /// Room of batches that were sent, to be used again.
    spare: Vec<Vec<u8>>,
    /// How far every file is settled.
    pub progress: Progress,
    days: Days,
    /// Days that Matomo has hits of: the first one of each goes alone.
    open_days: HashSet<Date>,
    journal: JournalId,
    announcement: Option<Announcement>,
    has_ledger: bool,
    next_intent: u64,
    delivered: Delivered,
    /// Files that do not hold what was read of them.
    changed: BTreeSet<FileId>,
    stop: Option<Stop>,
    /// Hits offered since the last yield.
    offered: usize,
}

/// A batch that comes back to its connection: what became of it, or why it was not sent, not being safely written down.
type Back = (usize, Batch, Vec<u64>, Result<End, LedgerError>);

/// What became of the hits so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Matomo took them.
    pub tracked: u64,
    /// Matomo refused them for their own sake.
    pub invalid: u64,
    /// Stored by half.
    pub short: u64,
    /// Withheld: Matomo cannot tell.
    pub withheld: u64,
}

impl<S: Sink + 'static> Sender<S> {
    /// Sends hits to a site. `days` tells which days' reports change.
    pub fn new(delivery: Rc<Delivery<S>>, shape: Shape, site: SiteId, days: Days, lease: Option<&Lease>) -> Self {
        let book = lease.map(Lease::book);
        let from = book.map_or(IntentId(0), |book| book.next_intent());
        // Without a ledger the same lines may have been sent before, so marks must differ from run to run.
        let journal = book.map_or_else(of_this_moment, |book| book.journal());
        let announcement = book.filter(|book| !book.is_announced() && shape.ledger_site.is_some()).map(|book| {
            // What was taken over from elsewhere or sent without marks cannot be told by marks.
            let is_complete = from.0 == 0
                && !book.is_adopted()
                && book.files().all(|content| content.checkpoint == 0 && !content.is_booked());
            Announcement { journal, from, is_complete }
        });
        Self {
            delivery,
            site,
            connections: Connections::new(shape.connections),
            in_flight: JoinSet::new(),
            spare: Vec::new(),
            progress: Progress::default(),
            days,
            open_days: book.map_or_else(HashSet::new, |book| book.tally().by_day().keys().copied().collect()),
            journal,
            announcement,
            has_ledger: book.is_some(),
            next_intent: from.0,
            delivered: Delivered::default(),
            changed: BTreeSet::new(),
            stop: None,
            offered: 0,
            shape,
        }
    }

    /// Takes the next hit of the stream, unless it has to go alone.
    #[inline]
    pub fn offer(&mut self, hit: &Queued, json: &[u8]) -> Offered {
        let day = self.days.of(hit.seconds);
        if !self.is_open(day) {
            return Offered::NewDay;
        }
        self.offered += 1;
        let (index, batch) =
            self.connections.batch_for(hit, || BatchBuilder::in_room(self.spare.pop().unwrap_or_default()));
        batch.push(hit, json, day);
        if batch.len() >= self.delivery.size.hits() || batch.bytes() >= self.shape.batch_bytes_max {
            self.connections.close(index);
            // Whoever waits for it is served at the next yield.
            self.offered = self.offered.max(HITS_PER_YIELD);
        }
        Offered::Taken
    }

    /// Whether hits of this day may travel with others. Matomo draws a salt for each day of a site at its first hit, within the
    /// request that brings it; requests that do so side by side tear visits and deadlock.
    #[inline]
    fn is_open(&self, day: Option<(Date, bool)>) -> bool {
        self.announcement.is_none() && day.is_none_or(|(day, _)| self.open_days.contains(&day))
    }

    /// Sends the first hit of a day in a request of its own and waits for its answer.
    ///
    /// # Errors
    /// Why no more hits are to be read.
    pub async fn send_alone(
        &mut self,
        hit: &Queued,
        json: &[u8],
        lease: Option<&mut Lease>,
        proofs: &mut dyn Proofs,
    ) -> Result<(), Stop> {
        let mut lease = lease;
        let day = self.days.of(hit.seconds);
        let mut batch = BatchBuilder::in_room(self.spare.pop().unwrap_or_default());
        batch.push(hit, json, day);
        self.connections.alone(hit, batch);
        let file = hit.origin.file;
        while !self.is_open(day) && self.stop.is_none() && !self.changed.contains(&file) {
            self.dispatch(lease.as_deref_mut(), proofs);
            if self.in_flight.is_empty() && !self.connections.have_ready() {
                break;
            }
            self.wait_for_one(lease.as_deref_mut()).await;
        }
        self.stop.take().map_or(Ok(()), Err)
    }

    /// Whether it is time for [`Sender::turn`].
    #[inline]
    pub fn is_due(&self) -> bool {
        self.offered >= HITS_PER_YIELD
    }

    /// What became of the hits so far.
    pub fn delivered(&self) -> Delivered {
        self.delivered
    }

    /// Files that were found changed since the last call: their hits that had not left are dropped.
    pub fn take_changed(&mut self) -> BTreeSet<FileId> {
        std::mem::take(&mut self.changed)
    }

    /// Handles the answers that came, and sends the batches that are full; waits where all connections are busy.
    ///
    /// # Errors
    /// Why no more hits are to be read. Requests in flight are not waited for; see [`Sender::finish`].
    pub async fn turn(&mut self, lease: Option<&mut Lease>, proofs: &mut dyn Proofs) -> Result<(), Stop> {
        let mut lease = lease;
        self.offered = 0;
        loop {
            // Lets the requests do their reading and writing.
            yield_now().await;
            while let Some(done) = self.in_flight.try_join_next() {
                self.come_back(done, lease.as_deref_mut());
            }
            if let Some(stop) = self.stop.take() {
                return Err(stop);
            }
            self.dispatch(lease.as_deref_mut(), proofs);
            if self.connections.want_more() || self.in_flight.is_empty() {
                // What is written down now is synced while more is read.
                self.flush(lease);
                return self.stop.take().map_or(Ok(()), Err);
            }
            self.wait_for_one(lease.as_deref_mut()).await;
        }
    }

    /// Sends all that was offered and waits for every answer.
    ///
    /// # Errors
    /// Why not everything was sent.
    pub async fn finish(&mut self, lease: Option<&mut Lease>, proofs: &mut dyn Proofs) -> Result<(), Stop> {
        let mut lease = lease;
        for index in 0..self.connections.len() {
            self.connections.close(index);
        }
        while self.stop.is_none() && (!self.in_flight.is_empty() || self.connections.have_ready()) {
            self.dispatch(lease.as_deref_mut(), proofs);
            self.wait_for_one(lease.as_deref_mut()).await;
        }
        self.drain(lease).await
    }

    /// Sends nothing more, but waits for the answers of requests in flight.
    ///
    /// # Errors
    /// Why it stopped, if it did.
    pub async fn drain(&mut self, lease: Option<&mut Lease>) -> Result<(), Stop> {
        let mut lease = lease;
        while !self.in_flight.is_empty() {
            self.wait_for_one(lease.as_deref_mut()).await;
        }
        if let Some(lease) = lease {
            lease.sync()?;
        }
        self.stop.take().map_or(Ok(()), Err)
    }

    fn dispatch(&mut self, lease: Option<&mut Lease>, proofs: &mut dyn Proofs) {
        let mut lease = lease;
        while self.stop.is_none() {
            let leaving = self.connections.send_off();
            if leaving.is_empty() {
                return;
            }
            for (index, batch) in leaving {
                self.send(index, batch, lease.as_deref_mut(), proofs);
            }
        }
    }

    /// Sends a batch, without the hits of files that do not hold any more what was read of them.
    fn send(&mut self, index: usize, mut batch: BatchBuilder, lease: Option<&mut Lease>, proofs: &mut dyn Proofs) {
        let visitors: Vec<u64> = batch.visitors().collect();
        if self.stop.is_some() {
            return self.connections.come_back(index, visitors.into_iter());
        }
        let mut proven = Vec::new();
        for file in batch.files() {
            match proofs.prove(file) {
                Ok(Some(proof)) if !self.changed.contains(&file) => proven.push((file, proof)),
                // A file that cannot be read at this moment is looked at again as well.
                _ => {
                    batch.remove(file, |seconds| self.days.of(seconds));
                    self.drop_hits_of(file);
                }
            }
        }
        if batch.is_empty() {
            return self.connections.come_back(index, visitors.into_iter());
        }
        let (batch, written) = match self.write_down(batch, lease, &proven) {
            Ok(written) => written,
            Err(error) => {
                self.connections.come_back(index, visitors.into_iter());
                self.stop = Some(error.into());
                return;
            }
        };
        let delivery = Rc::clone(&self.delivery);
        self.in_flight.spawn_local(async move {
            let sent = async {
                if let Some(written) = written {
                    written.await?;
                }
                Ok(delivery.deliver(&batch).await)
            };
            let end = sent.await;
            (index, batch, visitors, end)
        });
    }

    /// Gives a batch its number and its marks, and writes it down. Answers when that is on disk.
    fn write_down(
        &mut self,
        batch: BatchBuilder,
        lease: Option<&mut Lease>,
        proven: &[(FileId, Proof)],
    ) -> Result<(Batch, Option<impl Future<Output = Result<(), LedgerError>> + use<S>>), LedgerError> {
        let intent = IntentId(self.next_intent);
        self.next_intent += 1;
        let proof_of = |file| proven.iter().find(|(known, _)| *known == file).map(|(_, proof)| *proof);
        let book = lease.as_ref().map(|lease| lease.book());
        let identity = |part: &Part| Some((book?.file(part.file)?.line_key, proof_of(part.file)?));
        let label = Label {
            identity: Some(&identity),
            announcement: self.announcement,
            ..Label::of(self.site, self.shape.ledger_site, self.journal, intent)
        };
        let sink = &self.delivery.sink;
        let (batch, room) = batch.close(label, self.has_ledger, |label| sink.wrap(label));
        if self.spare.len() < self.connections.len() {
            self.spare.push(room);
        }
        let Some(lease) = lease else { return Ok((batch, None)) };
        lease.intend(batch.intent(jiff::Timestamp::now().as_millisecond(), proof_of))?;
        let written = lease.synced();
        Ok((batch, Some(written)))
    }

    fn drop_hits_of(&mut self, file: FileId) {
        self.forget(file);
        self.changed.insert(file);
    }

    /// Forgets what was read of a file and has not left.
    pub fn forget(&mut self, file: FileId) {
        self.connections.remove(file, |seconds| self.days.of(seconds));
        self.progress.close(file);
    }

    fn flush(&mut self, lease: Option<&mut Lease>) {
        if let Some(Err(error)) = lease.map(Lease::flush) {
            self.stop.get_or_insert(error.into());
        }
    }

    async fn wait_for_one(&mut self, lease: Option<&mut Lease>) {
        let mut lease = lease;
        self.flush(lease.as_deref_mut());
        loop {
            match tokio::time::timeout(IDLE_SYNC, self.in_flight.join_next()).await {
                Ok(Some(done)) => return self.come_back(done, lease),
                Ok(None) => return,
                // A slow answer is no reason to leave receipts unsynced.
                Err(_) => {
                    if let Some(Err(error)) = lease.as_deref_mut().map(Lease::sync) {
                        self.stop.get_or_insert(error.into());
                    }
                }
            }
        }
    }

    fn come_back(&mut self, done: Result<Back, tokio::task::JoinError>, lease: Option<&mut Lease>) {
        let (index, batch, visitors, end) = match done {
            Ok(done) => done,
            Err(error) => {
                self.stop.get_or_insert(Stop::InDoubt(error.to_string()));
                return;
            }
        };
        self.connections.come_back(index, visitors.into_iter());
        if let Err(stop) = self.book(&batch, end, lease) {
            self.stop.get_or_insert(stop);
        }
    }

    /// Writes down what became of a batch.
    fn book(&mut self, batch: &Batch, end: Result<End, LedgerError>, lease: Option<&mut Lease>) -> Result<(), Stop> {
        let why = match end? {
            End::Arrived(receipt) => return self.arrived(batch, receipt, lease),
            End::ArrivedBut(missing) => return self.arrived_but(batch, missing, lease),
            End::Unknowable(why) => return self.withheld(batch, why, lease),
            End::InDoubt(why) => return Err(Stop::InDoubt(why)),
            End::Rejected(Rejection::RecordingOff) => Stop::RecordingOff,
            End::Rejected(Rejection::NotAllowed) => Stop::NotAllowed,
            End::Rejected(Rejection::TooLarge) => {
                Stop::TooLarge { bytes: batch.body.len(), hits: batch.hits() as usize }
            }
            End::Rejected(Rejection::TooSlow) => Stop::TooSlow { hits: batch.hits() as usize },
            End::NotNow(_) if self.delivery.shutdown.requested() => Stop::Asked,
            End::NotNow(why) => Stop::NotNow(why),
        };
        if let Some(lease) = lease {
            lease.undo(batch.intent, &why.to_string())?;
        }
        Err(why)
    }

    fn arrived(&mut self, batch: &Batch, receipt: Receipt, lease: Option<&mut Lease>) -> Result<(), Stop> {
        if receipt.short > 0 {
            warn!(site = %self.site, hits = batch.hits(), short = receipt.short,
                "IMPORT_LOG_ERROR_CHECK Matomo stored some hits of a batch incompletely (a lock wait in its database); they are not sent again");
        }
        if receipt.invalid > 0 {
            warn!(site = %self.site, hits = batch.hits(), invalid = receipt.invalid,
                "IMPORT_LOG_ERROR_CHECK Matomo refused some hits of a batch for good (older than it keeps raw data, or not valid)");
        }
        self.delivered.tracked += receipt.tracked;
        self.delivered.invalid += receipt.invalid;
        self.delivered.short += receipt.short;
        self.open_days.extend(batch.days.iter().map(|touched| touched.day));
        if receipt.short == 0 {
            self.announcement = None;
        }
        self.progress.settle(&batch.origins);
        let Some(lease) = lease else { return Ok(()) };
        lease.commit(batch.intent, receipt)?;
        self.advance(batch, lease)
    }

    /// The lines that are missing are read again: so the files are looked at anew.
    fn arrived_but(&mut self, batch: &Batch, missing: Vec<Part>, lease: Option<&mut Lease>) -> Result<(), Stop> {
        let lost: u64 = missing.iter().map(|part| part.lines.as_slice().len() as u64).sum();
        warn!(site = %self.site, hits = batch.hits(), missing = lost,
            "Matomo stored a part of a batch (a deadlock or a lock wait in its database); the missing hits are sent again");
        let Some(lease) = lease else { return Err(Stop::InDoubt("a part of a batch arrived".to_owned())) };
        self.delivered.tracked += batch.hits() - lost;
        lease.commit_but(batch.intent, missing)?;
        Err(Stop::Again)
    }

    fn withheld(&mut self, batch: &Batch, why: String, lease: Option<&mut Lease>) -> Result<(), Stop> {
        let Some(lease) = lease else { return Err(Stop::InDoubt(why)) };
        error!(site = %self.site, hits = batch.hits(), why,
            "IMPORT_LOG_ERROR Batch outcome unknown, its lines are set aside; decide with `log-analytics retry --resend` or `--skip`");
        self.delivered.withheld += batch.hits();
        self.progress.settle(&batch.origins);
        lease.withhold(batch.intent, &why)?;
        self.advance(batch, lease)
    }

    fn advance(&mut self, batch: &Batch, lease: &mut Lease) -> Result<(), Stop> {
        for file in batch.files().into_iter().filter(|file| !self.changed.contains(file)) {
            lease.advance(file, self.progress.checkpoint(file))?;
        }
        Ok(())
    }
}

fn of_this_moment() -> JournalId {
    JournalId(jiff::Timestamp::now().as_nanosecond() as u64)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use jiff::tz::TimeZone;
    use shared::shutdown::Shutdown;

    use super::*;
    use crate::ledger::Ledger;
    use crate::matomo::{
        ApiError, Asked, ConcurrencyLimit, Doubt, Outcome, PageView, RetryPolicy, Seen, Size, Span, Throttle, Trace,
    };
    use crate::merge::Origin;

    /// Takes as many milliseconds a hit, and notes how many hits a batch had. In front of it stands a gateway.
    struct Server {
        ms_per_hit: u64,
        gateway: Duration,
        batches: RefCell<Vec<u64>>,
    }

    impl Sink for Server {
        async fn send(&self, batch: &Batch) -> Outcome {
            self.batches.borrow_mut().push(batch.hits());
            let took_ms = batch.hits() * self.ms_per_hit;
            tokio::time::sleep(self.gateway.min(Duration::from_millis(took_ms))).await;
            if Duration::from_millis(took_ms) > self.gateway {
                let (seen, why) = (Seen::Timeout, "gave up".to_owned());
                return Outcome::InDoubt(Doubt { seen, why, elapsed: self.gateway });
            }
            Outcome::Delivered(Receipt { tracked: batch.hits(), took_ms, ..Receipt::default() })
        }

        async fn traces(&self, asked: &[Asked]) -> Result<Vec<Option<Trace>>, ApiError> {
            Ok(vec![Some(Trace::default()); asked.len()])
        }

        async fn stored(&self, _: &Span) -> Result<Option<HashSet<PageView>>, ApiError> {
            Ok(None)
        }
    }

    fn delivery(ms_per_hit: u64, gateway: u64) -> Rc<Delivery<Server>> {
        let sink = Server { ms_per_hit, gateway: Duration::from_secs(gateway), batches: RefCell::default() };
        let retry = RetryPolicy {
            attempts_max: 5,
            retry_delay: Duration::ZERO,
            doubt_least: Duration::ZERO,
            grace: Duration::ZERO,
            slowest: Cell::new(None),
        };
        let (limit, throttle, shutdown) = (ConcurrencyLimit::new(1), Throttle::new(None), Shutdown::never());
        Rc::new(Delivery { sink, ledger_site: None, retry, limit, size: Size::new(400), throttle, shutdown })
    }

    /// A sender of hits of one day that Matomo has hits of.
    fn sender(shape: &Shape, delivery: &Rc<Delivery<Server>>, lease: &Lease) -> Sender<Server> {
        let days = Days::new(TimeZone::UTC, jiff::Timestamp::now());
        let shape = Shape { ledger_site: Some(SiteId(9)), ..shape.clone() };
        let mut sender = Sender::new(Rc::clone(delivery), shape, SiteId(4), days, Some(lease));
        sender.progress.open(FileId(1), 0);
        sender.announcement = None;
        sender.open_days.insert("1970-01-01".parse().unwrap());
        sender
    }

    fn offer(sender: &mut Sender<Server>, number: u64, visitor: u64) -> Offered {
        let mut origin = Origin { file: FileId(1), number: 0, offset: number * 10 };
        sender.progress.hand_out(&mut origin, (number + 1) * 10);
        sender.offer(&Queued { origin, seconds: 0, visitor }, b"{}")
    }

    /// Sends so many hits, each of a visitor of their own.
    fn sent(hits: u64, delivery: &Rc<Delivery<Server>>, lease: &mut Lease) -> Result<(), Stop> {
        let mut sender = sender(&Shape::default(), delivery, lease);
        run(async {
            for number in 0..hits {
                offer(&mut sender, number, number);
                if sender.is_due() {
                    sender.turn(Some(lease), &mut Unproven).await?;
                }
            }
            sender.finish(Some(lease), &mut Unproven).await
        })
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(tokio::task::LocalSet::new().run_until(work))
    }

    fn lease(folder: &tempfile::TempDir) -> Lease {
        Ledger::open(folder.path()).unwrap().claim(SiteId(4)).unwrap().unwrap()
    }

    #[test]
    fn what_is_not_safely_written_down_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        for (broken, batches) in [(false, 1), (true, 0)] {
            let (delivery, mut lease) = (delivery(1, 60), lease(&folder));
            if broken {
                lease.break_disk();
            }
            let ended = sent(1, &delivery, &mut lease);
            assert_eq!(matches!(ended, Err(Stop::Ledger(_))), broken, "{ended:?}");
            assert_eq!(delivery.sink.batches.borrow().len(), batches);
        }
    }

    #[test]
    fn a_batch_leaves_when_its_connection_is_free_though_no_hit_comes() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, mut lease) = (delivery(100, 60), lease(&folder));
        let mut sender = sender(&Shape { connections: 4, ..Shape::default() }, &delivery, &lease);
        run(async {
            // All of one visitor, so that a second batch is filled behind the first one.
            for number in 0..850 {
                offer(&mut sender, number, 7);
                if sender.is_due() {
                    sender.turn(Some(&mut lease), &mut Unproven).await.unwrap();
                }
            }
            // Lines that are no hits are read meanwhile.
            for _ in 0..60 {
                // The clock of a test does not wait for the disk.
                lease.sync().unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
                sender.turn(Some(&mut lease), &mut Unproven).await.unwrap();
            }
        });
        assert_eq!(*delivery.sink.batches.borrow(), [400, 400]);
    }

    #[test]
    fn the_first_hit_of_a_day_goes_alone_and_its_answer_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, mut lease) = (delivery(1, 60), lease(&folder));
        let mut sender = sender(&Shape { connections: 4, ..Shape::default() }, &delivery, &lease);
        sender.open_days.clear();
        run(async {
            let hit = Queued { origin: Origin { file: FileId(1), number: 0, offset: 0 }, seconds: 0, visitor: 1 };
            assert_eq!(sender.offer(&hit, b"{}"), Offered::NewDay);
            sender.send_alone(&hit, b"{}", Some(&mut lease), &mut Unproven).await.unwrap();
            assert_eq!((sender.delivered().tracked, sender.offer(&hit, b"{}")), (1, Offered::Taken));
            let next = Queued { seconds: 86_400, ..hit };
            assert_eq!(sender.offer(&next, b"{}"), Offered::NewDay);
        });
        assert_eq!(*delivery.sink.batches.borrow(), [1]);
    }

    /// A file that holds what was read of it as long as nothing else is said.
    struct Changing(bool);

    impl Proofs for Changing {
        fn prove(&mut self, _: FileId) -> Result<Option<Proof>, ReadError> {
            Ok((!self.0).then_some(Proof { at: 1, ..Proof::default() }))
        }
    }

    #[test]
    fn what_a_file_does_not_hold_any_more_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, mut lease) = (delivery(1, 60), lease(&folder));
        let mut sender = sender(&Shape::default(), &delivery, &lease);
        run(async {
            (0..600).for_each(|number| assert_eq!(offer(&mut sender, number, number), Offered::Taken));
            sender.finish(Some(&mut lease), &mut Changing(true)).await.unwrap();
        });
        assert_eq!(sender.take_changed().into_iter().collect::<Vec<_>>(), [FileId(1)]);
        assert_eq!((delivery.sink.batches.borrow().len(), lease.book().pending().count()), (0, 0));
    }

    #[test]
    fn batches_shrink_before_a_gateway_loses_patience() {
        let folder = tempfile::tempdir().unwrap();
        let delivery = delivery(100, 60);
        sent(1000, &delivery, &mut lease(&folder)).unwrap();
        assert_eq!(*delivery.sink.batches.borrow(), [400, 150, 150, 150, 150]);
    }

    #[test]
    fn a_batch_that_a_gateway_gives_up_twice_is_taken_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, mut lease) = (delivery(100, 10), lease(&folder));
        let ended = sent(1000, &delivery, &mut lease);
        assert!(matches!(ended, Err(Stop::TooSlow { hits: 400 })), "{ended:?}");
        assert_eq!(*delivery.sink.batches.borrow(), [400, 400]);
        assert_eq!(lease.book().pending().count(), 0, "its lines are free for smaller ones");
    }

    #[test]
    fn a_batch_of_long_hits_is_closed_at_a_megabyte() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, mut lease) = (delivery(1, 60), lease(&folder));
        let mut sender = sender(&Shape::default(), &delivery, &lease);
        let long = format!("{{\"url\":\"{}\"}}", "x".repeat(10_000));
        run(async {
            for number in 0..250 {
                let origin = Origin { file: FileId(1), number: 0, offset: number };
                let hit = Queued { origin, seconds: 0, visitor: number };
                assert_eq!(sender.offer(&hit, long.as_bytes()), Offered::Taken);
            }
            sender.finish(Some(&mut lease), &mut Unproven).await.unwrap();
        });
        assert_eq!(*delivery.sink.batches.borrow(), [100, 100, 50]);
    }
}
