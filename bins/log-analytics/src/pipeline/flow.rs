//! From the stream of hits to receipts: a window, one batch per recorder being filled, and deliveries under way.

use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::task::{JoinSet, yield_now};
use tracing::{error, warn};

use super::day::Days;
use super::recorders::{Load, Recorders};
use super::tracker::Tracker;
use crate::discover::SiteId;
use crate::hit::Common;
use crate::interleave::{Waiting, Window};
use crate::ledger::{FileId, IntentId, Lease, LedgerError, Receipt};
use crate::matomo::{Batch, Delivery, End, Filling, RECENT_SECONDS, Rejection, Sink};

/// How batches are made.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Connections that send at the same time.
    pub recorders: usize,
    /// Hits in a batch, at most.
    pub batch_hits_max: usize,
    /// Bytes in a batch, at most (one hit more may fit in).
    pub batch_bytes_max: usize,
    /// Hits of the stream that are rearranged together.
    pub window_hits_max: usize,
    /// The site that receives marks.
    pub ledger_site: Option<SiteId>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            recorders: 1,
            batch_hits_max: 500,
            batch_bytes_max: BATCH_BYTES_MAX,
            window_hits_max: 2500,
            ledger_site: None,
        }
    }
}

/// Common limits of web servers for a request begin at 1 MiB.
const BATCH_BYTES_MAX: usize = 1000 * 1000;
const WINDOW_BYTES_MAX: usize = 4 << 20;
/// A hit rarely takes more than so many bytes; a batch that begins with room for its hits is not moved while it grows,
/// and room that is never written to costs no memory.
const HIT_BYTES: usize = 800;
/// So many hits are read before deliveries are seen to: a fast server answers meanwhile, and the disk as well.
const LOOK: usize = 300;
/// How often the ledger is synced while nothing leaves.
const IDLE_SYNC: Duration = Duration::from_secs(1);

/// Why no more hits are sent.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Somebody wishes it.
    #[error("asked to stop")]
    Asked,
    /// Other sites wait for their turn.
    #[error("the turn of the site is over")]
    TurnOver,
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
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The way of one site's hits to Matomo.
pub struct Flow<S> {
    delivery: Rc<Delivery<S>>,
    shape: Shape,
    site: SiteId,
    now_seconds: i64,
    window: Window,
    recorders: Recorders,
    under_way: JoinSet<Back>,
    /// Bodies that have been delivered, for the room they take.
    spare: Vec<Vec<u8>>,
    /// Lines on their way, for the checkpoints.
    pub tracker: Tracker,
    identities: FxHashMap<FileId, u64>,
    days: Days,
    with_page_views: bool,
    salt: u64,
    next_intent: u64,
    delivered: Delivered,
    stop: Option<Stop>,
    /// Hits offered since the last turn.
    offered: usize,
}

/// A batch that comes back to its recorder: what became of it, or why it was not sent, not being safely written down.
type Back = (usize, IntentId, Load, Result<End, LedgerError>);

/// What became of the hits so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Matomo took them.
    pub tracked: u64,
    /// Matomo refused them for their own sake.
    pub invalid: u64,
    /// Stored by half.
    pub short: u64,
    /// Withheld: nobody can tell.
    pub withheld: u64,
}

fn of_this_moment() -> u64 {
    jiff::Timestamp::now().as_nanosecond() as u64
}

