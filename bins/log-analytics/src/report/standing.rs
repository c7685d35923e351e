//! How one site stands, from its ledger and its folder: for the table of `status` and for the page.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::arrival::Arrival;
use crate::discover::{Discovery, LogFile, SiteId};
use crate::ledger::{Book, Content, FileState, Standing, TakeOver, TurnEnded};

/// One site's standing.
#[derive(Debug, Clone, Serialize)]
pub struct SiteStanding {
    /// The site.
    pub site: SiteId,
    /// Settled files of which something is left to import.
    pub waiting: u64,
    /// Their bytes, those behind checkpoints left out.
    pub waiting_bytes: u64,
    /// When the oldest of them last changed.
    pub waiting_since: Option<Timestamp>,
    /// Files still being written.
    pub being_written: u64,
    /// Files begun and not ended.
    pub in_progress: u64,
    /// Files read to their end.
    pub imported: u64,
    /// Files given up, waiting for a person.
    pub quarantined: Vec<Quarantined>,
    /// Files that failed and will be tried again.
    pub failing: Vec<Failing>,
    /// Lines set aside because nobody can tell whether they arrived.
    pub set_aside_lines: usize,
    /// Lines that cannot be read.
    pub unreadable_lines: u64,
    /// Files that went away before all of them was read.
    pub vanished: u64,
    /// Lines read.
    pub lines: u64,
    /// Hits that arrived.
    pub hits: u64,
    /// Hits a second in the last turn in which some arrived.
    pub hits_per_second: Option<f64>,
    /// When a file was last read to its end, or hits last arrived.
    pub last_import: Option<Timestamp>,
    /// Date of the newest hit.
    pub last_hit: Option<Timestamp>,
    /// When rsync-client last fetched without trouble, with or without something new.
    pub last_fetched: Option<Timestamp>,
    /// When logs last arrived through it.
    pub last_changed: Option<Timestamp>,
    /// When the youngest log file changed.
    pub last_log: Option<Timestamp>,
    /// Days whose reports are to be invalidated in the quiet hours.
    pub days_to_invalidate: usize,
    /// What was taken over from the shell image.
    pub taken_over: Option<TakenOver>,
    /// Hits by the day they are dated.
    pub hits_by_day: BTreeMap<Date, u64>,
}

/// A file that was given up.
#[derive(Debug, Clone, Serialize)]
pub struct Quarantined {
    /// Its path.
    pub file: String,
    /// Why.
    pub why: String,
}

/// A file that failed.
#[derive(Debug, Clone, Serialize)]
pub struct Failing {
    /// Its path.
    pub file: String,
    /// How often.
    pub attempts: u32,
}

/// What was taken over from the shell image.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct TakenOver {
    /// When.
    pub at: Option<Timestamp>,
    /// Files noted as imported.
    pub imported: u64,
    /// Files that it had given up.
    pub given_up: u64,
}

impl SiteStanding {
    /// The standing of the site that `book` is about.
    pub fn of(book: &Book, found: &Discovery, arrival: Arrival) -> Self {
        let site = book.site();
        let count = |state: &FileState| book.files().filter(|file| file.state == *state).count() as u64;
        let files = found.files_of(site);
        let waiting: Vec<&LogFile> = files.iter().filter(|file| waits(book, file)).collect();
        let being_written = found.being_written_of(site);
        let on_disk = files.iter().chain(being_written);
        let withheld = book.pending().filter(|pending| matches!(pending.standing, Standing::Withheld(_)));
        let turn = book.tally().last_turn;
        let finished_ms = book.files().map(|file| file.finished_ms).max().filter(|&ms| ms > 0);
        Self {
            site,
            waiting: waiting.len() as u64,
            waiting_bytes: waiting.iter().map(|file| bytes_left(book, file)).sum(),
            waiting_since: waiting.iter().map(|file| file.stat.modified_ns).min().and_then(of_nanoseconds),
            being_written: being_written.len() as u64,
            in_progress: book.files().filter(|file| file.is_begun()).count() as u64,
            imported: count(&FileState::Finished),
            quarantined: book.files().filter_map(Quarantined::of).collect(),
            failing: book.files().filter_map(Failing::of).collect(),
            set_aside_lines: withheld.map(|pending| pending.intent.hits()).sum(),
            unreadable_lines: book.files().map(|file| file.unreadable_lines).sum(),
            vanished: book.files().filter(|file| file.vanished).count() as u64,
            lines: book.files().map(|file| file.lines).sum(),
            hits: book.files().map(|file| file.hits).sum(),
            hits_per_second: turn.map(|TurnEnded { hits, took_ms, .. }| hits as f64 * 1000.0 / took_ms.max(1) as f64),
            last_import: finished_ms.max(turn.map(|turn| turn.at_ms)).and_then(of_milliseconds),
            last_hit: book
                .files()
                .filter_map(|file| file.newest.get())
                .max()
                .and_then(|s| Timestamp::from_second(s).ok()),
            last_fetched: arrival.last_fetched,
            last_changed: arrival.last_changed,
            last_log: on_disk
                .map(|file| file.stat.modified_ns)
                .max()
                .max(book.newest_log_ns())
                .and_then(of_nanoseconds),
            days_to_invalidate: book.days().len(),
            taken_over: book.tally().takeover.map(TakenOver::of),
            hits_by_day: book.tally().by_day().clone(),
        }
    }
}

/// Whether something may be left of a file, by the folder listing and the ledger alone.
pub fn waits(book: &Book, file: &LogFile) -> bool {
    let given_up = |id| book.file(id).is_some_and(|entry| matches!(entry.state, FileState::Quarantined(_)));
    file.stat.size > 0 && book.recognise(file).is_none_or(|(id, done)| !done && !given_up(id))
}

/// Bytes behind the checkpoint are left out where they can be told: not in a compressed file.
fn bytes_left(book: &Book, file: &LogFile) -> u64 {
    let known = book.recognise(file).and_then(|(id, _)| book.file(id));
    let checkpoint = known.map_or(0, |entry| entry.checkpoint);
    if checkpoint < file.stat.size { file.stat.size - checkpoint } else { file.stat.size }
}

impl Quarantined {
    fn of(file: &Content) -> Option<Self> {
        match &file.state {
            FileState::Quarantined(why) => Some(Self { file: file.path.to_string(), why: why.to_string() }),
            _ => None,
        }
    }
}

impl Failing {
    fn of(file: &Content) -> Option<Self> {
        let failing = file.state == FileState::Waiting && file.failures > 0;
        failing.then(|| Self { file: file.path.to_string(), attempts: file.failures })
    }
}

impl TakenOver {
    fn of(takeover: TakeOver) -> Self {
        let TakeOver { at_ms, imported, given_up } = takeover;
        Self { at: of_milliseconds(at_ms), imported, given_up }
    }
}

/// A moment of the file system; one that is no date of a calendar is none.
fn of_nanoseconds(ns: i64) -> Option<Timestamp> {
    Timestamp::from_second(ns.div_euclid(1_000_000_000)).ok()
}

fn of_milliseconds(ms: i64) -> Option<Timestamp> {
    Timestamp::from_second(ms.div_euclid(1000)).ok()
}
