//! One content as the ledger knows it, and the files that were seen to hold it.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::offsets::Offsets;
use super::record::{FileId, Record, Seen, Totals};
use super::spans::Spans;
use crate::discover::{Known, LogFile};
use crate::file::{Proof, Stat};

/// One content, whatever the files are called that hold it.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its number.
    pub id: FileId,
    /// Where it was last seen.
    pub path: Arc<str>,
    /// What it is searched by.
    pub line_key: u64,
    /// What it is searched by.
    pub milestones: Box<[u64]>,
    /// What is proven of it; the proof of no byte before something was booked.
    pub proof: Proof,
    /// Known from version 1, whose checkpoints go further than what was proven.
    pub is_believed: bool,
    /// Every line before this offset is settled, but for `again`.
    pub checkpoint: u64,
    /// Lines that are to be sent (again), wherever they stand.
    pub again: Spans,
    /// Lines that cannot be read.
    pub unreadable: Spans,
    /// How many they are.
    pub unreadable_lines: u64,
    /// The line that ends at the checkpoint had no terminator.
    pub cut: bool,
    /// Where it stands.
    pub state: FileState,
    /// It went away before all of it was read.
    pub vanished: bool,
    /// Attempts that failed through the file's own fault, since it last changed.
    pub failures: u32,
    /// Lines read so far.
    pub lines: u64,
    /// Hits that arrived.
    pub hits: u64,
    /// When it was last read to its end, milliseconds since 1970.
    pub finished_ms: i64,
    /// Date of its first line.
    pub begins: When,
    /// Date of its newest hit.
    pub newest: When,
}

/// Seconds since 1970, or unknown, in eight bytes: the ledger holds two of these for every known file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct When(i64);

impl When {
    /// No date was seen yet.
    pub const UNKNOWN: Self = Self(i64::MIN);

    /// The seconds.
    pub fn get(self) -> Option<i64> {
        (self != Self::UNKNOWN).then_some(self.0)
    }

    /// This, or the other one where this is unknown.
    pub fn or(self, other: Self) -> Self {
        if self == Self::UNKNOWN { other } else { self }
    }
}

impl From<Option<i64>> for When {
    fn from(seconds: Option<i64>) -> Self {
        seconds.map_or(Self::UNKNOWN, Self)
    }
}

/// Where a content stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// There is, or may be, something to import.
    Waiting,
    /// Read to its end.
    Finished,
    /// Given up; waits for a person.
    Quarantined(Box<str>),
}

/// A file at a path, as it looked when it was last looked at.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// What it holds.
    pub file: FileId,
    /// What the file system said.
    pub stat: Stat,
    /// Nothing is left to do about it.
    pub done: bool,
}

/// A path, and what was seen there.
pub type Sighted<'b> = (&'b str, &'b Sighting);

impl Sighting {
    /// Whether the file is as it was. Version 1 kept neither inode nor the date that nobody can set.
    pub fn is_of(&self, stat: &Stat) -> bool {
        let is_old = self.stat.inode == 0 && self.stat.changed_ns == 0;
        if is_old {
            return (self.stat.size, self.stat.modified_ns) == (stat.size, stat.modified_ns);
        }
        self.stat == *stat
    }
}

impl Content {
    pub(super) fn new(id: FileId, path: Arc<str>) -> Self {
        Self {
            id,
            path,
            line_key: 0,
            milestones: Box::default(),
            proof: Proof::default(),
            is_believed: false,
            checkpoint: 0,
            again: Spans::none(),
            unreadable: Spans::none(),
            unreadable_lines: 0,
            cut: false,
            state: FileState::Waiting,
            vanished: false,
            failures: 0,
            lines: 0,
            hits: 0,
            finished_ms: 0,
            begins: When::UNKNOWN,
            newest: When::UNKNOWN,
        }
    }

    /// Where reading goes on: never behind what was proven.
    pub fn resume(&self) -> u64 {
        if self.is_believed { self.checkpoint } else { self.checkpoint.min(self.proof.at) }
    }

    /// Whether a part of it was imported and the rest is to come, as far as the ledger knows.
    pub fn is_begun(&self) -> bool {
        self.state == FileState::Waiting && !self.vanished && (self.checkpoint > 0 || self.hits > 0)
    }

    /// Whether something of it was booked, so that it must be known again.
    pub fn is_booked(&self) -> bool {
        self.proof.at > 0 || self.is_believed
    }

    /// What a file is compared with; nothing before something was booked.
    pub fn known(&self, has_same_line: bool) -> Option<Known> {
        let Self { id, proof, .. } = *self;
        (proof.at > 0).then(|| Known { id, proof, milestones: self.milestones.clone(), has_same_line })
    }

