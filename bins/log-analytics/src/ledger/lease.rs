//! One process's right to a site: nobody else imports into it, and only the holder writes its journal.

use std::path::{Path, PathBuf};

use shared::files::Lock;

use super::book::Book;
use super::journal::Journal;
use super::record::{FileId, Intent, IntentId, JournalId, Part, Print, Record, Seen, VERSION};
use super::spans::Spans;
use super::tally::{TakeOver, TurnEnded};
use super::{LedgerError, Receipt, Totals};
use crate::discover::{Head, LogFile, SiteId};
use crate::file::{Proof, ReadError, Source};

/// A journal is rewritten once it has this size and has doubled since.
const REWRITE_FROM_BYTES: u64 = 4 << 20;

/// The folder that holds one journal per site.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
}

/// The right to import into one site. Given back when dropped, and by the system when the process ends.
pub struct Lease {
    book: Book,
    journal: Journal,
    rewrite_at_bytes: u64,
    _lock: Lock,
}

impl Ledger {
    /// Opens the ledger below `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(folder).map_err(|error| LedgerError::write(folder, error))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The ledger below `folder`, to look at; nothing is made.
    pub fn look(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Takes the lease of a site; `None` while another process holds it.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn claim(&self, site: SiteId) -> Result<Option<Lease>, LedgerError> {
        let lock_path = self.folder.join(format!("site-{site}.lock"));
        let taken = Lock::try_take(&lock_path);
        let Some(lock) = taken.map_err(|error| LedgerError::write(&lock_path, error.source))? else {
            return Ok(None);
        };
        let path = self.journal_path(site);
        let (mut book, mut lines) = (Book::new(site), 0);
        let opened = Journal::open(&path, |record| {
            lines += 1;
            book.apply(record);
        })?;
        let Some(journal) = opened else { return Ok(None) };
        self.remove_leftovers(site);
        // A long journal that says little twice is left as it is: with many files every start would rewrite it.
        let is_dense = lines <= 2 * book.lines_at_least();
        let rewrite_at_bytes = if is_dense { REWRITE_FROM_BYTES.max(journal.bytes() * 2) } else { REWRITE_FROM_BYTES };
        let mut lease = Lease { book, journal, rewrite_at_bytes, _lock: lock };
        if lease.book.version() < VERSION {
            lease.write(Record::Opened { version: VERSION, site, journal: drawn() })?;
            lease.sync()?;
        }
        lease.rewrite_if_long()?;
        Ok(Some(lease))
    }

    /// Removes what a crash left in the middle of a rewriting of the journal.
    fn remove_leftovers(&self, site: SiteId) {
        let beginning = format!(".site-{site}.journal.");
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&beginning) && name.ends_with(".new") {
                // Nobody writes it: whoever would holds the lease. What cannot be removed does no harm.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// What the journal of a site says, without a lease.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn peek(&self, site: SiteId) -> Result<Book, LedgerError> {
        let path = self.journal_path(site);
        let mut book = Book::new(site);
        Journal::peek(&path, |record| book.apply(record))?;
        Ok(book)
    }

    /// Proves that the folder can be written.
    ///
    /// # Errors
    /// When it cannot.
    pub fn try_to_write(&self) -> Result<(), LedgerError> {
        let path = self.folder.join(".check");
        let written = std::fs::write(&path, b"can this be written?").and_then(|()| std::fs::remove_file(&path));
        written.map_err(|error| LedgerError::write(&path, error))
    }

    /// The sites that have a journal.
    pub fn sites(&self) -> Vec<SiteId> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut sites: Vec<SiteId> =
            names.filter_map(|name| name.strip_prefix("site-")?.strip_suffix(".journal")?.parse().ok()).collect();
        sites.sort_unstable();
        sites
    }

    fn journal_path(&self, site: SiteId) -> PathBuf {
        self.folder.join(format!("site-{site}.journal"))
    }
}

