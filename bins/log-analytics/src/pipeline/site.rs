//! Imports one site: its files, merged by time, each line once.

use std::collections::HashSet;
use std::path::PathBuf;
use std::rc::Rc;

use jiff::Timestamp;
use shared::entry::Exit;
use tracing::{error, info, warn};

use super::merge::{Due, Merge};
use super::open::{OpenError, Reading};
use super::pending_lines::PendingLines;
use super::recognise::{Recognise, Recognised};
use super::recovery;
use super::sender::{Delivered, Shape, Stop};
use super::time_slice::TimeSlice;
use crate::discover::LogFile;
use crate::file::{ReadError, Source};
use crate::hit::HitOptions;
use crate::id::FileId;
use crate::ledger::{Content, Lease, path_text};
use crate::matomo::{Delivery, Sink, SiteFacts, sentence};
use crate::summary::Counts;
use crate::trouble;

/// What a site's import needs to know.
pub struct SiteImport<'a, S> {
    /// The way to Matomo.
    pub delivery: Rc<Delivery<S>>,
    /// How batches are made.
    pub shape: Shape,
    /// How files are read.
    pub reading: &'a Reading,
    /// What becomes a hit.
    pub hits: &'a HitOptions,
    /// The site as Matomo knows it.
    pub facts: &'a SiteFacts,
    /// Attempts at a file before it is quarantined.
    pub attempts_max: u32,
    /// How late it is, by Matomo's clock where that is known.
    pub now: Timestamp,
    /// All of the site's folder could be listed, so what is not among the files is not there.
    pub is_all: bool,
}

/// What the import of a site came to.
#[derive(Debug, Default)]
pub struct SiteReport {
    /// Files read to their end.
    pub files: u64,
    /// Files that could not be read, to be tried again, and the exit code that says so.
    pub failed: Vec<Exit>,
    /// Files given up in this pass.
    pub quarantined: u64,
    /// Files that went away before all of them was read.
    pub vanished: u64,
    /// Files that wait for the date of one of their lines.
    pub future_files: u64,
    /// Archives that may not be complete yet.
    pub resting: u64,
    /// What their lines were.
    pub counts: Counts,
    /// What became of the hits.
    pub delivered: Delivered,
    /// Why it ended early.
    pub stop: Option<Stop>,
}

impl<S: Sink + 'static> SiteImport<'_, S> {
    /// Imports what is left of these files, as far as the time slice goes.
    pub async fn run(&self, lease: &mut Lease, files: &mut [LogFile], slice: &mut TimeSlice) -> SiteReport {
        let mut report = SiteReport::default();
        if let Err(stop) = self.import(lease, files, slice, &mut report).await {
            report.stop = Some(stop);
        }
        report
    }

    async fn import(
        &self,
        lease: &mut Lease,
        files: &mut [LogFile],
        slice: &mut TimeSlice,
        report: &mut SiteReport,
    ) -> Result<(), Stop> {
        recovery::settle_doubts(lease, &self.delivery).await?;
        recovery::bring_up_to_date(lease, &self.delivery).await?;
        while let Some(round) = self.next_round(lease, files, slice, report)? {
            let tried: Vec<usize> = round.iter().map(|(_, index)| *index).collect();
            let due = self.glance(lease, round, files, slice, report)?;
            match Merge::new(self, lease, slice, files).run(due, lease, report).await {
                // A part of a batch is to be sent again, or a file to be looked at again.
                Err(Stop::Again) => {}
                Err(stop) => return Err(stop),
                Ok(()) => tried.into_iter().for_each(|index| slice.done_with(&files[index], lease.book())),
            }
        }
        self.note_vanished(lease, files, report)
    }

    /// The files of which something is left to import, each content once; `None` if there are none.
    fn next_round(
        &self,
        lease: &mut Lease,
        files: &mut [LogFile],
        slice: &mut TimeSlice,
        report: &mut SiteReport,
    ) -> Result<Option<Vec<(FileId, usize)>>, Stop> {
        for defers in [true, false] {
            let give_up = || self.asked();
            let recognise = Recognise { reading: self.reading, defers, now: self.now, give_up: &give_up };
            let Recognised { waiting, unreadable, quarantined, deferred, resting } = recognise.files(lease, files)?;
            if self.asked() {
                return Err(Stop::Asked);
            }
            report.quarantined += quarantined;
            report.resting = resting as u64;
            self.report_unreadable(lease, unreadable, slice, report);
            // Two files of the same content, or one and its rotated copy, are read one after the other.
            let mut ids = HashSet::new();
            let mut round = waiting;
            round.retain(|(id, index)| slice.wants(&files[*index].path) && ids.insert(*id));
            if !round.is_empty() {
                return Ok(Some(round));
            }
            if deferred == 0 {
                break;
            }
        }
        Ok(None)
    }

    /// Whether there is a shutdown request.
    pub(super) fn asked(&self) -> bool {
        self.delivery.shutdown.requested()
    }

