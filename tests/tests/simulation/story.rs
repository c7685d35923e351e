//! A story: what goes wrong in it, and lives until every line is in.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use log_analytics::ledger::{FileId, Ledger, Mark, Standing};
use log_analytics::pipeline::{Shape, Stop};
use serde_json::Value;
use tests::log::{Line, Rotation, Traffic, web_servers};
use tests::random::Random;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::life::{Circumstances, Ending, JournalFile, LEDGER_SITE, Life, SITE, World, live};
use crate::server::Server;

const JOURNAL: &str = "ledger/site-4.journal";
const LINES: usize = 40;
/// In some stories a file is longer than what is read at once.
const LINES_OF_A_LONG_STORY: usize = 600;
const LONG_STORY_EVERY: u64 = 50;
/// Lives that a story may take; it ends far sooner.
const LIVES_MAX: usize = 60;
/// Faults and deaths come in the first lives only, so that every story ends.
const TROUBLED_LIVES: usize = 7;
const HOUR: Duration = Duration::from_secs(3_600);

/// What goes wrong in a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub with_ledger_site: bool,
    /// How the web servers treat their logs.
    pub rotation: Rotation,
    /// Batches may be stored in part.
    pub in_part: bool,
    /// The ledger may be lost, or come back from a backup.
    pub loses_ledger: bool,
    /// Marks of batches with more hits do not tell which.
    pub told_hits_max: usize,
    pub lines: usize,
    /// Seconds from one line to the next, at most: over one hour or over several days.
    pub gaps: u64,
    /// The lines are of today, so that Matomo can be asked for each of them.
    pub recent: bool,
}

impl Plan {
    pub fn of(seed: u64, with_ledger_site: bool) -> Self {
        let mut random = Random::seeded(seed ^ 0x5eed);
        let rotations = [Rotation::None, Rotation::Rename, Rotation::CopyTruncate, Rotation::Mirror];
        let rotation = rotations[(seed % 4) as usize];
        let is_long = seed.is_multiple_of(LONG_STORY_EVERY);
        Self {
            with_ledger_site,
            rotation,
            in_part: random.chance(if rotation == Rotation::None { 0.3 } else { 0.7 }),
            loses_ledger: with_ledger_site && random.chance(0.4),
            told_hits_max: *random.pick(&[4, 400, 400]),
            lines: if is_long { LINES_OF_A_LONG_STORY } else { LINES },
            gaps: *random.pick(&[20, 2_000, 20_000]),
            recent: !with_ledger_site && random.chance(0.5),
        }
    }

    pub fn traffic(&self, seed: u64) -> Vec<Line> {
        let mut traffic = Traffic::seeded(seed).with_gaps_of(self.gaps);
        if self.recent {
            traffic = traffic.starting_at(Timestamp::now().as_second() - 7_200).with_gaps_of(20);
        }
        traffic.lines(self.lines)
    }

    /// Whether every visitor's hits must arrive in the order of their dates.
    pub fn keeps_order(&self) -> bool {
        // Without a ledger site nobody waits for what may come late.
        self.rotation == Rotation::None && !self.in_part && self.with_ledger_site
    }
}

/// The ledger of a story: copies of it, and what it was before somebody lost it.
#[derive(Default)]
pub struct Backups {
    pub copies: Vec<Vec<u8>>,
    /// The true one, and how many batches had been sent when it was lost.
    pub before: Option<(Vec<u8>, u64)>,
}

impl Backups {
    /// Loses the ledger, or restores an older one.
    pub async fn lose(&mut self, world: &World, random: &mut Random) {
        let kept = if random.chance(0.6) { 1 + random.below(self.copies.len() as u64) as usize } else { 0 };
        let is_announced = world.server.borrow().count(&Mark::of_journals(SITE).to_string(), "journal") > 0;
        if kept > 0 || !is_announced {
            // Nothing tells that the ledger is older while Matomo is still at work on what it does not know.
            sleep(Duration::from_secs(60)).await;
        }
        let (is_short, sent) = (world.server.borrow().is_short(), world.server.borrow().sent);
        if is_short {
            return;
        }
        let mut journal = world.journal.borrow_mut();
        self.before.get_or_insert_with(|| (journal.bytes(), sent));
        // What was written after the copy that comes back is of another history from now on.
        self.copies.truncate(kept);
        let older = self.copies.last().map(Vec::as_slice);
        world.say(format!("the ledger is now {} of {} bytes", older.map_or(0, <[u8]>::len), journal.bytes().len()));
        journal.replace(older);
    }