    /// A proof reaches as far as this one or further.
    pub(super) fn proven(&mut self, proof: Option<Proof>) {
        let Some(proof) = proof.filter(|proof| self.proof.at <= proof.at) else { return };
        self.proof = proof;
        self.is_believed &= proof.at < self.checkpoint;
    }

    /// What a reading amounted to.
    pub(super) fn counted(&mut self, totals: &Totals) {
        self.lines = self.lines.saturating_add(totals.lines);
        if !totals.unreadable.is_empty() {
            self.unreadable.join(&totals.unreadable);
            self.unreadable_lines = self.unreadable_lines.saturating_add(totals.invalid);
        }
    }

    pub(super) fn seen(&mut self, seen: &Seen, path: Arc<str>) {
        // A changed file deserves new attempts, a quarantined one too: somebody may have repaired it.
        (self.state, self.failures, self.vanished) = (FileState::Waiting, 0, false);
        self.path = path;
        if seen.line_key != 0 {
            self.line_key = seen.line_key;
            self.milestones.clone_from(&seen.milestones);
        }
        let Some(print) = seen.print else { return };
        if seen.line_key == 0 {
            self.line_key = print.first_line;
        }
        let proof = print.proof();
        if self.proof.at < proof.at {
            (self.proof, self.is_believed) = (proof, true);
        }
    }

    /// Takes over how it stood when the journal was rewritten.
    pub(super) fn keep(&mut self, record: &Record) {
        let Record::Kept { finished, again, unreadable, unreadable_lines, proof, believed, .. } = record else {
            return;
        };
        let Record::Kept { cut, hits, lines, at_ms, newest, begins, vanished, .. } = record else { return };
        (self.cut, self.hits, self.lines, self.finished_ms) = (*cut, *hits, *lines, *at_ms);
        (self.newest, self.begins, self.vanished) = ((*newest).into(), (*begins).into(), *vanished);
        (self.again, self.unreadable, self.unreadable_lines) = (again.clone(), unreadable.clone(), *unreadable_lines);
        if let Some(proof) = proof {
            (self.proof, self.is_believed) = (*proof, *believed);
        }
        if *finished {
            self.state = FileState::Finished;
        }
    }

    /// The records that a rewritten journal begins the content with: where it was seen. The path that names it comes last.
    pub(super) fn sighted(&self, sightings: Vec<Sighted<'_>>) -> Vec<Record> {
        let seen = |path: &str, stat: Stat| {
            Record::Seen(Seen {
                file: self.id,
                path: path.to_owned(),
                size: stat.size,
                modified_ns: stat.modified_ns,
                changed_ns: stat.changed_ns,
                device: stat.device,
                inode: stat.inode,
                line_key: self.line_key,
                milestones: self.milestones.clone(),
                print: None,
            })
        };
        let mut records: Vec<_> = sightings.into_iter().map(|(path, sighting)| seen(path, sighting.stat)).collect();
        if records.is_empty() {
            // Another file took its path; no file can have this size, so nothing will be mistaken for it.
            records.push(seen("", Stat { size: u64::MAX, ..Stat::default() }));
        }
        records.push(Record::Checkpoint { file: self.id, offset: self.checkpoint });
        records
    }

    /// How it stands, after its batches were told.
    pub(super) fn kept(&self, sightings: &[Sighted<'_>]) -> Vec<Record> {
        let done = sightings.iter().filter(|(_, sighting)| sighting.done).map(|(path, _)| (*path).to_owned()).collect();
        let mut records = vec![Record::Kept {
            file: self.id,
            finished: self.state == FileState::Finished,
            cut: self.cut,
            hits: self.hits,
            lines: self.lines,
            holes: Offsets::default(),
            again: self.again.clone(),
            unreadable: self.unreadable.clone(),
            unreadable_lines: self.unreadable_lines,
            done,
            at_ms: self.finished_ms,
            newest: self.newest.get(),
            begins: self.begins.get(),
            proof: Some(self.proof).filter(|proof| proof.at > 0),
            believed: self.is_believed,
            vanished: self.vanished,
        }];
        let failed = || Record::Failed { file: self.id, why: String::new(), at_ms: 0 };
        records.extend((0..self.failures).map(|_| failed()));
        if let FileState::Quarantined(why) = &self.state {
            records.push(Record::Quarantined { file: self.id, why: why.to_string(), at_ms: 0 });
        }
        records
    }
}

/// A path as the journal writes it. A name that is not UTF-8 loses its odd bytes and gets a hash instead, so that two of them
/// are not taken for one.
pub fn path_text(file: &LogFile) -> Cow<'_, str> {
    match file.path.to_str() {
        Some(text) => text.into(),
        None => {
            let hash = xxh3_64(file.path.as_os_str().as_bytes());
            format!("{}#{hash:016x}", file.path.display()).into()
        }
    }
}