    /// Nothing is known about such files, so nothing can be counted: they are tried again in every pass.
    fn report_unreadable(
        &self,
        lease: &Lease,
        files: Vec<(PathBuf, ReadError)>,
        slice: &mut TimeSlice,
        report: &mut SiteReport,
    ) {
        for (path, error) in files.into_iter().filter(|(path, _)| slice.wants(path)).collect::<Vec<_>>() {
            let (exit, help) = trouble::of_file(&error);
            error!(site = %lease.book().site(), file = %path.display(), why = sentence(&error), help,
                "IMPORT_LOG_ERROR File cannot be read");
            report.failed.push(exit);
            slice.give_up(path.into());
        }
    }

    /// Looks at the beginning of every file, so that they can be put in order.
    fn glance(
        &self,
        lease: &mut Lease,
        round: Vec<(FileId, usize)>,
        files: &[LogFile],
        slice: &mut TimeSlice,
        report: &mut SiteReport,
    ) -> Result<Vec<Due>, Stop> {
        let mut due = Vec::new();
        for (id, index) in round {
            let file = &files[index];
            if self.asked() {
                return Err(Stop::Asked);
            }
            let lines = PendingLines::of(lease.book(), id);
            let source = Source::open(&file.path).map_err(OpenError::from);
            match source.and_then(|source| self.reading.glance(&source, &lines)) {
                Ok(glance) => due.push(Due { begins: glance.begins, index, id }),
                Err(error) => {
                    slice.give_up(file.path.clone());
                    self.fail(lease, id, &error, report)?;
                }
            }
        }
        due.sort_unstable();
        Ok(due)
    }

    /// Says what is wrong with a file. An attempt is counted only where the file itself is at fault.
    pub(super) fn fail(
        &self,
        lease: &mut Lease,
        id: FileId,
        error: &OpenError,
        report: &mut SiteReport,
    ) -> Result<(), Stop> {
        let (site, why) = (lease.book().site(), sentence(error));
        match error {
            OpenError::Read(ReadError::GivenUp { .. }) => return Err(Stop::Asked),
            OpenError::Read(error) if error.is_gone() => {
                info!(%site, why, "File went away before it was read");
                return Ok(());
            }
            OpenError::Read(error) if error.is_of_surroundings() => {
                let (exit, help) = trouble::of_file(error);
                error!(%site, why, help, "IMPORT_LOG_ERROR File cannot be read now, trying again next time");
                report.failed.push(exit);
                return Ok(());
            }
            _ => {}
        }
        // Looking again will not make another format of it.
        let attempts_max = if matches!(error, OpenError::Read(_)) { self.attempts_max } else { 1 };
        if lease.fail(id, &why, attempts_max, now_ms())? {
            report.quarantined += 1;
            let help = match error {
                OpenError::UnknownFormat { .. } => {
                    "name the format with --log-format-name or --log-format in MATOMO_IMPORT_OPTIONS, then run `log-analytics retry`"
                }
                _ => "repair or remove the file, then run `log-analytics retry`",
            };
            error!(%site, why, help, "IMPORT_LOG_ERROR File is quarantined");
        } else {
            report.failed.push(Exit::TryAgain);
            warn!(%site, why, "IMPORT_LOG_ERROR File cannot be imported now, trying again next time");
        }
        Ok(())
    }

    /// Notes files of which a part was imported and that no file holds any more.
    fn note_vanished(&self, lease: &mut Lease, files: &[LogFile], report: &mut SiteReport) -> Result<(), Stop> {
        if !self.is_all {
            return Ok(());
        }
        let book = lease.book();
        let begun: Vec<&Content> = book.files().filter(|content| content.is_begun()).collect();
        if begun.is_empty() {
            return Ok(());
        }
        let here: HashSet<_> = files.iter().map(path_text).collect();
        let is_gone = |id| book.holders(id).all(|path| !here.contains(path));
        let gone: Vec<FileId> = begun.iter().map(|content| content.id).filter(|id| is_gone(*id)).collect();
        for id in gone {
            let Some(content) = lease.book().file(id) else { continue };
            let bytes = lease.book().bytes_left(id);
            warn!(site = %lease.book().site(), file = %content.path, bytes,
                "IMPORT_LOG_ERROR_CHECK A file went away before all of it was imported: what was left of it is lost unless it comes back");
            lease.vanished(id, bytes)?;
            report.vanished += 1;
        }
        Ok(())
    }
}

