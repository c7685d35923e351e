//! Imports one site: its settled files, merged by time, each line once.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;

use tracing::{error, info, warn};

use super::flow::{Delivered, Shape, Stop};
use super::open::{OpenError, Reading};
use super::recovery;
use super::round::{Round, Work};
use super::turn::Turn;
use super::wanted::Wanted;
use crate::discover::{Head, LogFile, Settled};
use crate::file::{GiveUp, ReadError};
use crate::format::Moment;
use crate::hit::HitOptions;
use crate::ledger::{FileId, FileState, Lease, LedgerError, path_text};
use crate::matomo::{Delivery, Sink, SiteFacts, sentence};
use crate::summary::Counts;

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
}

/// What the import of a site came to.
#[derive(Debug, Default)]
pub struct SiteReport {
    /// Files read to their end.
    pub files: u64,
    /// Files that could not be read, to be tried again.
    pub failed: u64,
    /// Files given up in this pass.
    pub quarantined: u64,
    /// What their lines were.
    pub counts: Counts,
    /// What became of the hits.
    pub delivered: Delivered,
    /// Why it ended early.
    pub stop: Option<Stop>,
}

/// What a look at the files of a site found.
#[derive(Debug, Default)]
pub struct Recognised {
    /// Files of which something may be left to import.
    pub waiting: Vec<(FileId, LogFile)>,
    /// Files of which not even the first bytes can be read.
    pub unreadable: Vec<(PathBuf, ReadError)>,
}

/// Files of which something may be left to import, without reading more than their first bytes. Not all of them, if that
/// took longer than somebody would wait.
///
/// # Errors
/// When the ledger cannot be written.
pub fn recognise(lease: &mut Lease, files: &[Settled], give_up: GiveUp<'_>) -> Result<Recognised, LedgerError> {
    // Wanted only where a file is new.
    let here: LazyCell<HashMap<Cow<'_, str>, (u64, i64)>, _> =
        LazyCell::new(|| files.iter().map(Settled::file).map(place).collect());
    let in_place = |path: &str, size, modified_ns| here.get(path) == Some(&(size, modified_ns));
    let mut found = Recognised::default();
    for file in files.iter().map(Settled::file) {
        let known = lease.book().recognise(file);
        let id = match known {
            Some((_, true)) => continue,
            Some((id, false)) => id,
            None if give_up() => break,
            None => {
                let head = match Head::read(&file.path) {
                    Ok(head) if head.bytes().is_empty() => continue,
                    Ok(head) => head,
                    Err(error) if error.is_gone() => continue,
                    Err(error) => {
                        found.unreadable.push((file.path.clone(), error));
                        continue;
                    }
                };
                let known = lease.book().identify(file, &head, in_place);
                lease.see(known, file, &head)?
            }
        };
        let waits = lease.book().file(id).is_some_and(|entry| !matches!(entry.state, FileState::Quarantined(_)));
        if waits {
            found.waiting.push((id, file.clone()));
        }
    }
    Ok(found)
}

fn place(file: &LogFile) -> (Cow<'_, str>, (u64, i64)) {
    (path_text(file), (file.size, file.modified_ns))
}

impl<S: Sink + 'static> SiteImport<'_, S> {
    /// Imports what is left of these files, as far as the turn goes.
    pub async fn run(&self, lease: &mut Lease, files: &[Settled], turn: &mut Turn) -> SiteReport {
        let mut report = SiteReport::default();
        if let Err(stop) = self.import(lease, files, turn, &mut report).await {
            report.stop = Some(stop);
        }
        report
    }

    async fn import(
        &self,
        lease: &mut Lease,
        files: &[Settled],
        turn: &mut Turn,
        report: &mut SiteReport,
    ) -> Result<(), Stop> {
        recovery::settle_doubts(lease, &self.delivery).await?;
        loop {
            // Two files of the same content, or one and its rotated copy, are looked at one after the other.
            let mut ids = HashSet::new();
            let found = recognise(lease, files, &|| self.asked())?;
            if self.asked() {
                return Err(Stop::Asked);
            }
            self.report_unreadable(lease, found.unreadable, turn, report);
            let mut round = found.waiting;
            round.retain(|(id, file)| turn.wants(&file.path) && ids.insert(*id));
            if round.is_empty() {
                return Ok(());
            }
            let tried: Vec<_> = round.iter().map(|(_, file)| file.path.clone()).collect();
            let works = self.glance(lease, round, turn, report)?;
            Round::new(self, lease, turn).run(works, lease, report).await?;
            tried.into_iter().for_each(|path| turn.done_with(path));
        }
    }

