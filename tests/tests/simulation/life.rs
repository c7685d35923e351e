//! One life of the importer.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, OpenOptions};
use std::future::pending;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use log_analytics::discover::{self, LogFile, Names, SiteId};
use log_analytics::file::TextEncoding;
use log_analytics::format::FormatOptions;
use log_analytics::hit::HitOptions;
use log_analytics::ledger::{Ledger, Mark, Receipt};
use log_analytics::matomo::{
    ApiError, Asked, Batch, ConcurrencyLimit, Delivery, Doubt, Label, Outcome, PageView, Rejection, RetryPolicy, Seen,
    Sink, SiteFacts, Size, Span, Throttle, ToldPart, Trace, Wrapped,
};
use log_analytics::pipeline::{Reading, Recognise, Shape, SiteImport, Stop, TimeSlice};
use serde_json::{Value, json};
use shared::shutdown::Shutdown;
use tests::log::WebServer;
use tests::random::Random;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::server::{Server, Told, announced};
use crate::story::Plan;

pub const SITE: SiteId = SiteId(4);
pub const LEDGER_SITE: SiteId = SiteId(9);
const DOUBT_WAIT: Duration = Duration::from_millis(500);
/// After an answer that is not Matomo's, or none, it may be at work so much longer.
const LATE_MS: u64 = 450;
/// The same after somebody lost patience with it.
const LATE_AFTER_TIMEOUT_MS: u64 = 5_900;

/// The journal of the site, and how much of it is known to survive a power cut.
pub struct JournalFile {
    pub path: PathBuf,
    pub synced: usize,
}

impl JournalFile {
    /// A batch leaves: everything up to its intent must be on disk. Answers whether it is in the file at all.
    pub fn note_leaving(&mut self, batch: &Batch) -> bool {
        let text = fs::read(&self.path).unwrap_or_default();
        let intent = format!("{{\"intent\":{},\"mark\":\"{}\"", batch.intent.0, batch.mark);
        let Some(at) = memchr::memmem::rfind(&text, intent.as_bytes()) else { return false };
        let Some(line) = text[at..].iter().position(|byte| *byte == b'\n') else { return false };
        self.synced = self.synced.max(at + line + 1);
        true
    }

    /// A death may cost everything behind the last sync.
    pub fn lose_what_was_not_synced(&mut self, random: &mut Random) {
        let Ok(file) = OpenOptions::new().write(true).open(&self.path) else { return };
        // Whoever opens a journal cuts off a torn line, of a restored one as well.
        let length = file.metadata().unwrap().len();
        let synced = length.min(self.synced as u64);
        file.set_len(synced + random.below(length - synced + 1)).unwrap();
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap_or_default()
    }

    /// Somebody restores the journal, or deletes it.
    pub fn replace(&mut self, bytes: Option<&[u8]>) {
        let _ = fs::remove_file(&self.path);
        self.synced = bytes.map_or(0, <[u8]>::len);
        if let Some(bytes) = bytes {
            fs::write(&self.path, bytes).unwrap();
        }
    }
}

/// What is there for all lives of a story.
pub struct World {
    pub plan: Plan,
    pub server: RefCell<Server>,
    pub webs: RefCell<Vec<WebServer>>,
    pub journal: RefCell<JournalFile>,
    pub said: RefCell<Vec<String>>,
}

impl World {
    pub fn say(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::info!("{what}");
        self.said.borrow_mut().push(what);
    }

    /// Something happens to the files of one of the web servers.
    pub fn happen(&self, random: &mut Random) {
        let mut webs = self.webs.borrow_mut();
        let count = webs.len() as u64;
        if count > 0 {
            let index = random.below(count) as usize;
            let what = webs[index].happen(random);
            if !what.is_empty() {
                self.say(format!("  web{}: {what}", index + 1));
            }
        }
    }
}

/// One life of the process: its luck, and the event at which it dies.
pub struct Life {
    pub world: Rc<World>,
    pub luck: RefCell<Random>,
    pub troubled: bool,
    pub events_left: Cell<Option<u64>>,
    pub died: Notify,
    /// Batches that wait for the disk: meanwhile no time passes.
    pub leaving: RefCell<BTreeMap<Mark, mpsc::Sender<()>>>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    Stored,
    Refused,
    RecordingOff,
    /// No answer, or none that says whether it was stored.
    Broken(Seen, Commit),
    /// Matomo swallows a deadlock: of the entries before this one nothing is left.
    Deadlock(usize),
    /// Matomo loses this entry, and counts one less.
    Short(usize),
}

/// When a request is stored whose answer is broken.
#[derive(Debug, Clone, Copy)]
pub enum Commit {
    Never,
    Before,
    Late,
}

impl Life {
    pub fn below(&self, end: u64) -> u64 {
        self.luck.borrow_mut().below(end)
    }

    pub async fn rest(&self, milliseconds: u64) {
        let milliseconds = self.below(milliseconds);
        sleep(Duration::from_millis(milliseconds)).await;
    }

