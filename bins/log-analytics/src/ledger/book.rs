//! What the journal amounts to: contents with their checkpoints, batches in flight, days to invalidate.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::civil::Date;

use super::content::{Content, FileState, Sighted, Sighting, path_text};
use super::contents::Contents;
use super::journal::Telling;
use super::offsets::Offsets;
use super::record::{FileId, Intent, IntentId, JournalId, Part, Record, Seen, VERSION};
use super::spans::Spans;
use super::tally::{TakeOver, Tally, TurnEnded};
use crate::discover::{Head, Known, LogFile, SiteId};
use crate::file::Stat;

/// Text of the lines of batches that arrived, kept so that they can be sent again if Matomo's database goes back in time.
const SENT_BYTES_MAX: usize = 256 * 1024;

/// Everything the ledger knows of one site.
#[derive(Debug, Clone)]
pub struct Book {
    site: SiteId,
    version: u32,
    journal: JournalId,
    is_announced: bool,
    is_adopted: bool,
    contents: Contents,
    sightings: HashMap<Arc<str>, Sighting>,
    /// Made when the first file comes that is not known by its path; most passes see none.
    by_line: OnceCell<BTreeSet<(u64, FileId)>>,
    intents: BTreeMap<IntentId, Pending>,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
    next_intent: u64,
    slowest_ms: Option<u64>,
    days: BTreeSet<Date>,
    tally: Tally,
}

/// A batch that is not forgotten yet.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Its lines.
    pub intent: Intent,
    /// Where it stands.
    pub standing: Standing,
}

/// What is known about a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Sent, or about to be: in doubt until there is a receipt.
    Open,
    /// Arrived.
    Received,
    /// Nobody can tell; waits for a person.
    Withheld(String),
}

/// A batch that arrived, as short as can be.
#[derive(Debug, Clone)]
struct Sent {
    /// Without its lines.
    intent: Intent,
    /// The lines of each part.
    lines: Vec<Box<str>>,
}

impl Sent {
    fn of(intent: &Intent) -> Self {
        let lines = intent.parts.iter().map(|part| part.lines.text().into_boxed_str()).collect();
        let bare = |part: &Part| Part { file: part.file, lines: Offsets::default(), proof: None };
        let intent = Intent { parts: intent.parts.iter().map(bare).collect(), days: Vec::new(), ..intent.clone() };
        Self { intent, lines }
    }

    fn bytes(&self) -> usize {
        self.lines.iter().map(|lines| lines.len()).sum::<usize>() + size_of::<Self>()
    }

    fn whole(&self) -> Intent {
        let parts = self.intent.parts.iter().zip(&self.lines);
        let whole = parts.map(|(part, text)| {
            let lines = Offsets::from_text(text).unwrap_or_default();
            Part { file: part.file, lines, proof: None }
        });
        Intent { parts: whole.collect(), ..self.intent.clone() }
    }
}