/// The same in milliseconds, for the ledger.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use shared::shutdown::Shutdown;

    use super::*;
    use crate::discover::{Head, Names, SiteId, discover};
    use crate::file::TextEncoding;
    use crate::format::FormatOptions;
    use crate::ledger::{Finish, Ledger};

    /// Wishes to give up from this many-th time on that it is asked.
    fn patient_for(asked: u32) -> impl Fn() -> bool {
        let left = Cell::new(asked);
        move || left.replace(left.get().saturating_sub(1)) == 0
    }

    fn any_format() -> Reading {
        let (format, shutdown) = (FormatOptions::default(), Shutdown::never());
        Reading { format, encoding: TextEncoding::Utf8, zone: None, shutdown }
    }

    #[test]
    fn a_look_at_many_files_is_given_up_halfway_and_goes_on_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, site) = (folder.path().join("logs"), SiteId(4));
        fs::create_dir_all(logs.join("4")).unwrap();
        for number in 0..5 {
            fs::write(logs.join("4").join(format!("{number}.log")), format!("line {number}\n")).unwrap();
        }
        let names = Names::parse("*").unwrap();
        let listed = |asked| {
            let found = discover(&logs, &names, SystemTime::now(), Duration::ZERO, &patient_for(asked)).unwrap();
            found.files[&site].clone()
        };
        assert_eq!(listed(0), []);
        // The folder itself is asked for too.
        assert_eq!(listed(3).len(), 2);
        let mut all = listed(100);
        let mut lease = Ledger::open(&folder.path().join("ledger")).unwrap().claim(site).unwrap().unwrap();
        let reading = any_format();
        let mut waiting = |asked| {
            let give_up = patient_for(asked);
            let recognise = Recognise { reading: &reading, defers: true, now: Timestamp::now(), give_up: &give_up };
            recognise.files(&mut lease, &mut all).unwrap().waiting.len()
        };
        assert_eq!([0, 2, 0, 100].map(&mut waiting), [0, 2, 2, 5], "what was seen once is not asked for");
        assert_eq!(lease.book().files().count(), 5);
    }

    #[test]
    fn of_two_copies_that_were_seen_and_never_booked_one_waits_for_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut files: Vec<LogFile> =
            [("a.log", "one\ntwo\n"), ("b.log", "one\ntwo\nthree\n"), ("c.log", "one\nother\n")]
                .map(|(name, text)| {
                    fs::write(folder.path().join(name), text).unwrap();
                    LogFile::at(folder.path().join(name)).unwrap()
                })
                .into();
        let mut lease = Ledger::open(&folder.path().join("ledger")).unwrap().claim(SiteId(4)).unwrap().unwrap();
        // As when the name of one was another file's for a moment, between two looks.
        for file in &files {
            let head = Head::read(&Source::open(&file.path).unwrap()).unwrap();
            lease.see(None, file, &head).unwrap();
        }
        let reading = any_format();
        let recognise = Recognise { reading: &reading, defers: false, now: Timestamp::now(), give_up: &|| false };
        let found = recognise.files(&mut lease, &mut files).unwrap();
        let places: Vec<usize> = found.waiting.iter().map(|(_, index)| *index).collect();
        assert_eq!(places, [0, 2]);
        assert_eq!(found.deferred, 1);
    }

    /// Notes all of a file as imported, or as a copy of what was.
    fn booked(lease: &mut Lease, path: &Path) {
        let (file, source) = (LogFile::at(path.to_owned()).unwrap(), Source::open(path).unwrap());
        let proof = source.prove(&|| false, |_| Some(u64::MAX)).unwrap();
        let id = lease.see(None, &file, &Head::read(&source).unwrap()).unwrap();
        let end = Finish { proof: Some(proof), ..Finish::at(path_text(&file).into_owned(), proof.at, 0) };
        lease.finish(id, end).unwrap();
    }

    #[test]
    fn a_file_that_changed_since_it_was_listed_waits_whatever_is_known_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        fs::write(&path, "one\ntwo\n").unwrap();
        let mut lease = Ledger::open(&folder.path().join("ledger")).unwrap().claim(SiteId(4)).unwrap().unwrap();
        booked(&mut lease, &path);
        let mut file = LogFile::at(path).unwrap();
        assert!(!crate::report::waits(lease.book(), &file));
        file.mark_outdated();
        assert!(crate::report::waits(lease.book(), &file), "as in `status`, which lists it anew");
    }

    #[test]
    fn a_line_without_an_end_is_a_log_of_its_own_where_any_file_shows_what_its_path_held() {
        let folder = tempfile::tempdir().unwrap();
        let [log, rotated] = ["access.log", "access.log.1"].map(|name| folder.path().join(name));
        let mut lease = Ledger::open(&folder.path().join("ledger")).unwrap().claim(SiteId(4)).unwrap().unwrap();
        fs::write(&rotated, "one\ntwo\nthree\n").unwrap();
        fs::write(&log, "one\ntwo\n").unwrap();
        booked(&mut lease, &rotated);
        booked(&mut lease, &log);
        let looked = |lease: &mut Lease| {
            let reading = any_format();
            let days_later = Timestamp::now() + jiff::SignedDuration::from_hours(50);
            let recognise = Recognise { reading: &reading, defers: false, now: days_later, give_up: &|| false };
            let mut files = vec![LogFile::at(log.clone()).unwrap()];
            let found = recognise.files(lease, &mut files).unwrap();
            (found.waiting.len(), found.quarantined)
        };
        fs::write(&log, "four").unwrap();
        assert_eq!(looked(&mut lease), (1, 0));
        fs::remove_file(&rotated).unwrap();
        fs::write(&log, "one\ntwo\n").unwrap();
        booked(&mut lease, &log);
        fs::write(&log, "five").unwrap();
        assert_eq!(looked(&mut lease), (0, 1), "nothing shows that it is no piece of the log before");
    }
}