    /// Something happened; the process may not survive it.
    pub async fn event(&self) {
        if self.troubled && self.below(4) == 0 {
            self.world.happen(&mut self.luck.borrow_mut());
        }
        let Some(left) = self.events_left.get() else { return };
        if left == 0 {
            self.died.notify_one();
            pending::<()>().await;
        }
        self.events_left.set(Some(left - 1));
    }

    /// Simulated time passes whenever nothing is to be done, so not while a batch waits for the disk, which is real.
    pub fn wait_for_disk(&self, mark: Mark) {
        const LONGEST_WAIT: Duration = Duration::from_millis(3);
        let (left, leaves) = mpsc::channel();
        tokio::task::spawn_blocking(move || leaves.recv_timeout(LONGEST_WAIT));
        self.leaving.borrow_mut().insert(mark, left);
    }

    pub fn fate(&self, batch: &Batch) -> Fate {
        if !self.troubled {
            return Fate::Stored;
        }
        let mut luck = self.luck.borrow_mut();
        let entries = batch.hits() + batch.marks;
        let seen = [Seen::Answer, Seen::Closed, Seen::Timeout, Seen::MatomoError];
        match luck.below(20) {
            0 => Fate::Refused,
            1 => Fate::RecordingOff,
            2..7 => Fate::Broken(*luck.pick(&seen), *luck.pick(&[Commit::Never, Commit::Before, Commit::Late])),
            7 | 8 if self.world.plan.in_part && entries > 1 => Fate::Deadlock(1 + luck.below(entries - 1) as usize),
            9 | 10 if self.world.plan.in_part && entries > 1 => Fate::Short(luck.below(entries) as usize),
            _ => Fate::Stored,
        }
    }

    /// A batch is on its way.
    pub async fn meets_its_fate(&self, batch: &Batch) -> Outcome {
        let begin = Instant::now();
        let fate = self.fate(batch);
        self.world.say(format!("  batch {} with lines {:?}: {fate:?}", batch.intent.0, numbers(batch)));
        self.rest(20).await;
        let doubt = |seen| Outcome::InDoubt(Doubt { seen, why: "simulated".to_owned(), elapsed: begin.elapsed() });
        match fate {
            Fate::Refused => Outcome::Transient("simulated".to_owned()),
            Fate::RecordingOff => Outcome::Rejected(Rejection::RecordingOff),
            Fate::Broken(seen, Commit::Never) => doubt(seen),
            Fate::Broken(seen, Commit::Late) => {
                let late = self.below(if seen == Seen::Timeout { LATE_AFTER_TIMEOUT_MS } else { LATE_MS });
                self.world
                    .server
                    .borrow_mut()
                    .begin(batch, Instant::now() + Duration::from_millis(late), true, |_| true);
                doubt(seen)
            }
            Fate::Broken(seen, Commit::Before) => {
                self.work_on(batch, |_| true).await;
                doubt(seen)
            }
            Fate::Deadlock(at) => {
                self.work_on(batch, |entry| entry >= at).await;
                doubt(Seen::MatomoError)
            }
            Fate::Short(lost) => {
                self.work_on(batch, |entry| entry != lost).await;
                doubt(Seen::Shortfall { hits: 1 })
            }
            Fate::Stored => {
                self.work_on(batch, |_| true).await;
                self.rest(20).await;
                Outcome::Delivered(Receipt { tracked: batch.hits(), took_ms: 1, ..Receipt::default() })
            }
        }
    }

    /// Matomo's API is asked.
    pub async fn ask(&self) -> Result<(), ApiError> {
        self.event().await;
        self.rest(20).await;
        if self.troubled && self.below(6) == 0 {
            return Err(ApiError::Token);
        }
        self.world.server.borrow_mut().catch_up();
        Ok(())
    }

    /// The request reaches Matomo. Whatever becomes of this process, Matomo does its work.
    pub async fn work_on(&self, batch: &Batch, keeps: impl Fn(usize) -> bool) {
        let took = Duration::from_millis(self.below(20));
        self.world.server.borrow_mut().begin(batch, Instant::now() + took, false, keeps);
        self.event().await;
        sleep(took).await;
        self.world.server.borrow_mut().catch_up();
        self.event().await;
    }
}

#[derive(Clone)]
pub struct Wire(Rc<Life>);

impl Sink for Wire {
    fn wrap(&self, label: &Label<'_>) -> Wrapped {
        self.0.wait_for_disk(label.mark);
        if label.ledger_site.is_none() {
            return Wrapped::plain();
        }
        let told = Told { parts: told_parts(label, self.0.world.plan.told_hits_max), newest: label.newest };
        let cid = label.mark.to_string();
        let mark = |word: &str| json!({"mark": word, "cid": cid}).to_string();
        let journal = label.announcement.as_ref().map(|announcement| announced(announcement, label.site).to_string());
        let (first, behind) = (mark("first"), journal.into_iter().chain([mark("last")]));
        let marks = 2 + u64::from(label.announcement.is_some());
        let tail = behind.map(|mark| format!(",{mark}")).collect::<String>() + "]}";
        self.0.world.server.borrow_mut().told.insert(cid, told);
        Wrapped { head: format!("{first},"), tail, marks }
    }