impl Book {
    /// What an empty journal says of a site.
    pub fn new(site: SiteId) -> Self {
        Self {
            site,
            version: 0,
            journal: JournalId::default(),
            is_announced: false,
            is_adopted: false,
            contents: Contents::default(),
            sightings: HashMap::new(),
            by_line: OnceCell::new(),
            intents: BTreeMap::new(),
            sent: VecDeque::new(),
            sent_bytes: 0,
            next_intent: 0,
            slowest_ms: None,
            days: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// Takes one record into account. Records about files or batches it does not know change nothing.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Opened { version, journal, .. } => (self.version, self.journal) = (version, journal),
            Record::Seen(seen) => self.seen(&seen),
            Record::Intent(intent) => self.intended(intent),
            Record::Receipt { intent, receipt } => {
                self.slowest_ms = self.slowest_ms.max((receipt.took_ms > 0).then_some(receipt.took_ms));
                self.received(intent, receipt.short == 0);
            }
            Record::Partial { intent, missing } => self.partly_received(intent, &missing),
            Record::Undone { intent, .. } | Record::Decided { intent, resend: true } => self.undone(intent),
            Record::Decided { intent, resend: false } => drop(self.intents.remove(&intent)),
            Record::Withheld { intent, why } => {
                if let Some(pending) = self.intents.get_mut(&intent) {
                    pending.standing = Standing::Withheld(why);
                }
            }
            Record::Unseen { file } => self.unsee(file),
            Record::Adopted { .. } => {
                self.is_adopted = true;
                self.sent.clear();
                self.sent_bytes = 0;
            }
            Record::Sent(intent) => self.keep_sent(&intent),
            Record::Lost { intent } => self.lost(intent),
            Record::Announced => self.is_announced = true,
            Record::Invalidated { days } => self.days.retain(|day| !days.contains(day)),
            Record::Slowest { ms } => self.slowest_ms = self.slowest_ms.max(Some(ms)),
            Record::Salted { .. } => {}
            Record::Next { intent } => self.next_intent = self.next_intent.max(intent.0),
            Record::Days { days } => self.days.extend(days),
            Record::TookOver { at_ms, imported, given_up } => {
                self.tally.takeover = Some(TakeOver { at_ms, imported, given_up });
            }
            Record::Turn { at_ms, hits, took_ms } => self.tally.last_turn = Some(TurnEnded { at_ms, hits, took_ms }),
            Record::ByDay { days } => self.tally.set(days),
            of_file => self.apply_to_file(of_file),
        }
    }

    fn apply_to_file(&mut self, record: Record) {
        match record {
            Record::Checkpoint { file, offset } => self.change(file, |content| content.advance(offset)),
            Record::Finished { file, path, offset, cut, totals, at_ms, newest, begins, proof, rest } => {
                if let Some(sighting) = self.sightings.get_mut(&*path).filter(|sighting| sighting.file == file) {
                    sighting.done = !rest;
                }
                self.change(file, |content| {
                    content.advance(offset);
                    content.proven(proof);
                    content.state = if rest { FileState::Waiting } else { FileState::Finished };
                    (content.cut, content.finished_ms, content.failures) = (cut, at_ms, 0);
                    content.again = Spans::none();
                    content.counted(&totals);
                    content.newest = content.newest.max(newest.into());
                    content.begins = content.begins.or(begins.into());
                });
            }
            Record::PutAway { file, offset, totals, proof } => self.change(file, |content| {
                content.advance(offset);
                content.proven(proof);
                content.counted(&totals);
            }),
            Record::Failed { file, .. } => self.change(file, |content| content.failures += 1),
            Record::Quarantined { file, why, .. } => {
                self.change(file, |content| content.state = FileState::Quarantined(why.into()));
            }
            Record::Released { file } => {
                self.change(file, |content| {
                    (content.state, content.failures) = (FileState::Waiting, 0);
                    content.again.join(&std::mem::take(&mut content.unreadable));
                    content.unreadable_lines = 0;
                });
                self.reopen(file);
            }
            Record::Vanished { file, .. } => self.change(file, |content| content.vanished = true),
            Record::Again { file, lines } => self.send_again(file, lines),
            Record::Kept { .. } => self.kept(&record),
            _ => {}
        }
    }

    fn kept(&mut self, record: &Record) {
        let Record::Kept { file, done, holes, .. } = record else { return };
        for path in done {
            if let Some(sighting) = self.sightings.get_mut(&**path) {
                sighting.done = true;
            }
        }
        self.change(*file, |content| {
            content.keep(record);
            // Version 1 knew lines alone.
            holes.as_slice().iter().for_each(|offset| content.again.add(*offset, offset + 1));
        });
    }

    fn change(&mut self, file: FileId, change: impl FnOnce(&mut Content)) {
        if let Some(content) = self.contents.get_mut(file) {
            change(content);
        }
    }

    fn seen(&mut self, seen: &Seen) {
        let path: Arc<str> = seen.path.as_str().into();
        let stat = Stat {
            device: seen.device,
            inode: seen.inode,
            size: seen.size,
            modified_ns: seen.modified_ns,
            changed_ns: seen.changed_ns,
        };
        let content = self.contents.get_or_insert_with(seen.file, || Content::new(seen.file, Arc::clone(&path)));
        content.seen(seen, Arc::clone(&path));
        if let Some(known) = self.by_line.get_mut() {
            known.insert((content.line_key, seen.file));
        }
        self.sightings.insert(path, Sighting { file: seen.file, stat, done: false });
    }