    /// Whether there is a wish to stop.
    pub(super) fn asked(&self) -> bool {
        self.delivery.shutdown.requested()
    }

    /// Nothing is known about such files, so nothing can be counted: they are tried again in every pass.
    fn report_unreadable(
        &self,
        lease: &Lease,
        files: Vec<(PathBuf, ReadError)>,
        turn: &mut Turn,
        report: &mut SiteReport,
    ) {
        for (path, error) in files.into_iter().filter(|(path, _)| turn.wants(path)).collect::<Vec<_>>() {
            error!(site = %lease.book().site(), file = %path.display(), why = sentence(&error),
                "IMPORT_LOG_ERROR File cannot be read");
            report.failed += 1;
            turn.done_with(path);
        }
    }

    /// Looks at the beginning of every file, so that they can be put in order.
    fn glance(
        &self,
        lease: &mut Lease,
        files: Vec<(FileId, LogFile)>,
        turn: &mut Turn,
        report: &mut SiteReport,
    ) -> Result<Vec<Work>, Stop> {
        let mut works = Vec::new();
        for (id, file) in files {
            if self.asked() {
                return Err(Stop::Asked);
            }
            let identity = lease.book().file(id).map_or(0, |entry| entry.print.first_line);
            match self.reading.glance(&file.path, &Wanted::of(lease.book(), id)) {
                Ok(glance) => {
                    let format = glance.format.unwrap_or("none");
                    works.push(Work { id, path: file.path, identity, format, begins: glance.begins });
                }
                Err(error) => {
                    turn.done_with(file.path);
                    self.fail(lease, id, &error, report)?;
                }
            }
        }
        works.sort_by(|a, b| (a.begins, &a.path).cmp(&(b.begins, &b.path)));
        Ok(works)
    }

    /// Counts an attempt at a file that failed through the file's own fault.
    pub(super) fn fail(
        &self,
        lease: &mut Lease,
        id: FileId,
        error: &OpenError,
        report: &mut SiteReport,
    ) -> Result<(), Stop> {
        if matches!(error, OpenError::Read(ReadError::GivenUp { .. })) {
            return Err(Stop::Asked);
        }
        let site = lease.book().site();
        let why = sentence(error);
        if matches!(error, OpenError::Read(error) if error.is_gone()) {
            info!(%site, why, "File went away before it was read");
            return Ok(());
        }
        // Looking again will not make another format of it.
        let attempts_max = if matches!(error, OpenError::Read(_)) { self.attempts_max } else { 1 };
        if lease.fail(id, &why, attempts_max, now_ms())? {
            report.quarantined += 1;
            error!(%site, why, "IMPORT_LOG_ERROR File is quarantined; after a repair release it with `log-analytics retry`");
        } else {
            report.failed += 1;
            warn!(%site, why, "IMPORT_LOG_ERROR File cannot be imported now, trying again next time");
        }
        Ok(())
    }
}

/// The present, for judging dates.
pub fn now() -> Moment {
    Moment { seconds: jiff::Timestamp::now().as_second(), micros: 0 }
}

/// The same in milliseconds, for the ledger.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::discover::{Names, SiteId, discover};
    use crate::ledger::Ledger;

    /// Wishes to give up from the so many-th time on that it is asked.
    fn patient_for(asked: u32) -> impl Fn() -> bool {
        let left = Cell::new(asked);
        move || left.replace(left.get().saturating_sub(1)) == 0
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
            found.settled[&site].clone()
        };
        assert_eq!(listed(0), []);
        // The folder itself is asked for too.
        assert_eq!(listed(3).len(), 2);
        let all = listed(100);
        let mut lease = Ledger::open(&folder.path().join("ledger")).unwrap().claim(site).unwrap().unwrap();
        let mut waiting = |asked| recognise(&mut lease, &all, &patient_for(asked)).unwrap().waiting.len();
        assert_eq!([0, 2, 0, 100].map(&mut waiting), [0, 2, 2, 5], "what was seen once is not asked for");
        assert_eq!(lease.book().files().count(), 5);
    }
}
