//! The pipeline against a simulated Matomo, thousands of seeded lives: every answer may fail before, during or after the
//! commit, the process may die at every event, turns may end anywhere, and what was not synced may be lost. Time is
//! simulated too.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::future::pending;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use log_analytics::discover::{self, Names, SiteId};
use log_analytics::file::TextEncoding;
use log_analytics::format::FormatOptions;
use log_analytics::hit::HitOptions;
use log_analytics::ledger::{Ledger, Mark, Receipt};
use log_analytics::matomo::{
    ApiError, Asked, Batch, Delivery, Doubt, Hands, Outcome, Patience, Rejection, Seen, Sink, SiteFacts, Size, Throttle,
};
use log_analytics::pipeline::{Reading, Shape, SiteImport, Stop, Turn};
use serde_json::Value;
use shared::shutdown::Shutdown;
use tests::log::{self, Format, Line, Traffic};
use tests::random::Random;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

const SITE: SiteId = SiteId(4);
const LEDGER_SITE: SiteId = SiteId(9);
const LINES: usize = 40;
/// Lives that a story may take; it ends far sooner.
const LIVES_MAX: usize = 60;
/// Faults and deaths come in the first lives only, so that every story ends.
const TROUBLED_LIVES: usize = 6;
const DOUBT_WAIT: Duration = Duration::from_millis(500);

/// What Matomo's database holds, and what is on its way there.
#[derive(Default)]
struct Server {
    stored: Vec<Value>,
    marks: BTreeMap<Mark, usize>,
    /// Commits that come after the client gave up, and when.
    late: Vec<(Instant, Rc<Batch>)>,
}

impl Server {
    fn commit(&mut self, batch: &Batch) {
        let body: Value = serde_json::from_slice(&batch.body).unwrap();
        self.stored.extend(body["requests"].as_array().unwrap().iter().cloned());
        *self.marks.entry(batch.mark).or_default() += 1;
    }

    fn catch_up(&mut self) {
        let (due, rest) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= Instant::now());
        self.late = rest;
        due.iter().for_each(|(_, batch): &(Instant, Rc<Batch>)| self.commit(batch));
    }
}

/// One life of the process: its luck, and the event at which it dies.
#[derive(Clone)]
struct World {
    server: Rc<RefCell<Server>>,
    random: Rc<RefCell<Random>>,
    faults: bool,
    with_ledger_site: bool,
    events_left: Rc<Cell<Option<u64>>>,
    dead: Rc<Cell<bool>>,
}

impl World {
    /// Something happened; the process may not survive it.
    async fn event(&self) {
        if let Some(left) = self.events_left.get() {
            if left == 0 {
                self.dead.set(true);
                pending::<()>().await;
            }
            self.events_left.set(Some(left - 1));
        }
    }

    fn below(&self, end: u64) -> u64 {
        self.random.borrow_mut().below(end)
    }

    async fn rest(&self, milliseconds: u64) {
        sleep(Duration::from_millis(self.below(milliseconds))).await;
    }
}

impl Sink for World {
    async fn send(&self, batch: &Batch) -> Outcome {
        self.event().await;
        self.rest(20).await;
        let doubt = |seen| {
            let elapsed = Duration::from_millis(20);
            Outcome::InDoubt(Doubt { seen, why: "simulated".to_owned(), elapsed })
        };
        let luck = if self.faults { self.below(10) } else { 9 };
        match luck {
            0 => return Outcome::Transient("simulated".to_owned()),
            1 => return Outcome::Rejected(Rejection::RecordingOff),
            2 => return doubt(Seen::Answer),
            3 => return doubt(Seen::Closed),
            // The client gives up, and Matomo goes on working.
            4 => {
                let due = Instant::now() + Duration::from_millis(self.below(2_000));
                self.server.borrow_mut().late.push((due, Rc::new(batch.clone())));
                return doubt(Seen::Timeout);
            }
            _ => self.server.borrow_mut().commit(batch),
        }
        self.event().await;
        self.rest(20).await;
        if luck == 5 {
            return doubt(Seen::Closed);
        }
        self.event().await;
        Outcome::Delivered(Receipt { tracked: batch.hits(), took_ms: 1, ..Receipt::default() })
    }