    fn unsee(&mut self, file: FileId) {
        if self.contents.remove(file) {
            self.sightings.retain(|_, sighting| sighting.file != file);
            self.by_line.take();
        }
    }

    fn intended(&mut self, intent: Intent) {
        self.next_intent = self.next_intent.max(intent.intent.0.saturating_add(1));
        for part in &intent.parts {
            self.change(part.file, |content| {
                if !content.again.is_empty() {
                    part.lines.as_slice().iter().for_each(|&offset| content.again.remove(offset));
                }
                content.proven(part.proof);
            });
        }
        self.intents.insert(intent.intent, Pending { intent, standing: Standing::Open });
    }

    fn received(&mut self, intent: IntentId, is_whole: bool) {
        let Some(pending) = self.intents.get_mut(&intent) else { return };
        pending.standing = Standing::Received;
        let intent = pending.intent.clone();
        self.arrived(&intent, is_whole);
    }

    fn partly_received(&mut self, intent: IntentId, missing: &[Part]) {
        let Some(pending) = self.intents.get_mut(&intent) else { return };
        pending.standing = Standing::Received;
        for part in &mut pending.intent.parts {
            let lost = missing.iter().filter(|missing| missing.file == part.file);
            let lost: BTreeSet<u64> = lost.flat_map(|missing| missing.lines.as_slice()).copied().collect();
            part.lines = part.lines.without(&lost);
        }
        let mut arrived = pending.intent.clone();
        // Of several days nobody knows which one the missing hits are of; a day without a hit must not seem to have one.
        let hits = arrived.hits() as u64;
        match &mut arrived.by_day[..] {
            [(_, of_day)] if hits > 0 => *of_day = hits,
            _ => arrived.by_day.clear(),
        }
        self.arrived(&arrived, false);
        missing.iter().for_each(|part| self.owe(part));
    }

    /// Takes a batch into account, or what is there of it: then its announcement may be what is missing.
    fn arrived(&mut self, intent: &Intent, is_whole: bool) {
        self.is_announced |= is_whole && intent.marks > 1 && intent.ledger_site.is_some();
        self.days.extend(&intent.days);
        self.tally.add(&intent.by_day);
        for part in &intent.parts {
            self.change(part.file, |content| {
                content.hits = content.hits.saturating_add(part.lines.as_slice().len() as u64);
                content.newest = content.newest.max(Some(intent.newest).into());
            });
        }
        if intent.ledger_site.is_some() && intent.marks > 1 {
            self.keep_sent(intent);
        }
        // Not with every checkpoint: there are many more of them.
        let contents = &self.contents;
        self.intents.retain(|_, pending| Self::matters(contents, pending));
    }

    fn keep_sent(&mut self, intent: &Intent) {
        let sent = Sent::of(intent);
        self.sent_bytes += sent.bytes();
        self.sent.push_back(sent);
        while self.sent_bytes > SENT_BYTES_MAX
            && let Some(forgotten) = self.sent.pop_front()
        {
            self.sent_bytes -= forgotten.bytes();
        }
    }

    /// Matomo lost a batch that had arrived.
    fn lost(&mut self, intent: IntentId) {
        let Some(at) = self.sent.iter().position(|sent| sent.intent.intent == intent) else { return };
        let Some(sent) = self.sent.remove(at) else { return };
        self.sent_bytes -= sent.bytes();
        self.intents.remove(&intent);
        let whole = sent.whole();
        self.tally.take_back(&whole.by_day);
        for part in &whole.parts {
            let count = part.lines.as_slice().len() as u64;
            self.change(part.file, |content| content.hits = content.hits.saturating_sub(count));
            self.owe(part);
        }
    }

    fn undone(&mut self, intent: IntentId) {
        let Some(pending) = self.intents.remove(&intent) else { return };
        pending.intent.parts.iter().for_each(|part| self.owe(part));
    }

