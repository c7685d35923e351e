//! Finds out which content every file of a site holds, and which of them have something left to import.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tracing::{info, warn};

use super::open::{Reading, begins_as, is_left_alone};
use super::pending_lines::PendingLines;
use super::site::now_ms;
use crate::discover::{Beginnings, Head, Identity, LogFile, Looking, identify};
use crate::file::{GiveUp, Proof, ReadError, Source, Stat};
use crate::id::FileId;
use crate::ledger::{Content, FileState, Finish, Lease, LedgerError, path_text};

/// What a look at the files of a site found.
#[derive(Debug, Default)]
pub struct Recognised {
    /// Files of which something may be left to import: their contents, and their places in the listing.
    pub waiting: Vec<(FileId, usize)>,
    /// Files of which not even the first bytes can be read.
    pub unreadable: Vec<(PathBuf, ReadError)>,
    /// Files given up in this look: perhaps copies, perhaps changed in place.
    pub quarantined: u64,
    /// Files that may hold the same as one that waits, or as one that nobody can be shown now: they are looked at again once
    /// more is known.
    pub deferred: usize,
    /// Archives that may not be complete yet.
    pub resting: usize,
}

impl Recognised {
    fn note(&mut self, lease: &Lease, (index, file): (usize, &LogFile), looked: Looked) {
        match looked {
            Looked::Waits(id) => {
                let is_open = |content: &Content| !matches!(content.state, FileState::Quarantined(_));
                if lease.book().file(id).is_some_and(is_open) {
                    self.waiting.push((id, index));
                }
            }
            Looked::Nothing => {}
            Looked::Deferred => self.deferred += 1,
            Looked::Resting => self.resting += 1,
            Looked::Quarantined => self.quarantined += 1,
            Looked::Unreadable(error) => self.unreadable.push((file.path.to_path_buf(), error)),
        }
    }
}

impl Recognised {
    /// Of files that begin alike and of which nothing is booked yet, only those are left that begin with none of the others:
    /// what they hold is known once it is booked, and tells which of the others are copies.
    fn hold_back_twins(&mut self, lease: &Lease, files: &[LogFile]) {
        let first_line =
            |id| lease.book().file(id).filter(|content| !content.is_booked()).map(|content| content.line_key);
        let mut alike: Vec<(u64, usize)> =
            self.waiting.iter().filter_map(|(id, index)| Some((first_line(*id)?, *index))).collect();
        alike.sort_unstable();
        let mut held_back = BTreeSet::new();
        for alike in alike.chunk_by(|one, next| one.0 == next.0).filter(|alike| alike.len() > 1) {
            let mut read = |index: usize| match Source::open(&files[index].path).and_then(|source| Head::read(&source))
            {
                Ok(head) => Some(head),
                // What cannot be compared is not imported now: it may be a copy.
                Err(error) => {
                    held_back.insert(index);
                    self.unreadable.extend((!error.is_gone()).then(|| (files[index].path.to_path_buf(), error)));
                    None
                }
            };
            let lengths = alike.iter().filter_map(|(_, index)| Some((read(*index)?.len(), *index)));
            // What is empty was truncated since; whoever opens it for import sees that.
            let mut by_length: Vec<(usize, usize)> = lengths.filter(|(length, _)| *length > 0).collect();
            by_length.sort_unstable();
            let mut beginnings = Beginnings::default();
            // Read once more, as all of them would fill the memory.
            let begins_alike = |index: &usize| read(*index).is_some_and(|head| beginnings.holds_one_of(&head));
            let copies: Vec<usize> = by_length.into_iter().map(|(_, index)| index).filter(begins_alike).collect();
            self.deferred += copies.len();
            held_back.extend(copies);
        }
        self.waiting.retain(|(_, index)| !held_back.contains(index));
    }
}

/// How to look.
pub struct Recognise<'r> {
    /// How lines are read, where a file seems to be changed in place.
    pub reading: &'r Reading,
    /// Whether files that nothing tells from a known one are left for later, when others may show it.
    pub defers: bool,
    /// How late it is, by Matomo's clock where that is known.
    pub now: Timestamp,
    /// Whether to give up.
    pub give_up: GiveUp<'r>,
}

/// What became of one file.
enum Looked {
    Waits(FileId),
    Nothing,
    Deferred,
    Resting,
    Quarantined,
    Unreadable(ReadError),
}