impl Lease {
    /// What is known.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Goes on as the journal that Matomo knows, whose marks tell what was sent.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn continue_as(&mut self, journal: JournalId) -> Result<(), LedgerError> {
        let site = self.book.site();
        self.write(Record::Opened { version: VERSION, site, journal })?;
        self.write(Record::Announced)
    }

    /// Writes down a batch that Matomo has and this journal did not know of.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn learn(&mut self, intent: Intent) -> Result<(), LedgerError> {
        let (number, tracked) = (intent.intent, intent.hits() as u64);
        self.write(Record::Intent(intent))?;
        self.write(Record::Receipt { intent: number, receipt: Receipt { tracked, ..Receipt::default() } })
    }

    /// Writes down that Matomo lost a batch that had arrived: its lines are sent again.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn lose(&mut self, intent: IntentId) -> Result<(), LedgerError> {
        self.write(Record::Lost { intent })
    }

    /// Notes that a file was seen: a known content at a new place or grown, or one never seen.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn see(&mut self, known: Option<FileId>, file: &LogFile, head: &Head) -> Result<FileId, LedgerError> {
        self.note_seen(known, file, head, None)
    }

    /// The same for a content that somebody else imported as a whole: by its first bytes it is known from now on, whatever its
    /// length.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn see_believed(&mut self, known: Option<FileId>, file: &LogFile, head: &Head) -> Result<FileId, LedgerError> {
        self.note_seen(known, file, head, Some(Print::of(head)))
    }

    fn note_seen(
        &mut self,
        known: Option<FileId>,
        file: &LogFile,
        head: &Head,
        print: Option<Print>,
    ) -> Result<FileId, LedgerError> {
        let id = known.unwrap_or_else(|| self.book.next_file());
        self.write(Record::Seen(Seen {
            file: id,
            path: super::path_text(file).into_owned(),
            size: file.stat.size,
            modified_ns: file.stat.modified_ns,
            changed_ns: file.stat.changed_ns,
            device: file.stat.device,
            inode: file.stat.inode,
            line_key: head.line_key(),
            milestones: head.milestones(),
            print,
        }))?;
        Ok(id)
    }

    /// Notes a content of which nothing is known but what was proven of it: no file holds it at present.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn know_of(&mut self, file: FileId, line_key: u64) -> Result<(), LedgerError> {
        let size = u64::MAX;
        self.write(Record::Seen(Seen {
            file,
            path: String::new(),
            size,
            modified_ns: 0,
            changed_ns: 0,
            device: 0,
            inode: 0,
            line_key,
            milestones: Box::default(),
            print: None,
        }))
    }

    /// Forgets what was seen and not booked: it is looked at again, by what is known then.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn forget_unbooked(&mut self) -> Result<(), LedgerError> {
        let unbooked = self.book.files().filter(|content| !content.is_booked() && content.checkpoint == 0);
        let unbooked: Vec<FileId> = unbooked.map(|content| content.id).collect();
        unbooked.into_iter().try_for_each(|file| self.write(Record::Unseen { file }))
    }

    /// Writes down that a person decided what is known of a site whose ledger was gone.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn adopted(&mut self, at_ms: i64) -> Result<(), LedgerError> {
        self.write(Record::Adopted { at_ms })?;
        self.journal.sync()
    }

    /// Writes down that a batch is to leave. It may leave once [`Lease::synced`] says so.
    ///
    /// # Errors
    /// When the journal cannot be written: the batch must not be sent.
    pub fn intend(&mut self, intent: Intent) -> Result<(), LedgerError> {
        self.write(Record::Intent(intent))
    }

    /// Waits until everything written so far survives a power cut. That takes a [`Lease::flush`] after it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn synced(&mut self) -> impl Future<Output = Result<(), LedgerError>> + use<> {
        self.journal.synced()
    }

    /// Puts everything written so far into the journal and, if somebody waits for that, on disk, without keeping this thread
    /// from its work.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        self.journal.flush()
    }

    /// Writes down that a batch arrived.
    ///
    /// # Errors
    /// When the journal cannot be written; the batch then is in doubt at the next start.
    pub fn commit(&mut self, intent: IntentId, receipt: Receipt) -> Result<(), LedgerError> {
        self.write(Record::Receipt { intent, receipt })
    }

    /// Writes down that all of a batch arrived but these lines, which may be sent again.
    ///
    /// # Errors
    /// When the journal cannot be written; the batch then is in doubt at the next start.
    pub fn commit_but(&mut self, intent: IntentId, missing: Vec<Part>) -> Result<(), LedgerError> {
        self.write(Record::Partial { intent, missing })
    }

    /// Writes down that a batch did not arrive, so that its lines may be sent again.
    ///
    /// # Errors
    /// When the journal cannot be written; the batch then is in doubt at the next start.
    pub fn undo(&mut self, intent: IntentId, why: &str) -> Result<(), LedgerError> {
        self.write(Record::Undone { intent, why: why.to_owned() })
    }

    /// Sets a batch aside for a person, because nobody can tell whether it arrived.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn withhold(&mut self, intent: IntentId, why: &str) -> Result<(), LedgerError> {
        self.write(Record::Withheld { intent, why: why.to_owned() })
    }

    /// A person's decision about a batch set aside.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn decide(&mut self, intent: IntentId, resend: bool) -> Result<(), LedgerError> {
        self.write(Record::Decided { intent, resend })?;
        self.journal.sync()
    }

    /// Moves a file's checkpoint: all lines before `offset` are settled.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn advance(&mut self, file: FileId, offset: u64) -> Result<(), LedgerError> {
        if self.book.file(file).is_some_and(|entry| entry.checkpoint < offset) {
            self.write(Record::Checkpoint { file, offset })?;
        }
        self.rewrite_if_long()
    }

    /// Puts a file away for now: all lines before `offset` are settled, and amounted to `totals`.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn put_away(
        &mut self,
        file: FileId,
        offset: u64,
        totals: Totals,
        proof: Option<Proof>,
    ) -> Result<(), LedgerError> {
        self.write(Record::PutAway { file, offset, totals, proof })?;
        self.journal.sync()
    }

    /// Writes down that a file was read to its end at a path. On disk with whatever is next to be: without it the file would
    /// be read once more, and its hits be known.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn finish(&mut self, file: FileId, end: Finish) -> Result<(), LedgerError> {
        self.write(end.record(file))
    }

    /// Counts a failure that is the file's own fault; after `attempts_max` of them it is quarantined. Answers whether it was.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn fail(&mut self, file: FileId, why: &str, attempts_max: u32, at_ms: i64) -> Result<bool, LedgerError> {
        self.write(Record::Failed { file, why: why.to_owned(), at_ms })?;
        let given_up = self.book.file(file).is_some_and(|entry| entry.failures >= attempts_max);
        if given_up {
            self.write(Record::Quarantined { file, why: why.to_owned(), at_ms })?;
        }
        self.journal.sync()?;
        Ok(given_up)
    }

    /// Writes down that a file went away before all of it was read.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn vanished(&mut self, file: FileId, bytes: u64) -> Result<(), LedgerError> {
        self.write(Record::Vanished { file, bytes })
    }

    /// A person wants lines of a file sent again: these, or all of them.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn send_again(&mut self, file: FileId, lines: Option<Spans>) -> Result<(), LedgerError> {
        self.write(Record::Again { file, lines })?;
        self.journal.sync()
    }

    /// Gives a quarantined file another chance, and lines that could not be read as well.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn release(&mut self, file: FileId) -> Result<(), LedgerError> {
        self.write(Record::Released { file })?;
        self.journal.sync()
    }

    /// Writes down that the reports of all waiting days were invalidated.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn invalidated(&mut self) -> Result<(), LedgerError> {
        let days = self.book.days().iter().copied().collect();
        self.write(Record::Invalidated { days })?;
        self.journal.sync()
    }

    /// Writes down that the state of the shell image was taken over, and the days that it left to be invalidated.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn took_over(&mut self, takeover: TakeOver, days: Vec<jiff::civil::Date>) -> Result<(), LedgerError> {
        if !days.is_empty() {
            self.write(Record::Days { days })?;
        }
        let TakeOver { at_ms, imported, given_up } = takeover;
        self.write(Record::TookOver { at_ms, imported, given_up })?;
        self.journal.sync()
    }

    /// Writes down that the turn of the site ended.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn turn_ended(&mut self, turn: TurnEnded) -> Result<(), LedgerError> {
        let TurnEnded { at_ms, hits, took_ms } = turn;
        self.write(Record::Turn { at_ms, hits, took_ms })?;
        self.journal.sync()
    }

    /// From now on the disk refuses to keep anything.
    #[cfg(test)]
    pub fn break_disk(&mut self) {
        self.journal.break_disk();
    }

    /// Makes everything written so far survive a power cut.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        self.journal.sync()
    }

    fn write(&mut self, record: Record) -> Result<(), LedgerError> {
        self.journal.append(&record)?;
        self.book.apply(record);
        Ok(())
    }

    fn rewrite_if_long(&mut self) -> Result<(), LedgerError> {
        if self.journal.bytes() < self.rewrite_at_bytes {
            return Ok(());
        }
        self.journal.rewrite(|tell| self.book.snapshot(tell))?;
        self.rewrite_at_bytes = REWRITE_FROM_BYTES.max(self.journal.bytes() * 2);
        Ok(())
    }
}

