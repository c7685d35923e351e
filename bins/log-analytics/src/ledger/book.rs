//! What the journal amounts to: files with their checkpoints, batches on the way, days to invalidate.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use jiff::civil::Date;

use super::journal::Telling;
use super::offsets::Offsets;
use super::record::{FileId, Intent, IntentId, Part, Record, VERSION};
use super::tally::{TakeOver, Tally, TurnEnded};
use crate::discover::{Fingerprint, Head, LogFile, SiteId};

/// Everything the ledger knows of one site.
#[derive(Debug, Clone)]
pub struct Book {
    site: SiteId,
    files: BTreeMap<FileId, FileEntry>,
    sightings: HashMap<Arc<str>, Sighting>,
    /// Made when the first file comes that is not known by its path; most passes see none.
    by_first_line: OnceCell<BTreeSet<(u64, FileId)>>,
    intents: BTreeMap<IntentId, Pending>,
    next_intent: u64,
    slowest_ms: Option<u64>,
    salt: u64,
    days: BTreeSet<Date>,
    tally: Tally,
}

/// One file by its content, whatever it is called.
#[derive(Debug, Clone)]
pub struct FileEntry {
    /// Its number.
    pub id: FileId,
    /// Its identity.
    pub print: Fingerprint,
    /// Where it was last seen.
    pub path: Arc<str>,
    /// Every line before this offset is settled, but for `holes`.
    pub checkpoint: u64,
    /// Lines before the checkpoint that are to be sent (again).
    pub holes: BTreeSet<u64>,
    /// The line that ends at the checkpoint had no terminator.
    pub cut: bool,
    /// Where it stands.
    pub state: FileState,
    /// Attempts that failed through the file's own fault, since it last changed.
    pub failures: u32,
    /// Lines read so far.
    pub lines: u64,
    /// Hits that arrived.
    pub hits: u64,
    /// When it was last read to its end, milliseconds since 1970.
    pub finished_ms: i64,
    /// Date of its newest hit, seconds since 1970.
    pub newest: Option<i64>,
}

/// Where a file stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// There is, or may be, something to import.
    Waiting,
    /// Read to its end.
    Finished,
    /// Given up; waits for a person.
    Quarantined(String),
}

/// A file at a path, as it looked when it was last looked at.
#[derive(Debug, Clone)]
struct Sighting {
    file: FileId,
    size: u64,
    modified_ns: i64,
    done: bool,
}

/// A path, and what was seen there.
type Sighted<'b> = (&'b str, &'b Sighting);

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

impl Book {
    /// What an empty journal says of a site.
    pub fn new(site: SiteId) -> Self {
        Self {
            site,
            files: BTreeMap::new(),
            sightings: HashMap::new(),
            by_first_line: OnceCell::new(),
            intents: BTreeMap::new(),
            next_intent: 0,
            slowest_ms: None,
            salt: 0,
            days: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    /// Takes one record into account. Records about files or batches it does not know change nothing.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Opened { .. } => {}
            Record::Seen { file, print, path, size, modified_ns } => self.seen(file, print, path, size, modified_ns),
            Record::Intent(intent) => self.intended(intent),
            Record::Receipt { intent, receipt } => {
                self.slowest_ms = self.slowest_ms.max((receipt.took_ms > 0).then_some(receipt.took_ms));
                self.received(intent);
            }
            Record::Undone { intent, .. } => self.undone(intent),
            Record::Decided { intent, resend: true } => self.undone(intent),
            Record::Decided { intent, resend: false } => {
                self.intents.remove(&intent);
            }
            Record::Withheld { intent, why } => {
                if let Some(pending) = self.intents.get_mut(&intent) {
                    pending.standing = Standing::Withheld(why);
                }
            }
            Record::Checkpoint { file, offset } => self.advanced(file, offset),
            Record::Finished { file, path, offset, cut, totals, at_ms, newest } => {
                self.advanced(file, offset);
                if let Some(sighting) = self.sightings.get_mut(&*path) {
                    sighting.done = true;
                }
                self.change(file, |entry| {
                    entry.state = FileState::Finished;
                    (entry.cut, entry.finished_ms, entry.failures) = (cut, at_ms, 0);
                    entry.holes.clear();
                    entry.lines = entry.lines.saturating_add(totals.lines);
                    entry.newest = entry.newest.max(newest);
                });
            }
            Record::PutAway { file, offset, totals } => {
                self.advanced(file, offset);
                self.change(file, |entry| entry.lines = entry.lines.saturating_add(totals.lines));
            }
            Record::Failed { file, .. } => self.change(file, |entry| entry.failures += 1),
            Record::Quarantined { file, why, .. } => {
                self.change(file, |entry| entry.state = FileState::Quarantined(why));
            }
            Record::Released { file } => self.change(file, |entry| {
                (entry.state, entry.failures) = (FileState::Waiting, 0);
            }),
            Record::Invalidated { days } => self.days.retain(|day| !days.contains(day)),
            Record::Slowest { ms } => self.slowest_ms = self.slowest_ms.max(Some(ms)),
            Record::Salted { salt } => self.salt = salt,
            Record::Days { days } => self.days.extend(days),
            Record::TookOver { at_ms, imported, given_up } => {
                self.tally.takeover = Some(TakeOver { at_ms, imported, given_up });
            }
            Record::Turn { at_ms, hits, took_ms } => self.tally.last_turn = Some(TurnEnded { at_ms, hits, took_ms }),
            Record::ByDay { days } => self.tally.set(days),
            Record::Kept { file, finished, cut, hits, lines, holes, done, at_ms, newest } => {
                for path in done {
                    if let Some(sighting) = self.sightings.get_mut(&*path) {
                        sighting.done = true;
                    }
                }
                self.change(file, |entry| {
                    (entry.cut, entry.hits, entry.lines, entry.finished_ms, entry.newest) =
                        (cut, hits, lines, at_ms, newest);
                    entry.holes = holes.as_slice().iter().copied().collect();
                    if finished {
                        entry.state = FileState::Finished;
                    }
                });
            }
        }
    }