    /// The ledger does not fit what Matomo has: the true one comes back.
    pub fn restore(&mut self, world: &World) {
        let (bytes, _) = self.before.take().unwrap_or_else(|| panic!("the ledger is unclear without a reason"));
        world.journal.borrow_mut().replace(Some(&bytes));
    }

    pub fn after_a_life(&mut self, world: &World) {
        // Once something was sent, the ledger is the true one.
        let sent = world.server.borrow().sent;
        self.before.take_if(|(_, before)| *before < sent);
        let bytes = world.journal.borrow().bytes();
        self.copies.push(bytes);
    }
}

/// What a story came to.
pub struct Story {
    pub plan: Plan,
    pub lines: Vec<Line>,
    pub world: Rc<World>,
    pub set_aside: usize,
}

/// A log, and lives until all of it is in.
pub struct Teller {
    pub folder: tempfile::TempDir,
    pub lines: Vec<Line>,
    pub world: Rc<World>,
    pub random: Random,
    pub backups: Backups,
}

impl Teller {
    pub fn new(seed: u64, plan: Plan) -> Self {
        // A disk that is memory: every sync counts here, but none has to reach a platter.
        let disk = Path::new("/dev/shm");
        let disk = if disk.is_dir() { disk.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("simulation-").tempdir_in(disk).unwrap();
        let mut random = Random::seeded(seed);
        let lines = plan.traffic(seed);
        let webs = web_servers(&folder.path().join("logs/4"), plan.rotation, &lines, seed, &mut random);
        let world = World {
            plan,
            server: RefCell::new(Server { forgets_late: !plan.with_ledger_site, ..Server::default() }),
            webs: RefCell::new(webs),
            journal: RefCell::new(JournalFile { path: folder.path().join(JOURNAL), synced: 0 }),
            said: RefCell::new(vec![format!("{plan:?}")]),
        };
        Self { folder, lines, world: Rc::new(world), random, backups: Backups::default() }
    }

    pub async fn tell(&mut self) {
        let mut calm = 0;
        for number in 0..LIVES_MAX {
            let troubled = number < TROUBLED_LIVES;
            self.between_lives(troubled).await;
            let before = self.world.server.borrow().sent;
            self.world.say(format!("life {number}"));
            let ending = self.one_life(troubled).await;
            match ending {
                Ending::Died => {
                    self.world.say("  died");
                    self.world.journal.borrow_mut().lose_what_was_not_synced(&mut self.random);
                }
                Ending::Ended(Some(Stop::LedgerUnclear(why))) => {
                    self.world.say(format!("  {why}"));
                    self.backups.restore(&self.world);
                }
                Ending::Ended(None) if !troubled && self.world.server.borrow().sent == before => calm += 1,
                Ending::Ended(stop) => self.world.say(format!("  {stop:?}")),
            }
            // A copy of something that waits is looked at when that is imported.
            if calm == 2 {
                return;
            }
            self.backups.after_a_life(&self.world);
        }
        panic!("not all in after {LIVES_MAX} lives");
    }

    pub async fn between_lives(&mut self, troubled: bool) {
        if !troubled {
            return self.world.webs.borrow_mut().iter_mut().for_each(|web| web.finish(&mut self.random));
        }
        for _ in 0..self.random.below(6) {
            self.world.happen(&mut self.random);
        }
        if self.world.plan.loses_ledger && !self.backups.copies.is_empty() && self.random.chance(0.2) {
            self.backups.lose(&self.world, &mut self.random).await;
        }
    }

    pub async fn one_life(&mut self, troubled: bool) -> Ending {
        self.world.server.borrow_mut().is_left();
        let random = &mut self.random;
        let dies_at = (troubled && random.chance(0.6)).then(|| random.below(50));
        let plan = self.world.plan;
        // Without a ledger site a lost hit of a large batch is put up with.
        let hits_max = if plan.with_ledger_site && random.chance(0.2) { 60 } else { 8 };
        let shape = Shape {
            connections: 1 + random.below(4) as usize,
            batch_hits_max: 1 + random.below(hits_max) as usize,
            ledger_site: plan.with_ledger_site.then_some(LEDGER_SITE),
            ..Shape::default()
        };
        let circumstances = Circumstances {
            shape,
            // Slices that end before their first answer, within a file, or never.
            slice: random.chance(0.7).then(|| Duration::from_millis(random.below(60))),
            now: now(troubled, &self.lines, random),
            settle: if troubled && random.chance(0.3) { HOUR } else { Duration::ZERO },
            looks_first: random.chance(0.5),
        };
        let life = Rc::new(Life {
            world: Rc::clone(&self.world),
            luck: RefCell::new(Random::seeded(random.number())),
            troubled,
            events_left: Cell::new(dies_at),
            died: Notify::new(),
            leaving: RefCell::default(),
        });
        let lived = timeout(Duration::from_secs(24 * 3_600), live(self.folder.path(), &life, circumstances)).await;
        lived.unwrap_or_else(|_| panic!("a life never ended"))
    }

    pub fn set_aside(&self) -> usize {
        let book = Ledger::look(&self.folder.path().join("ledger")).peek(SITE).unwrap();
        let withheld = book.pending().filter(|pending| matches!(pending.standing, Standing::Withheld(_)));
        let parts = withheld.flat_map(|pending| &pending.intent.parts);
        let lines = parts.flat_map(|part| part.lines.as_slice().iter().map(|line| (part.file, *line)));
        lines.collect::<BTreeSet<(FileId, u64)>>().len()
    }
}

/// How late it is, as the process sees it. Clocks that are behind let some lines lie in the future.
pub fn now(troubled: bool, lines: &[Line], random: &mut Random) -> Timestamp {
    let true_now = Timestamp::now().as_second();
    let newest = lines.last().map_or(0, |line| line.second);
    let seconds = match random.below(4) {
        _ if !troubled => true_now + 3 * 86_400,
        0 => newest - random.below(40 * 3_600) as i64,
        _ => true_now,
    };
    Timestamp::from_second(seconds).unwrap()
}

pub fn told(seed: u64, with_ledger_site: bool) -> Story {
    let plan = Plan::of(seed, with_ledger_site);
    let mut teller = Teller::new(seed, plan);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let world = Rc::clone(&teller.world);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(teller.tell())));
    if ended.is_err() {
        panic!("story {seed}\n{}", world.said.borrow().join("\n"));
    }
    let (lines, set_aside) = (std::mem::take(&mut teller.lines), teller.set_aside());
    Story { plan, lines, world, set_aside }
}