    async fn send(&self, batch: &Batch) -> Outcome {
        let (life, world) = (&self.0, &self.0.world);
        life.leaving.borrow_mut().remove(&batch.mark);
        world.server.borrow_mut().sent += 1;
        if !world.journal.borrow_mut().note_leaving(batch) {
            world.server.borrow_mut().wrongs.push(format!("batch {} left before it was written down", batch.intent.0));
        }
        life.event().await;
        life.meets_its_fate(batch).await
    }

    async fn traces(&self, asked: &[Asked]) -> Result<Vec<Option<Trace>>, ApiError> {
        self.0.ask().await?;
        let server = self.0.world.server.borrow();
        Ok(asked.iter().map(|asked| asked.ledger_site.map(|_| server.trace(asked.mark))).collect())
    }

    async fn stored(&self, span: &Span) -> Result<Option<HashSet<PageView>>, ApiError> {
        self.0.ask().await?;
        Ok(self.0.world.server.borrow().stored(span))
    }
}
/// The numbers of a batch's lines, for whoever reads how a story went wrong.
pub fn numbers(batch: &Batch) -> Vec<String> {
    let body: Value = serde_json::from_slice(&batch.body).unwrap();
    let urls = body["requests"].as_array().unwrap().iter().filter_map(|entry| entry["url"].as_str());
    urls.filter_map(|url| Some(url.split_once("?n=")?.1.to_owned())).collect()
}

/// What marks tell of the lines of a batch: all of them, or nothing if they are too many.
pub fn told_parts(label: &Label<'_>, hits_max: usize) -> Option<Vec<ToldPart>> {
    let told = |part: &log_analytics::ledger::Part| {
        let (line_key, proof) = label.identity?(part)?;
        Some(ToldPart { file: part.file, line_key, proof, lines: part.lines.clone() })
    };
    label.parts.iter().map(told).collect::<Option<Vec<_>>>().filter(|_| label.hits <= hits_max)
}

/// How one life ended.
pub enum Ending {
    Died,
    Ended(Option<Stop>),
}

/// How a life goes about its work.
pub struct Circumstances {
    pub shape: Shape,
    /// Slices of time, if it has them.
    pub slice: Option<Duration>,
    pub now: Timestamp,
    /// How long a file has to rest.
    pub settle: Duration,
    /// It looks at the files before it asks Matomo, as a pass does.
    pub looks_first: bool,
}

pub fn delivery(sink: Wire, shape: &Shape, slowest_ms: Option<u64>, shutdown: &Shutdown) -> Delivery<Wire> {
    Delivery {
        sink,
        ledger_site: shape.ledger_site,
        retry: RetryPolicy {
            attempts_max: 3,
            retry_delay: Duration::from_millis(50),
            doubt_least: DOUBT_WAIT,
            grace: Duration::from_secs(1),
            slowest: Cell::new(slowest_ms.map(Duration::from_millis)),
        },
        limit: ConcurrencyLimit::new(shape.connections),
        size: Size::new(shape.batch_hits_max),
        throttle: Throttle::new(None),
        shutdown: shutdown.clone(),
    }
}

/// Every line becomes a hit.
pub fn hit_options() -> HitOptions {
    HitOptions {
        enable_http_errors: true,
        enable_http_redirects: true,
        enable_static: true,
        enable_bots: true,
        ..HitOptions::default()
    }
}

pub async fn live(folder: &Path, life: &Rc<Life>, circumstances: Circumstances) -> Ending {
    let Circumstances { shape, slice: length, now, settle, looks_first } = circumstances;
    let names = Names::parse("*").unwrap();
    let mut found = discover::discover(&folder.join("logs"), &names, now.into(), settle, &|| false).unwrap();
    let files: &mut [LogFile] = found.files.entry(SITE).or_default();
    let ledger = Ledger::open(&folder.join("ledger")).unwrap();
    let mut lease = ledger.claim(SITE).unwrap().unwrap();
    let shutdown = Shutdown::never();
    let delivery = delivery(Wire(Rc::clone(life)), &shape, lease.book().slowest_ms(), &shutdown);
    let reading = Reading { format: FormatOptions::default(), encoding: TextEncoding::Utf8, zone: None, shutdown };
    if looks_first {
        Recognise { reading: &reading, defers: true, now, give_up: &|| false }.files(&mut lease, files).unwrap();
    }
    let import = SiteImport {
        delivery: Rc::new(delivery),
        shape,
        reading: &reading,
        hits: &hit_options(),
        facts: &SiteFacts { id: SITE, main_url: "https://www.example.org".to_owned(), zone: TimeZone::UTC },
        attempts_max: 3,
        now,
        is_all: true,
    };
    let local = LocalSet::new();
    let mut slice = TimeSlice::without_end();
    let run = local.run_until(async {
        loop {
            if let Some(length) = length {
                slice.begin(length);
            }
            let report = import.run(&mut lease, files, &mut slice).await;
            if !matches!(report.stop, Some(Stop::TurnOver)) {
                return report.stop;
            }
        }
    });
    tokio::select! {
        stop = run => Ending::Ended(stop),
        () = life.died.notified() => Ending::Died,
    }
}