    fn change(&mut self, file: FileId, change: impl FnOnce(&mut FileEntry)) {
        if let Some(entry) = self.files.get_mut(&file) {
            change(entry);
        }
    }

    fn seen(&mut self, id: FileId, print: Fingerprint, path: String, size: u64, modified_ns: i64) {
        let path: Arc<str> = path.into();
        self.sightings.insert(Arc::clone(&path), Sighting { file: id, size, modified_ns, done: false });
        if let Some(known) = self.by_first_line.get_mut() {
            known.insert((print.first_line, id));
        }
        let entry = self.files.entry(id).or_insert_with(|| FileEntry::new(id, print, Arc::clone(&path)));
        // A changed file deserves new attempts, a quarantined one too: somebody may have repaired it.
        (entry.state, entry.failures) = (FileState::Waiting, 0);
        entry.path = path;
        if print.bytes > entry.print.bytes {
            entry.print = print;
        }
    }

    fn intended(&mut self, intent: Intent) {
        self.next_intent = self.next_intent.max(intent.intent.0.saturating_add(1));
        for part in &intent.parts {
            self.change(part.file, |entry| {
                for offset in part.lines.as_slice().iter().take_while(|&&offset| offset < entry.checkpoint) {
                    entry.holes.remove(offset);
                }
            });
        }
        self.intents.insert(intent.intent, Pending { intent, standing: Standing::Open });
    }

    fn received(&mut self, intent: IntentId) {
        let Some(pending) = self.intents.get_mut(&intent) else { return };
        pending.standing = Standing::Received;
        let intent = pending.intent.clone();
        self.days.extend(&intent.days);
        self.tally.add(&intent.by_day);
        for part in &intent.parts {
            self.change(part.file, |entry| {
                entry.hits = entry.hits.saturating_add(part.lines.as_slice().len() as u64);
                entry.newest = entry.newest.max(Some(intent.newest));
            });
        }
        // Not with every checkpoint: there are many more of them.
        let files = &self.files;
        self.intents.retain(|_, pending| Self::matters(files, pending));
    }

    fn undone(&mut self, intent: IntentId) {
        let Some(pending) = self.intents.remove(&intent) else { return };
        for part in &pending.intent.parts {
            let mut reopened = false;
            self.change(part.file, |entry| {
                let behind = part.lines.as_slice().iter().filter(|&&offset| offset < entry.checkpoint);
                entry.holes.extend(behind);
                reopened = !entry.holes.is_empty();
                if entry.state == FileState::Finished && reopened {
                    entry.state = FileState::Waiting;
                }
            });
            if reopened {
                for sighting in self.sightings.values_mut().filter(|sighting| sighting.file == part.file) {
                    sighting.done = false;
                }
            }
        }
    }

    fn advanced(&mut self, file: FileId, offset: u64) {
        self.change(file, |entry| {
            if offset > entry.checkpoint {
                // What was known of the line at the old checkpoint says nothing about the new one.
                (entry.checkpoint, entry.cut) = (offset, false);
            }
        });
    }