    async fn arrived(&self, asked: &[Asked]) -> Result<Vec<Option<usize>>, ApiError> {
        self.event().await;
        self.rest(20).await;
        if self.faults && self.below(4) == 0 {
            return Err(ApiError::Token);
        }
        let mut server = self.server.borrow_mut();
        server.catch_up();
        let times = |asked: &Asked| server.marks.get(&asked.mark).copied().unwrap_or_default();
        Ok(asked.iter().map(|asked| self.with_ledger_site.then(|| times(asked))).collect())
    }
}

/// How one life ended.
enum Life {
    Died,
    Ended(Option<Stop>),
}

async fn live(folder: &Path, world: &World, shape: Shape, turn_length: Option<Duration>) -> Life {
    let names = Names::parse("*").unwrap();
    let found = discover::discover(&folder.join("logs"), &names, SystemTime::now(), Duration::ZERO, &|| false).unwrap();
    let ledger = Ledger::open(&folder.join("ledger")).unwrap();
    let mut lease = ledger.claim(SITE).unwrap().unwrap();
    let patience = Patience {
        attempts_max: 3,
        retry_delay: Duration::from_millis(50),
        doubt_least: DOUBT_WAIT,
        grace: Duration::from_secs(1),
        slowest: Cell::new(None),
    };
    let shutdown = Shutdown::never();
    let delivery = Delivery {
        sink: world.clone(),
        patience,
        hands: Hands::new(shape.recorders),
        size: Size::new(shape.batch_hits_max),
        throttle: Throttle::new(None),
        shutdown: shutdown.clone(),
    };
    let reading = Reading { format: FormatOptions::default(), encoding: TextEncoding::Utf8, zone: None, shutdown };
    let import = SiteImport {
        delivery: Rc::new(delivery),
        shape,
        reading: &reading,
        hits: &HitOptions {
            enable_http_errors: true,
            enable_http_redirects: true,
            enable_static: true,
            enable_bots: true,
            ..HitOptions::default()
        },
        facts: &SiteFacts { id: SITE, main_url: "https://www.example.org".to_owned(), zone: TimeZone::UTC },
        attempts_max: 3,
    };
    let dies = async {
        while !world.dead.get() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let local = LocalSet::new();
    let mut turn = Turn::without_end();
    let run = local.run_until(async {
        loop {
            if let Some(length) = turn_length {
                turn.begin(length);
            }
            let report = import.run(&mut lease, &found.settled[&SITE], &mut turn).await;
            if !matches!(report.stop, Some(Stop::TurnOver)) {
                return report.stop;
            }
        }
    });
    tokio::select! {
        stop = run => Life::Ended(stop),
        () = dies => Life::Died,
    }
}

/// A death may cost everything behind the last sync. Intents are synced before they leave, so it lies behind the last one.
fn lose_what_was_not_synced(folder: &Path, random: &mut Random) {
    let path = folder.join("ledger/site-4.journal");
    let text = fs::read(&path).unwrap();
    let synced = text.windows(10).rposition(|part| part == b"{\"intent\":");
    let after = synced.map_or(0, |at| at + text[at..].iter().position(|byte| *byte == b'\n').unwrap() + 1);
    let kept = after as u64 + random.below(text.len() as u64 - after as u64 + 1);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(kept).unwrap();
}

struct Story {
    lines: Vec<Line>,
    server: Rc<RefCell<Server>>,
    set_aside: BTreeSet<(String, u64)>,
}

/// A log, and lives until all of it is in.
async fn story(seed: u64, with_ledger_site: bool) -> Story {
    // A disk that is memory: every sync counts here, but none has to reach a platter.
    let disk = Path::new("/dev/shm");
    let disk = if disk.is_dir() { disk.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("simulation-").tempdir_in(disk).unwrap();
    let mut random = Random::seeded(seed);
    let lines = Traffic::seeded(seed).with_gaps_of(20).lines(LINES);
    let site = folder.path().join("logs/4");
    log::balanced(&site, &lines, Format::Combined, seed).unwrap();
    let server = Rc::new(RefCell::new(Server::default()));
    for life in 0..LIVES_MAX {
        let troubled = life < TROUBLED_LIVES;
        let dies_at = (troubled && random.chance(0.7)).then(|| random.below(40));
        let shape = Shape {
            recorders: 1 + random.below(4) as usize,
            batch_hits_max: 1 + random.below(8) as usize,
            window_hits_max: 1 + random.below(30) as usize,
            ledger_site: with_ledger_site.then_some(LEDGER_SITE),
            ..Shape::default()
        };
        let world = World {
            server: Rc::clone(&server),
            random: Rc::new(RefCell::new(Random::seeded(random.number()))),
            faults: troubled,
            with_ledger_site,
            events_left: Rc::new(Cell::new(dies_at)),
            dead: Rc::new(Cell::new(false)),
        };
        // Turns that end before their first answer, within a file, or never.
        let turn = random.chance(0.7).then(|| Duration::from_millis(random.below(60)));
        let lived = timeout(Duration::from_secs(24 * 3_600), live(folder.path(), &world, shape, turn)).await;
        match lived.unwrap_or_else(|_| panic!("seed {seed}, life {life}: it never ended")) {
            Life::Died => lose_what_was_not_synced(folder.path(), &mut random),
            Life::Ended(None) if !troubled => {
                server.borrow_mut().catch_up();
                return Story { lines, server, set_aside: set_aside(folder.path()) };
            }
            Life::Ended(_) => {}
        }
    }
    panic!("seed {seed}: not all in after {LIVES_MAX} lives");
}

/// Names and offsets of the lines that wait for a person.
fn set_aside(folder: &Path) -> BTreeSet<(String, u64)> {
    use log_analytics::ledger::Standing;
    let book = Ledger::look(&folder.join("ledger")).peek(SITE).unwrap();
    let mut lines = BTreeSet::new();
    for pending in book.pending().filter(|pending| matches!(pending.standing, Standing::Withheld(_))) {
        for part in &pending.intent.parts {
            let path = book.file(part.file).unwrap().path.clone();
            lines.extend(part.lines.as_slice().iter().map(|offset| (path.to_string(), *offset)));
        }
    }
    lines
}

fn paths(lines: &[Line]) -> Vec<String> {
    let mut paths: Vec<String> = lines.iter().map(|line| format!("https://www.example.org{}", line.path)).collect();
    paths.sort();
    paths
}

fn stored(server: &Server) -> Vec<String> {
    let mut urls: Vec<String> = server.stored.iter().map(|hit| hit["url"].as_str().unwrap().to_owned()).collect();
    urls.sort();
    urls
}

/// Of every visitor the hits arrived in the order of their dates.
fn in_order(server: &Server) -> bool {
    let mut latest: BTreeMap<&str, &str> = BTreeMap::new();
    server.stored.iter().all(|hit| {
        let (visitor, date) = (hit["cip"].as_str().unwrap(), hit["cdt"].as_str().unwrap());
        latest.insert(visitor, date).is_none_or(|before| before <= date)
    })
}

fn simulated<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(story)
}

fn every_line_once(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let Story { lines, server, set_aside } = simulated(story(seed, true));
        let server = server.borrow();
        assert_eq!(stored(&server), paths(&lines), "seed {seed}");
        assert!(in_order(&server), "seed {seed}: a visitor's hits are out of order");
        assert!(set_aside.is_empty(), "seed {seed}: with a ledger site nothing is ever unknowable");
        assert!(server.marks.values().all(|times| *times == 1), "seed {seed}: {:?}", server.marks);
    }
}

#[test]
fn every_line_once_in_stories_1_to_700() {
    every_line_once(1..701);
}

#[test]
fn every_line_once_in_stories_701_to_1400() {
    every_line_once(701..1_401);
}

#[test]
fn every_line_once_in_stories_1401_to_2100() {
    every_line_once(1_401..2_101);
}

#[test]
fn without_a_ledger_site_no_line_is_ever_doubled_and_what_is_missing_is_set_aside() {
    for seed in 5_000..5_700 {
        let Story { lines, server, set_aside } = simulated(story(seed, false));
        let server = server.borrow();
        let (stored, paths) = (stored(&server), paths(&lines));
        let doubled = stored.windows(2).any(|pair| pair[0] == pair[1]);
        assert!(!doubled, "seed {seed}: a line was counted twice");
        let missing = paths.iter().filter(|path| stored.binary_search(path).is_err()).count();
        assert!(missing <= set_aside.len(), "seed {seed}: {missing} missing, {} set aside", set_aside.len());
    }
}