    /// These lines are to be sent.
    fn owe(&mut self, part: &Part) {
        let mut is_owed = false;
        self.change(part.file, |content| {
            for &offset in part.lines.as_slice().iter().filter(|offset| **offset < content.checkpoint) {
                content.again.add(offset, offset + 1);
            }
            is_owed = !content.again.is_empty();
            if is_owed && content.state == FileState::Finished {
                content.state = FileState::Waiting;
            }
        });
        if is_owed {
            self.reopen(part.file);
        }
    }

    fn send_again(&mut self, file: FileId, lines: Option<Spans>) {
        let is_all = lines.is_none();
        self.change(file, |content| {
            (content.state, content.failures) = (FileState::Waiting, 0);
            match lines {
                Some(lines) => content.again.join(&lines),
                None => (content.checkpoint, content.again, content.lines, content.hits) = (0, Spans::none(), 0, 0),
            }
        });
        if is_all {
            for pending in self.intents.values_mut() {
                pending.intent.parts.retain(|part| part.file != file);
            }
        }
        self.reopen(file);
    }

    fn reopen(&mut self, file: FileId) {
        self.sightings.values_mut().filter(|sighting| sighting.file == file).for_each(|sighting| sighting.done = false);
    }

    /// A received batch matters only while one of its lines lies beyond its file's checkpoint.
    fn matters(contents: &Contents, pending: &Pending) -> bool {
        let lies_beyond = |part: &Part| {
            let resume = contents.get(part.file).map_or(0, Content::resume);
            part.lines.as_slice().last().is_some_and(|&last| last >= resume)
        };
        pending.standing != Standing::Received || pending.intent.parts.iter().any(lies_beyond)
    }

    /// The site.
    pub fn site(&self) -> SiteId {
        self.site
    }

    /// The version of the journal; 0 of a new one.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The number of the journal.
    pub fn journal(&self) -> JournalId {
        self.journal
    }

    /// Whether Matomo knows of this journal.
    pub fn is_announced(&self) -> bool {
        self.is_announced
    }

    /// Whether a person decided what is known, as the ledger was gone.
    pub fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// All contents, by number.
    pub fn files(&self) -> impl Iterator<Item = &Content> {
        self.contents.iter()
    }

    /// One content.
    pub fn file(&self, id: FileId) -> Option<&Content> {
        self.contents.get(id)
    }