    /// A received batch matters only while one of its lines lies beyond its file's checkpoint.
    fn matters(files: &BTreeMap<FileId, FileEntry>, pending: &Pending) -> bool {
        let lies_beyond = |part: &Part| {
            let checkpoint = files.get(&part.file).map_or(0, |entry| entry.checkpoint);
            part.lines.as_slice().last().is_some_and(|&last| last >= checkpoint)
        };
        pending.standing != Standing::Received || pending.intent.parts.iter().any(lies_beyond)
    }

    /// The site.
    pub fn site(&self) -> SiteId {
        self.site
    }

    /// All files, by number.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.values()
    }

    /// One file.
    pub fn file(&self, id: FileId) -> Option<&FileEntry> {
        self.files.get(&id)
    }

    /// Batches that are open, withheld, or received beyond a checkpoint.
    pub fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.intents.values().filter(|pending| Self::matters(&self.files, pending))
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
        self.sightings.values().map(|sighting| sighting.modified_ns).max()
    }

    /// The slowest answer seen, in milliseconds.
    pub fn slowest_ms(&self) -> Option<u64> {
        self.slowest_ms
    }

    /// Goes into every mark.
    pub fn salt(&self) -> u64 {
        self.salt
    }

    /// The number of the next intent.
    pub fn next_intent(&self) -> IntentId {
        IntentId(self.next_intent)
    }

    /// The number of the next file.
    pub fn next_file(&self) -> FileId {
        FileId(self.files.last_key_value().map_or(0, |(id, _)| id.0.saturating_add(1)))
    }

    /// Whether this very file (same path, size and date) was looked at before: then its number,
    /// and whether anything is left to do about it.
    pub fn recognise(&self, file: &LogFile) -> Option<(FileId, bool)> {
        let sighting = self.sightings.get(path_text(file).as_ref())?;
        (sighting.size == file.size && sighting.modified_ns == file.modified_ns)
            .then_some((sighting.file, sighting.done))
    }

    /// The known file that these first bytes belong to. `in_place` tells whether a known path still holds
    /// exactly what it held.
    pub fn identify(&self, file: &LogFile, head: &Head, in_place: impl Fn(&str, u64, i64) -> bool) -> Option<FileId> {
        let path = path_text(file);
        let first_line = head.first_line();
        if let Some(sighting) = self.sightings.get(path.as_ref()) {
            let print = self.files.get(&sighting.file)?.print;
            // The same path with the same beginning: it grew, was touched, or was cut shorter.
            let shrunk = print.first_line == first_line && head.bytes().len() < print.bytes as usize;
            if head.continues(&print) || shrunk {
                return Some(sighting.file);
            }
        }
        let first_lines = || self.files.values().map(|entry| (entry.print.first_line, entry.id)).collect();
        let by_first_line = self.by_first_line.get_or_init(first_lines);
        let known = by_first_line.range((first_line, FileId(0))..=(first_line, FileId(u32::MAX)));
        let known = known.filter_map(|(_, id)| self.files.get(id));
        let candidates = known.filter(|entry| head.continues(&entry.print));
        let best = candidates.max_by_key(|entry| entry.print.bytes)?;
        // Two servers may begin with the same lines: while a short file lies where it lay, a longer one
        // that begins like it is another file, not the same one grown.
        let grown = head.bytes().len() > best.print.bytes as usize;
        let mut sightings = self.sightings.iter().filter(|(_, sighting)| sighting.file == best.id);
        let stays = sightings.any(|(path, sighting)| in_place(path, sighting.size, sighting.modified_ns));
        (!(grown && stays)).then_some(best.id)
    }

    /// Offsets at or beyond the checkpoint that must not be sent: they are on the way, there, or withheld. Ascending.
    pub fn taken(&self, file: FileId) -> Vec<u64> {
        let checkpoint = self.files.get(&file).map_or(0, |entry| entry.checkpoint);
        let parts = self.intents.values().flat_map(|pending| &pending.intent.parts);
        let lines = parts.filter(|part| part.file == file).flat_map(|part| part.lines.as_slice());
        let mut taken: Vec<u64> = lines.copied().filter(|&offset| offset >= checkpoint).collect();
        taken.sort_unstable();
        taken
    }

    /// How many lines the shortest journal has, roughly.
    pub fn lines_at_least(&self) -> usize {
        2 * self.files.len() + self.sightings.len() + 2 * self.intents.len() + 8
    }

    /// Tells the shortest journal that says the same.
    ///
    /// # Errors
    /// As `tell`.
    pub fn snapshot(&self, tell: &mut Telling<'_>) -> io::Result<()> {
        tell(Record::Opened { version: VERSION, site: self.site })?;
        tell(Record::Salted { salt: self.salt })?;
        if let Some(ms) = self.slowest_ms {
            tell(Record::Slowest { ms })?;
        }
        if let Some(TakeOver { at_ms, imported, given_up }) = self.tally.takeover {
            tell(Record::TookOver { at_ms, imported, given_up })?;
        }
        let mut sightings: Vec<Sighted<'_>> =
            self.sightings.iter().map(|(path, sighting)| (&**path, sighting)).collect();
        sightings.sort_unstable_by_key(|(path, sighting)| (sighting.file, *path));
        let of_file = |id| {
            let begin = sightings.partition_point(|(_, sighting)| sighting.file < id);
            let end = sightings.partition_point(|(_, sighting)| sighting.file <= id);
            &sightings[begin..end]
        };
        for entry in self.files.values() {
            entry.sighted(of_file(entry.id)).into_iter().try_for_each(&mut *tell)?;
        }
        for pending in self.pending() {
            let id = pending.intent.intent;
            let mut intent = pending.intent.clone();
            if pending.standing == Standing::Received {
                // Its days wait below, or were invalidated since.
                (intent.days, intent.by_day) = (Vec::new(), Vec::new());
            }
            tell(Record::Intent(intent))?;
            match &pending.standing {
                Standing::Open => {}
                Standing::Received => tell(Record::Receipt { intent: id, receipt: super::Receipt::default() })?,
                Standing::Withheld(why) => tell(Record::Withheld { intent: id, why: why.clone() })?,
            }
        }
        // After the batches: their receipts are in these totals already and would be counted twice.
        for entry in self.files.values() {
            entry.kept(of_file(entry.id)).into_iter().try_for_each(&mut *tell)?;
        }
        if !self.days.is_empty() {
            tell(Record::Days { days: self.days.iter().copied().collect() })?;
        }
        self.tally.snapshot().into_iter().try_for_each(tell)
    }
}