impl<S: Sink + 'static> Flow<S> {
    /// A flow for a site. `days` tells which days' reports change.
    pub fn new(delivery: Rc<Delivery<S>>, shape: Shape, site: SiteId, days: Days, lease: Option<&Lease>) -> Self {
        Self {
            delivery,
            site,
            now_seconds: jiff::Timestamp::now().as_second(),
            window: Window::new(shape.window_hits_max, WINDOW_BYTES_MAX),
            recorders: Recorders::new(shape.recorders),
            under_way: JoinSet::new(),
            spare: Vec::new(),
            tracker: Tracker::default(),
            identities: FxHashMap::default(),
            days,
            // Without a ledger site a batch can be found again by the page view its hits share.
            with_page_views: lease.is_some() && shape.ledger_site.is_none(),
            // Without a ledger the same lines may have been sent before, so their marks must differ from run to run.
            salt: lease.map_or_else(of_this_moment, |lease| lease.book().salt()),
            next_intent: lease.map_or(0, |lease| lease.book().next_intent().0),
            delivered: Delivered::default(),
            stop: None,
            offered: 0,
            shape,
        }
    }

    /// Makes a file known: `identity` is the hash of its first line, `checkpoint` where its settled lines end.
    pub fn open(&mut self, file: FileId, identity: u64, checkpoint: u64) {
        self.identities.insert(file, identity);
        self.tracker.open(file, checkpoint);
    }

    /// Lets the file of this index write the JSON of its next hit, see [`Window::write`].
    #[inline]
    pub fn write<T>(&mut self, file: usize, write: impl FnOnce(&mut Vec<u8>, &mut Option<Common>) -> T) -> T {
        self.window.write(file, write)
    }

    /// Takes the next hit of the stream, which the file of this index has written.
    #[inline]
    pub fn offer(&mut self, file: usize, hit: Waiting) {
        self.offered += 1;
        self.window.push(file, hit);
    }

    /// Whether it is time for [`Flow::turn`].
    #[inline]
    pub fn is_due(&self) -> bool {
        self.offered >= LOOK || self.window.is_full()
    }

    /// What became of the hits so far.
    pub fn delivered(&self) -> Delivered {
        self.delivered
    }

    /// Sees to the deliveries under way. If the window is full, moves hits from it into batches and sends those that are
    /// full; waits where recorders are busy.
    ///
    /// # Errors
    /// Why no more hits are to be read. What is under way is not waited for; see [`Flow::finish`].
    pub async fn turn(&mut self, lease: Option<&mut Lease>) -> Result<(), Stop> {
        let mut lease = lease;
        self.offered = 0;
        loop {
            // Lets the deliveries do their reading and writing.
            yield_now().await;
            while let Some(done) = self.under_way.try_join_next() {
                self.come_back(done, lease.as_deref_mut());
            }
            if let Some(stop) = self.stop.take() {
                return Err(stop);
            }
            let is_due = self.window.is_due();
            if is_due {
                self.fill();
            }
            self.dispatch(lease.as_deref_mut());
            if !is_due || self.window.is_settled() {
                // What is written down now is kept while more is read.
                self.keep(lease);
                return Ok(());
            }
            if !self.recorders.want_more() {
                self.wait_for_one(lease.as_deref_mut()).await;
            }
        }
    }

    /// Sends all that was offered and waits for every answer.
    ///
    /// # Errors
    /// Why not everything was sent.
    pub async fn finish(&mut self, lease: Option<&mut Lease>) -> Result<(), Stop> {
        let mut lease = lease;
        self.window.end();
        if let Err(stop) = self.turn(lease.as_deref_mut()).await {
            return self.drain(lease).await.and(Err(stop));
        }
        for index in 0..self.recorders.len() {
            self.close(index);
        }
        while self.stop.is_none() && (!self.under_way.is_empty() || self.recorders.have_ready()) {
            self.dispatch(lease.as_deref_mut());
            self.wait_for_one(lease.as_deref_mut()).await;
        }
        self.drain(lease).await
    }

    /// Sends nothing more, but waits for the answers under way.
    ///
    /// # Errors
    /// Why it stopped, if it did.
    pub async fn drain(&mut self, lease: Option<&mut Lease>) -> Result<(), Stop> {
        let mut lease = lease;
        while !self.under_way.is_empty() {
            self.wait_for_one(lease.as_deref_mut()).await;
        }
        if let Some(lease) = lease {
            lease.sync()?;
        }
        self.stop.take().map_or(Ok(()), Err)
    }

    /// Puts hits of the window into batches, as many as there is demand for.
    fn fill(&mut self) {
        // Few files in a window: the last answer is mostly the next one.
        let mut known = None;
        let mut wanted = self.recorders.want_more();
        while wanted {
            let Some((hit, json)) = self.window.pop() else { return };
            let (index, filling) = self.recorders.batch_for(&hit, || {
                let room = self.shape.batch_bytes_max.min(self.shape.batch_hits_max * HIT_BYTES);
                let body = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(room));
                Filling::new(self.site, self.shape.ledger_site, self.salt, body, self.shape.batch_hits_max)
            });
            let file = hit.origin.file;
            let identity = match known {
                Some((known, identity)) if known == file => identity,
                _ => self.identities.get(&file).copied().unwrap_or_default(),
            };
            known = Some((file, identity));
            let with_pv_id = self.with_page_views && self.now_seconds - hit.seconds < RECENT_SECONDS;
            filling.push(&hit, identity, json, with_pv_id);
            if let Some((day, past)) = self.days.of(hit.seconds) {
                filling.touch(day, past);
            }
            if filling.hits() >= self.delivery.size.hits() || filling.bytes() >= self.shape.batch_bytes_max {
                self.close(index);
                wanted = self.recorders.want_more();
            }
        }
    }

    fn close(&mut self, index: usize) {
        let sink = &self.delivery.sink;
        self.recorders.close(index, |filling| filling.close(|mark| sink.end_of_body(mark)));
    }

    fn dispatch(&mut self, lease: Option<&mut Lease>) {
        if self.stop.is_some() {
            return;
        }
        let leaving = self.recorders.send_off();
        if leaving.is_empty() {
            return;
        }
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let mut lease = lease;
        for (index, load) in leaving {
            let intent = IntentId(self.next_intent);
            self.next_intent += 1;
            if let Some(lease) = lease.as_deref_mut()
                && let Err(error) = lease.intend(load.batch.intent(intent, now_ms))
            {
                self.stop = Some(error.into());
                return;
            }
            let written = lease.as_deref_mut().map(Lease::synced);
            let delivery = Rc::clone(&self.delivery);
            self.under_way.spawn_local(async move {
                let sent = async {
                    if let Some(written) = written {
                        written.await?;
                    }
                    Ok(delivery.deliver(&load.batch).await)
                };
                let end = sent.await;
                (index, intent, load, end)
            });
        }
    }

    fn keep(&mut self, lease: Option<&mut Lease>) {
        if let Some(Err(error)) = lease.map(Lease::keep) {
            self.stop.get_or_insert(error.into());
        }
    }

    async fn wait_for_one(&mut self, lease: Option<&mut Lease>) {
        let mut lease = lease;
        self.keep(lease.as_deref_mut());
        loop {
            match tokio::time::timeout(IDLE_SYNC, self.under_way.join_next()).await {
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
        let (index, intent, load, end) = match done {
            Ok(done) => done,
            Err(error) => {
                self.stop.get_or_insert(Stop::InDoubt(error.to_string()));
                return;
            }
        };
        let batch = self.recorders.come_back(index, load);
        if let Err(stop) = self.book_keep(intent, &batch, end, lease) {
            self.stop.get_or_insert(stop);
        }
        if self.spare.len() < self.recorders.len()
            && let Ok(mut body) = batch.body.try_into_mut()
        {
            body.clear();
            self.spare.push(body.into());
        }
    }

    fn book_keep(
        &mut self,
        intent: IntentId,
        batch: &Batch,
        end: Result<End, LedgerError>,
        lease: Option<&mut Lease>,
    ) -> Result<(), Stop> {
        let why = match end? {
            End::Arrived(receipt) => return self.arrived(intent, batch, receipt, lease),
            End::Unknowable(why) => return self.withheld(intent, batch, why, lease),
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
            lease.undo(intent, &why.to_string())?;
        }
        Err(why)
    }

    fn arrived(
        &mut self,
        intent: IntentId,
        batch: &Batch,
        receipt: Receipt,
        lease: Option<&mut Lease>,
    ) -> Result<(), Stop> {
        if receipt.short > 0 {
            warn!(site = %self.site, hits = batch.hits(), short = receipt.short,
                "IMPORT_LOG_ERROR_CHECK Matomo stored some hits of a batch by half (a lock wait in its database); they are not sent again");
        }
        if receipt.invalid > 0 {
            warn!(site = %self.site, hits = batch.hits(), invalid = receipt.invalid,
                "IMPORT_LOG_ERROR_CHECK Matomo refused some hits of a batch for good (older than it keeps raw data, or not valid)");
        }
        self.delivered.tracked += receipt.tracked;
        self.delivered.invalid += receipt.invalid;
        self.delivered.short += receipt.short;
        self.settle(batch);
        let Some(lease) = lease else { return Ok(()) };
        lease.commit(intent, receipt)?;
        self.advance(batch, lease)
    }

    fn withheld(
        &mut self,
        intent: IntentId,
        batch: &Batch,
        why: String,
        lease: Option<&mut Lease>,
    ) -> Result<(), Stop> {
        let Some(lease) = lease else { return Err(Stop::InDoubt(why)) };
        error!(site = %self.site, hits = batch.hits(), why,
            "IMPORT_LOG_ERROR Nobody can tell whether a batch arrived: its lines are set aside, decide with `log-analytics retry --resend` or `--skip`");
        self.delivered.withheld += batch.hits();
        self.settle(batch);
        lease.withhold(intent, &why)?;
        self.advance(batch, lease)
    }

    fn settle(&mut self, batch: &Batch) {
        self.tracker.settle(&batch.origins);
    }

    fn advance(&mut self, batch: &Batch, lease: &mut Lease) -> Result<(), Stop> {
        for file in batch.files() {
            lease.advance(file, self.tracker.checkpoint(file))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use jiff::tz::TimeZone;
    use shared::shutdown::Shutdown;

    use super::*;
    use crate::interleave::Origin;
    use crate::ledger::Ledger;
    use crate::matomo::{ApiError, Asked, Doubt, Hands, Outcome, Patience, Seen, Size, Throttle};

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

        async fn arrived(&self, asked: &[Asked]) -> Result<Vec<Option<usize>>, ApiError> {
            Ok(vec![Some(0); asked.len()])
        }
    }

    fn delivery(ms_per_hit: u64, gateway: u64) -> Rc<Delivery<Server>> {
        let sink = Server { ms_per_hit, gateway: Duration::from_secs(gateway), batches: RefCell::default() };
        let patience = Patience {
            attempts_max: 5,
            retry_delay: Duration::ZERO,
            doubt_least: Duration::ZERO,
            grace: Duration::ZERO,
            slowest: Cell::new(None),
        };
        let (hands, throttle, shutdown) = (Hands::new(1), Throttle::new(None), Shutdown::never());
        Rc::new(Delivery { sink, patience, hands, size: Size::new(400), throttle, shutdown })
    }

    fn flow(shape: Shape, delivery: &Rc<Delivery<Server>>, lease: &Lease) -> Flow<Server> {
        let days = Days::new(TimeZone::UTC, jiff::Timestamp::now());
        let mut flow = Flow::new(Rc::clone(delivery), shape, SiteId(4), days, Some(lease));
        flow.open(FileId(1), 7, 0);
        flow
    }

    fn offer(flow: &mut Flow<Server>, number: u64, visitor: u64) {
        let mut origin = Origin { file: FileId(1), number: 0, offset: number * 10 };
        flow.tracker.hand_out(&mut origin, (number + 1) * 10);
        flow.write(0, |json, _| json.extend_from_slice(b"{}"));
        flow.offer(0, Waiting { origin, seconds: 0, visitor, agent: 1 });
    }

    /// Sends so many hits, each of a visitor of his own.
    fn sent(hits: u64, delivery: &Rc<Delivery<Server>>, lease: &mut Lease) -> Result<(), Stop> {
        let mut flow = flow(Shape { window_hits_max: 100, ..Shape::default() }, delivery, lease);
        run(async {
            for number in 0..hits {
                offer(&mut flow, number, number);
                if flow.is_due() {
                    flow.turn(Some(lease)).await?;
                }
            }
            flow.finish(Some(lease)).await
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
    fn answers_are_seen_to_before_the_window_is_full_again() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, mut lease) = (delivery(100, 60), lease(&folder));
        let shape = Shape { recorders: 4, window_hits_max: 6 * LOOK, ..Shape::default() };
        let mut flow = flow(shape, &delivery, &lease);
        run(async {
            let shown = 6 * LOOK as u64;
            (0..shown).for_each(|number| offer(&mut flow, number, number));
            flow.turn(Some(&mut lease)).await.unwrap();
            while delivery.sink.batches.borrow().len() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(flow.delivered().tracked, 0, "Matomo needs 40 seconds");
            tokio::time::sleep(Duration::from_secs(60)).await;
            (shown..).take(LOOK).for_each(|number| offer(&mut flow, number, number));
            assert!(flow.is_due() && !flow.window.is_full());
            flow.turn(Some(&mut lease)).await.unwrap();
            assert_eq!(flow.delivered().tracked, 800);
        });
    }

    #[test]
    fn a_batch_leaves_when_its_recorder_is_free_though_no_hit_comes() {
        let folder = tempfile::tempdir().unwrap();
        let (delivery, mut lease) = (delivery(100, 60), lease(&folder));
        let mut flow = flow(Shape { recorders: 4, window_hits_max: 100, ..Shape::default() }, &delivery, &lease);
        run(async {
            // All of one visitor, so that a second batch is filled behind the first one.
            for number in 0..850 {
                offer(&mut flow, number, 7);
                if flow.is_due() {
                    flow.turn(Some(&mut lease)).await.unwrap();
                }
            }
            // Lines that are no hits are read meanwhile.
            for _ in 0..60 {
                // The clock of a test does not wait for the disk.
                lease.sync().unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
                flow.turn(Some(&mut lease)).await.unwrap();
            }
        });
        assert_eq!(*delivery.sink.batches.borrow(), [400, 400]);
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
}