    /// Batches that are open, withheld, or received beyond a checkpoint.
    pub fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.intents.values().filter(|pending| Self::matters(&self.contents, pending))
    }

    /// The last batches that arrived, the newest first: their numbers, marks and ledger sites, and when they were sent.
    pub fn sent(&self) -> impl Iterator<Item = &Intent> {
        self.sent.iter().rev().map(|sent| &sent.intent)
    }

    /// Days whose reports wait for invalidation.
    pub fn days(&self) -> &BTreeSet<Date> {
        &self.days
    }

    /// What is remembered for people.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// When the youngest log file that was seen had last changed, nanoseconds since 1970.
    pub fn newest_log_ns(&self) -> Option<i64> {
        self.sightings.values().map(|sighting| sighting.stat.modified_ns).max()
    }

    /// The slowest answer seen, in milliseconds.
    pub fn slowest_ms(&self) -> Option<u64> {
        self.slowest_ms
    }

    /// The number of the next intent.
    pub fn next_intent(&self) -> IntentId {
        IntentId(self.next_intent)
    }

    /// The number of the next content.
    pub fn next_file(&self) -> FileId {
        FileId(self.contents.last().map_or(0, |content| content.id.0.saturating_add(1)))
    }

    /// Whether this very file was looked at before: then its content, and whether anything is left to do about it.
    pub fn recognise(&self, file: &LogFile) -> Option<(FileId, bool)> {
        let sighting = self.sightings.get(path_text(file).as_ref())?;
        sighting.is_of(&file.stat).then_some((sighting.file, sighting.done))
    }

    /// What was last seen at a path.
    pub fn sighting(&self, path: &str) -> Option<&Sighting> {
        self.sightings.get(path)
    }

    /// Paths at which a content was seen, all but one: the largest file first.
    pub fn paths_of(&self, file: FileId, except: &Path) -> Vec<(&str, Stat)> {
        let is_other =
            |path: &str, sighting: &Sighting| sighting.file == file && !path.is_empty() && Path::new(path) != except;
        let all = self.sightings.iter().filter(|(path, sighting)| is_other(path, sighting));
        let mut all: Vec<(&str, Stat)> = all.map(|(path, sighting)| (&**path, sighting.stat)).collect();
        all.sort_unstable_by_key(|(path, stat)| (std::cmp::Reverse(stat.size), *path));
        all
    }

    /// Paths at which a content was last seen.
    pub fn holders(&self, file: FileId) -> impl Iterator<Item = &str> {
        self.sightings.iter().filter(move |(_, sighting)| sighting.file == file).map(|(path, _)| &**path)
    }

    /// Bytes of a content behind its checkpoint, as far as they can be told.
    pub fn bytes_left(&self, file: FileId) -> u64 {
        let Some(content) = self.file(file) else { return 0 };
        let sighting = self.sightings.get(&*content.path).filter(|sighting| sighting.file == file);
        sighting.map_or(0, |sighting| sighting.stat.size.saturating_sub(content.checkpoint))
    }

    /// Which content each file was seen to hold, by device and inode.
    pub fn by_inode(&self) -> impl Iterator<Item = ((u64, u64), FileId)> {
        let known = self.sightings.values().filter(|sighting| sighting.stat.inode != 0);
        known.map(|sighting| ((sighting.stat.device, sighting.stat.inode), sighting.file))
    }

    /// Contents that a file with these first bytes may hold: those with the same first line, and `before`, what its path held.
    pub fn candidates(&self, head: &Head, before: Option<FileId>) -> Vec<Known> {
        let alike: BTreeSet<FileId> = self.with_first_line(head).into_iter().collect();
        let before = before.filter(|id| !alike.contains(id));
        let known = |id, has_same_line| self.file(id)?.known(has_same_line);
        alike.iter().filter_map(|id| known(*id, true)).chain(before.and_then(|id| known(id, false))).collect()
    }

    /// Other contents with the same first line of which something was booked.
    pub fn booked_like(&self, content: &Content) -> impl Iterator<Item = &Content> {
        let (key, own) = (content.line_key, content.id);
        let alike = self.by_line().range((key, FileId(0))..=(key, FileId(u32::MAX)));
        alike.filter(move |(_, id)| *id != own).filter_map(|(_, id)| self.file(*id)).filter(|other| other.is_booked())
    }

    fn by_line(&self) -> &BTreeSet<(u64, FileId)> {
        self.by_line.get_or_init(|| self.contents.iter().map(|content| (content.line_key, content.id)).collect())
    }

    fn with_first_line(&self, head: &Head) -> Vec<FileId> {
        let by_line = self.by_line();
        let of = |key: u64| by_line.range((key, FileId(0))..=(key, FileId(u32::MAX))).map(|(_, id)| *id);
        let (line, first) = (head.line_key(), head.first_line_key());
        let mut ids: Vec<FileId> = of(line).collect();
        if first != line {
            // Version 1 took the very first line.
            ids.extend(of(first));
        }
        ids
    }

    /// Offsets beyond the place of resumption that must not be sent: they are in flight, arrived, or withheld. Ascending.
    pub fn taken(&self, file: FileId) -> Vec<u64> {
        let resume = self.file(file).map_or(0, Content::resume);
        let parts = self.intents.values().flat_map(|pending| &pending.intent.parts);
        let lines = parts.filter(|part| part.file == file).flat_map(|part| part.lines.as_slice());
        let mut taken: Vec<u64> = lines.copied().filter(|&offset| offset >= resume).collect();
        taken.sort_unstable();
        taken
    }

    /// How many lines the shortest journal has, roughly.
    pub fn lines_at_least(&self) -> usize {
        2 * self.contents.len() + self.sightings.len() + 2 * self.intents.len() + self.sent.len() + 8
    }

    /// Tells the shortest journal that says the same.
    ///
    /// # Errors
    /// As `tell`.
    pub fn snapshot(&self, tell: &mut Telling<'_>) -> io::Result<()> {
        tell(Record::Opened { version: VERSION, site: self.site, journal: self.journal })?;
        if self.is_announced {
            tell(Record::Announced)?;
        }
        if self.is_adopted {
            tell(Record::Adopted { at_ms: 0 })?;
        }
        tell(Record::Next { intent: self.next_intent() })?;
        if let Some(ms) = self.slowest_ms {
            tell(Record::Slowest { ms })?;
        }
        if let Some(TakeOver { at_ms, imported, given_up }) = self.tally.takeover {
            tell(Record::TookOver { at_ms, imported, given_up })?;
        }
        let elsewhere = self.sighted_elsewhere();
        let sightings = |content: &Content| self.sightings_of(content, &elsewhere);
        // What was seen, never booked, and is seen no more needs not be known.
        let is_wanted = |content: &&Content| content.is_booked() || !sightings(content).is_empty();
        for content in self.contents.iter().filter(is_wanted) {
            content.sighted(sightings(content)).into_iter().try_for_each(&mut *tell)?;
        }
        self.sent.iter().try_for_each(|sent| tell(Record::Sent(sent.whole())))?;
        self.pending().try_for_each(|pending| pending.tell(&mut *tell))?;
        // After the batches: their receipts are in these totals already and would be counted twice.
        for content in self.contents.iter().filter(is_wanted) {
            content.kept(&sightings(content)).into_iter().try_for_each(&mut *tell)?;
        }
        if !self.days.is_empty() {
            tell(Record::Days { days: self.days.iter().copied().collect() })?;
        }
        self.tally.snapshot().into_iter().try_for_each(tell)
    }

    /// Files at other paths than those that name their contents, by content: few, as a rule, where all files may be very many.
    fn sighted_elsewhere(&self) -> Vec<Sighted<'_>> {
        let names_it = |path: &str, file| self.file(file).is_some_and(|content| *content.path == *path);
        let all = self.sightings.iter().map(|(path, sighting)| (&**path, sighting));
        let mut elsewhere: Vec<Sighted<'_>> = all.filter(|(path, sighting)| !names_it(path, sighting.file)).collect();
        elsewhere.sort_unstable_by_key(|(path, sighting)| (sighting.file, *path));
        elsewhere
    }

    /// Where a content was seen, the path that names it last.
    fn sightings_of<'b>(&'b self, content: &Content, elsewhere: &[Sighted<'b>]) -> Vec<Sighted<'b>> {
        let begin = elsewhere.partition_point(|(_, sighting)| sighting.file < content.id);
        let end = elsewhere.partition_point(|(_, sighting)| sighting.file <= content.id);
        let named = self.sightings.get_key_value(&*content.path).filter(|(_, sighting)| sighting.file == content.id);
        let named = named.map(|(path, sighting)| (&**path, sighting));
        elsewhere[begin..end].iter().copied().chain(named).collect()
    }
}

impl Pending {
    fn tell(&self, tell: &mut Telling<'_>) -> io::Result<()> {
        let id = self.intent.intent;
        let mut intent = self.intent.clone();
        if self.standing == Standing::Received {
            // Its days wait already, or were invalidated since; and it is among those sent.
            (intent.days, intent.by_day, intent.ledger_site) = (Vec::new(), Vec::new(), None);
        }
        tell(Record::Intent(intent))?;
        match &self.standing {
            Standing::Open => Ok(()),
            Standing::Received => tell(Record::Receipt { intent: id, receipt: super::Receipt::default() }),
            Standing::Withheld(why) => tell(Record::Withheld { intent: id, why: why.clone() }),
        }
    }
}

impl Content {
    fn advance(&mut self, offset: u64) {
        if offset > self.checkpoint {
            // What was known of the line at the old checkpoint says nothing about the new one.
            (self.checkpoint, self.cut) = (offset, false);
        }
    }
}