impl FileEntry {
    /// Where the file was seen. The path seen last comes last: it names the file.
    fn sighted(&self, sightings: &[Sighted<'_>]) -> Vec<Record> {
        let mut sightings = sightings.to_vec();
        sightings.sort_by_key(|(path, _)| (**path == *self.path, *path));
        let seen = |path: &str, size, modified_ns| Record::Seen {
            file: self.id,
            print: self.print,
            path: path.to_owned(),
            size,
            modified_ns,
        };
        let mut records: Vec<_> =
            sightings.into_iter().map(|(path, sighting)| seen(path, sighting.size, sighting.modified_ns)).collect();
        if records.is_empty() {
            // Another file took its path; no file can have this size, so nothing will be mistaken for it.
            records.push(seen("", u64::MAX, 0));
        }
        records.push(Record::Checkpoint { file: self.id, offset: self.checkpoint });
        records
    }

    fn kept(&self, sightings: &[Sighted<'_>]) -> Vec<Record> {
        let done = sightings.iter().filter(|(_, sighting)| sighting.done).map(|(path, _)| (*path).to_owned()).collect();
        let mut records = vec![Record::Kept {
            file: self.id,
            finished: self.state == FileState::Finished,
            cut: self.cut,
            hits: self.hits,
            lines: self.lines,
            holes: Offsets::new(self.holes.iter().copied().collect()),
            done,
            at_ms: self.finished_ms,
            newest: self.newest,
        }];
        let failed = || Record::Failed { file: self.id, why: String::new(), at_ms: 0 };
        records.extend((0..self.failures).map(|_| failed()));
        if let FileState::Quarantined(why) = &self.state {
            records.push(Record::Quarantined { file: self.id, why: why.clone(), at_ms: 0 });
        }
        records
    }

    fn new(id: FileId, print: Fingerprint, path: Arc<str>) -> Self {
        Self {
            id,
            print,
            path,
            checkpoint: 0,
            holes: BTreeSet::new(),
            cut: false,
            state: FileState::Waiting,
            failures: 0,
            lines: 0,
            hits: 0,
            finished_ms: 0,
            newest: None,
        }
    }
}

/// A path as the journal writes it. Names that are not UTF-8 lose their odd bytes, which costs a second look
/// at the file's first bytes and nothing else.
pub fn path_text(file: &LogFile) -> std::borrow::Cow<'_, str> {
    file.path.to_string_lossy()
}