/// Where the lines of an archive end that somebody else imported as a whole: behind any line.
const END_OF_ARCHIVE: u64 = i64::MAX as u64;

/// How the reading of a file ended.
pub struct Finish {
    /// Where it was read.
    pub path: String,
    /// Where its last settled line ends.
    pub offset: u64,
    /// The last line had no terminator.
    pub cut: bool,
    /// Something behind the offset waits.
    pub rest: bool,
    /// What it amounted to.
    pub totals: Totals,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Date of its first line, seconds since 1970.
    pub begins: Option<i64>,
    /// Date of its newest hit, seconds since 1970.
    pub newest: Option<i64>,
    /// What is proven of it, up to the offset.
    pub proof: Option<Proof>,
}

impl Finish {
    /// A file that holds nothing to import up to this offset.
    pub fn at(path: String, offset: u64, at_ms: i64) -> Self {
        let totals = Totals::default();
        Self { path, offset, cut: false, rest: false, totals, at_ms, begins: None, newest: None, proof: None }
    }

    /// A file that somebody else imported to its present end.
    ///
    /// # Errors
    /// When its end cannot be read.
    pub fn believed(file: &LogFile, source: &Source, at_ms: i64) -> Result<Self, ReadError> {
        let offset = if source.is_packed() { END_OF_ARCHIVE } else { source.stat().size };
        let path = super::path_text(file).into_owned();
        Ok(Self { cut: !source.ends_a_line()?, ..Self::at(path, offset, at_ms) })
    }

    fn record(self, file: FileId) -> Record {
        let Self { path, offset, cut, rest, totals, at_ms, begins, newest, proof } = self;
        Record::Finished { file, path, offset, cut, rest, totals, at_ms, begins, newest, proof }
    }
}

/// A number that no other journal has: from the system's randomness, by way of the keys of a hash map.
fn drawn() -> JournalId {
    let number =
        std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), jiff::Timestamp::now().as_nanosecond());
    JournalId(number.max(1))
}