impl Story {
    pub fn stored(&self) -> Vec<String> {
        let server = self.world.server.borrow();
        let mut urls: Vec<String> = server.hits.iter().map(|hit| hit["url"].as_str().unwrap().to_owned()).collect();
        urls.sort();
        urls
    }

    pub fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> =
            self.lines.iter().map(|line| format!("https://www.example.org{}", line.path)).collect();
        paths.sort();
        paths
    }

    /// Of every visitor the hits arrived in the order of their dates.
    pub fn is_in_order(&self) -> bool {
        let server = self.world.server.borrow();
        let mut latest: BTreeMap<&str, &str> = BTreeMap::new();
        server.hits.iter().all(|hit| {
            let (visitor, date) = (hit["cip"].as_str().unwrap(), hit["cdt"].as_str().unwrap());
            latest.insert(visitor, date).is_none_or(|before| before <= date)
        })
    }

    /// Everything that is wrong with it, whatever may be missing.
    pub fn wrongs(&self) -> Vec<String> {
        let server = self.world.server.borrow();
        let mut wrongs = server.wrongs.clone();
        let stored = self.stored();
        let doubled = stored.windows(2).filter(|pair| pair[0] == pair[1]);
        wrongs.extend(doubled.map(|pair| format!("doubled: {}", pair[0])));
        if self.plan.keeps_order() && !self.is_in_order() {
            wrongs.push("a visitor's hits are out of order".to_owned());
        }
        for (cid, marks) in &server.marks {
            let unlike: BTreeSet<String> = marks.iter().map(Value::to_string).collect();
            if unlike.len() < marks.len() {
                wrongs.push(format!("mark {cid} is doubled: {marks:?}"));
            }
        }
        wrongs
    }

    pub fn missing(&self) -> Vec<String> {
        let (stored, mut paths) = (self.stored(), self.paths());
        let unprovable = &self.world.server.borrow().unprovable;
        paths.retain(|path| stored.binary_search(path).is_err() && !unprovable.contains(path));
        paths
    }

    pub fn told(&self) -> String {
        self.world.said.borrow().join("\n")
    }
}