impl Recognise<'_> {
    /// Files of which something may be left to import; of known ones not a byte is read. The listing tells of those that were
    /// looked at as they were then. Not all of them, if that took longer than somebody would wait.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn files(&self, lease: &mut Lease, files: &mut [LogFile]) -> Result<Recognised, LedgerError> {
        let mut found = Recognised::default();
        let mut unknown = Vec::new();
        for (index, file) in files.iter().enumerate() {
            match lease.book().recognise(file) {
                Some((_, true)) => {}
                Some((id, false)) if !is_behind(lease, id, file) && !may_be_known(lease, id) => {
                    found.note(lease, (index, file), Looked::Waits(id));
                }
                _ => unknown.push(index),
            }
        }
        // What was only renamed goes first, so that the next log of its old name can be compared with it.
        let inodes = Inodes::default();
        unknown.sort_by_key(|index| inodes.of(lease, &files[*index].stat).is_none());
        for index in unknown {
            if (self.give_up)() {
                break;
            }
            let looked = self.look(lease, &mut files[index], &inodes)?;
            found.note(lease, (index, &files[index]), looked);
        }
        found.hold_back_twins(lease, files);
        Ok(found)
    }

    fn look(&self, lease: &mut Lease, file: &mut LogFile, inodes: &Inodes) -> Result<Looked, LedgerError> {
        match self.look_inside(lease, file, inodes) {
            Ok(looked) => looked,
            Err(error) if error.is_gone() => Ok(Looked::Nothing),
            Err(ReadError::GivenUp { .. }) => Ok(Looked::Nothing),
            Err(error) => Ok(Looked::Unreadable(error)),
        }
    }

    fn look_inside(
        &self,
        lease: &mut Lease,
        file: &mut LogFile,
        inodes: &Inodes,
    ) -> Result<Result<Looked, LedgerError>, ReadError> {
        let source = Source::open(&file.path)?;
        if file.is_young && source.is_packed() {
            return Ok(Ok(Looked::Resting));
        }
        let head = Head::read(&source)?;
        if head.is_empty() {
            return Ok(Ok(Looked::Nothing));
        }
        // What is written down, and held against what is opened for import, is what was opened here, not what was listed.
        file.stat = source.stat();
        let file = &*file;
        let before = lease.book().sighting(&path_text(file)).map(|sighting| sighting.file);
        let same = inodes.of(lease, &file.stat);
        if let Some(id) = same.filter(|_| !source.is_packed())
            && is_grown(lease, id, &source, &head)?
            && !is_outgrown(lease, id, &head)
        {
            return Ok(lease.see(Some(id), file, &head).map(Looked::Waits));
        }
        let candidates = lease.book().candidates(&head, before);
        let holder = |id| holder(lease, id, &source, self.give_up);
        let looking = Looking { source: &source, head: &head, before, holder: &holder, give_up: self.give_up };
        let identity = identify(&looking, candidates)?;
        Ok(match identity {
            Identity::Known(id) => see_again(lease, id, file, &head),
            Identity::Copy(of, proof) => note_copy(lease, file, &head, of, proof).map(|()| Looked::Nothing),
            // Its first line will tell, once it is complete. The wait ends after a day without a write.
            Identity::Unsure(_) if head.is_half_a_line() && !is_left_alone(&file.stat, self.now) => Ok(Looked::Nothing),
            // Files that are looked at after it may show it.
            Identity::Unsure(_) if self.defers => Ok(Looked::Deferred),
            Identity::Unsure(of) => {
                let known = lease.book().file(of).map_or_else(String::new, |content| content.path.to_string());
                let why = format!(
                    "it begins like a log that was imported before ({known}) and is shorter, and that one is not there to compare \
                     them: `retry` imports it as a log of its own"
                );
                set_aside(lease, file, &head, &why).map(|()| Looked::Quarantined)
            }
            Identity::New => match same.filter(|id| is_still_unbooked(lease, *id, &source)) {
                Some(id) => see_again(lease, id, file, &head),
                None => self.take_new(lease, file, &source, &head, before),
            },
        })
    }

    /// A content that is not known. Where its path held one that was imported, it may be the same log with other bytes.
    fn take_new(
        &self,
        lease: &mut Lease,
        file: &LogFile,
        source: &Source,
        head: &Head,
        before: Option<FileId>,
    ) -> Result<Looked, LedgerError> {
        let before = before.and_then(|id| lease.book().file(id));
        if let Some(content) = before
            && self.is_changed_in_place(content, source)
        {
            let why = "its bytes were changed after it was imported, but it has as many lines and the same dates (were addresses \
                       masked?): it is not counted again; `retry` imports it anew";
            set_aside(lease, file, head, why)?;
            return Ok(Looked::Quarantined);
        }
        // What was seen at this path and never booked needs no number of its own.
        let reused = before
            .filter(|content| !content.is_booked() && *content.path == *path_text(file))
            .map(|content| content.id);
        lease.see(reused, file, head).map(Looked::Waits)
    }

    fn is_changed_in_place(&self, content: &Content, source: &Source) -> bool {
        let (Some(begins), Some(newest)) = (content.begins.get(), content.newest.get()) else { return false };
        if content.lines == 0 || content.state == FileState::Waiting {
            return false;
        }
        // Most files at a known path are the next log, which begins later.
        let glance = self.reading.glance(source, &PendingLines::all()).ok();
        if glance.and_then(|glance| glance.begins).map(|moment| moment.seconds) != Some(begins) {
            return false;
        }
        let outline = self.reading.outline(source, newest).ok();
        outline.is_some_and(|outline| outline.has_date && outline.lines.abs_diff(content.lines) * 50 <= content.lines)
    }
}

/// Which content each inode was seen to hold; made when the first file comes that is not known by its path.
#[derive(Default)]
struct Inodes(OnceCell<HashMap<(u64, u64), FileId>>);

impl Inodes {
    fn of(&self, lease: &Lease, stat: &Stat) -> Option<FileId> {
        let known = self.0.get_or_init(|| lease.book().by_inode().collect());
        known.get(&(stat.device, stat.inode)).copied()
    }
}

/// Whether the file that held a content still holds it, at its head and at the end of what was proven: nobody rewrites the
/// middle of a log in place and keeps both.
fn is_grown(lease: &Lease, id: FileId, source: &Source, head: &Head) -> Result<bool, ReadError> {
    let Some(content) = lease.book().file(id) else { return Ok(false) };
    Ok(content.proof.at > 0
        && head.agrees_with(&content.milestones)
        && !content.is_believed
        && source.stat().size >= content.proof.at
        && source.ends_as(&content.proof)?)
}

/// Whether a file is shorter than what is settled of its content: an older copy, of which nothing was settled when it was seen.
fn is_behind(lease: &Lease, id: FileId, file: &LogFile) -> bool {
    lease.book().file(id).is_some_and(|content| content.resume() > file.stat.size)
}

/// Whether a content of which nothing was booked begins like one of which something was: it may be a copy of that, noted just
/// before a crash, or the other way round.
fn may_be_known(lease: &Lease, id: FileId) -> bool {
    let content = lease.book().file(id).filter(|content| !content.is_booked());
    content.is_some_and(|content| lease.book().booked_like(content).next().is_some())
}

/// Whether more is known of another content that begins alike: then the file may be a copy of it that was not complete.
fn is_outgrown(lease: &Lease, id: FileId, head: &Head) -> bool {
    let own = lease.book().file(id).map_or(0, |content| content.proof.at);
    lease.book().candidates(head, None).iter().any(|known| known.id != id && known.proof.at > own)
}

/// Opens a file that still holds a content as it was proven, or a longer one: another one than `source`. A copy that was noted
/// is held by the file of what it is a copy of, too.
fn holder(lease: &Lease, id: FileId, source: &Source, give_up: GiveUp<'_>) -> Option<Source> {
    let content = lease.book().file(id)?;
    let held = |of: &Content| {
        let paths = lease.book().paths_of(of.id, source.path());
        paths.into_iter().find_map(|(path, stat)| still_holds(Path::new(path), &stat, of))
    };
    let begins_so = |other: &Source| other.begins_with(&content.proof, give_up).unwrap_or(false);
    held(content).or_else(|| lease.book().booked_like(content).filter_map(held).find(begins_so))
}

fn still_holds(path: &Path, stat: &Stat, content: &Content) -> Option<Source> {
    let source = Source::open(path).ok()?;
    let now = source.stat();
    // An older copy may be seen to hold it and be shorter than what was imported since.
    let is_whole = source.is_packed() || now.size >= content.proof.at;
    let is_unchanged = now == *stat && is_whole;
    let has_grown = || {
        let is_same = !source.is_packed() && now.is_same_file(stat) && is_whole && content.proof.at > 0;
        is_same && source.ends_as(&content.proof).unwrap_or(false)
    };
    (is_unchanged || has_grown()).then_some(source)
}

/// Whether a file still holds what it was seen to hold, of which nothing was booked yet.
fn is_still_unbooked(lease: &Lease, id: FileId, source: &Source) -> bool {
    let content = lease.book().file(id).filter(|content| !content.is_booked());
    content.is_some_and(|content| begins_as(source, content).unwrap_or(false))
}

/// A file that holds a known content, noted unless it is known to hold it.
fn see_again(lease: &mut Lease, id: FileId, file: &LogFile, head: &Head) -> Result<Looked, LedgerError> {
    if lease.book().recognise(file) != Some((id, false)) {
        lease.see(Some(id), file, head)?;
    }
    Ok(Looked::Waits(id))
}

/// Notes an older copy: nothing of it is to be sent. It gets a number of its own, as it may grow otherwise.
fn note_copy(lease: &mut Lease, file: &LogFile, head: &Head, of: FileId, proof: Proof) -> Result<(), LedgerError> {
    let known = lease.book().file(of).map(|content| content.path.to_string());
    info!(site = %lease.book().site(), file = %file.path.display(), of = known, "File is an older copy of an imported log");
    let id = lease.see(None, file, head)?;
    let finish = Finish { proof: Some(proof), ..Finish::at(path_text(file).into_owned(), proof.at, now_ms()) };
    lease.finish(id, finish)
}

fn set_aside(lease: &mut Lease, file: &LogFile, head: &Head, why: &str) -> Result<(), LedgerError> {
    warn!(site = %lease.book().site(), file = %file.path.display(), why, "IMPORT_LOG_ERROR File is set aside");
    let known = lease.book().sighting(&path_text(file)).map(|sighting| sighting.file);
    let known = known.filter(|id| lease.book().file(*id).is_some_and(|content| !content.is_booked()));
    let id = lease.see(known, file, head)?;
    lease.fail(id, why, 1, now_ms()).map(drop)
}
