//! Imports one site: its settled files, merged by time, each line once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use tracing::{debug, error, info, warn};

use super::cursor::{Cursor, Ended, Sites, Step};
use super::day::Days;
use super::flow::{Delivered, Flow, Shape, Stop};
use super::open::{OpenError, Reading};
use super::recovery;
use super::turn::Turn;
use super::wanted::Wanted;
use crate::discover::{Head, LogFile, Settled};
use crate::file::ReadError;
use crate::format::Moment;
use crate::hit::{HitOptions, Judge, Site};
use crate::interleave::Order;
use crate::ledger::{FileId, FileState, Finish, Lease, LedgerError, Totals, path_text};
use crate::matomo::{Delivery, Sink, SiteFacts, sentence};
use crate::summary::Counts;

/// Files open at the same time; more that overlap in time wait for one of them to end.
const OPEN_FILES_MAX: usize = 200;

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

/// A file with something to import.
struct Work {
    id: FileId,
    path: PathBuf,
    identity: u64,
    format: &'static str,
    begins: Option<Moment>,
}

/// A file whose last line was read, but not all of whose hits have come back.
struct Leaving {
    work: Work,
    ended: Ended,
    cut: bool,
    read_to: u64,
    counts: Counts,
    newest: Option<i64>,
    opened_at: Instant,
}

/// What a look at the files of a site found.
#[derive(Debug, Default)]
pub struct Recognised {
    /// Files of which something may be left to import.
    pub waiting: Vec<(FileId, LogFile)>,
    /// Files of which not even the first bytes can be read.
    pub unreadable: Vec<(PathBuf, ReadError)>,
}

/// Files of which something may be left to import, without reading more than their first bytes.
///
/// # Errors
/// When the ledger cannot be written.
pub fn recognise(lease: &mut Lease, files: &[Settled]) -> Result<Recognised, LedgerError> {
    let here: HashMap<String, (u64, i64)> = files.iter().map(Settled::file).map(place).collect();
    let in_place = |path: &str, size, modified_ns| here.get(path) == Some(&(size, modified_ns));
    let mut found = Recognised::default();
    for file in files.iter().map(Settled::file) {
        let known = lease.book().recognise(file);
        let id = match known {
            Some((_, true)) => continue,
            Some((id, false)) => id,
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

fn place(file: &LogFile) -> (String, (u64, i64)) {
    (path_text(file).into_owned(), (file.size, file.modified_ns))
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
            let found = recognise(lease, files)?;
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

    fn fail(&self, lease: &mut Lease, id: FileId, error: &OpenError, report: &mut SiteReport) -> Result<(), Stop> {
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

/// One merge of a set of files.
struct Round<'a, S> {
    import: &'a SiteImport<'a, S>,
    turn: &'a mut Turn,
    flow: Flow<S>,
    sites: Sites,
    order: Order,
    open: Vec<Option<(Work, Cursor, Instant)>>,
    open_count: usize,
    leaving: Vec<Leaving>,
}

impl<'a, S: Sink + 'static> Round<'a, S> {
    fn new(import: &'a SiteImport<'a, S>, lease: &Lease, turn: &'a mut Turn) -> Self {
        let days = Days::new(import.facts.zone.clone(), jiff::Timestamp::now());
        let delivery = Rc::clone(&import.delivery);
        Self {
            import,
            turn,
            flow: Flow::new(delivery, import.shape.clone(), import.facts.id, days, Some(lease)),
            sites: Sites::One(Site::new(import.facts.id.0, &import.facts.main_url)),
            order: Order::default(),
            open: Vec::new(),
            open_count: 0,
            leaving: Vec::new(),
        }
    }

    async fn run(mut self, works: Vec<Work>, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let result = self.merge(works, lease, report).await;
        let result = match result {
            Ok(()) => self.flow.finish(Some(lease)).await,
            Err(Stop::TurnOver) => self.flow.finish(Some(lease)).await.and(Err(Stop::TurnOver)),
            // What is under way still counts, whatever ended the reading.
            Err(stop) => self.flow.drain(Some(lease)).await.and(Err(stop)),
        };
        let delivered = self.flow.delivered();
        report.delivered.tracked += delivered.tracked;
        report.delivered.invalid += delivered.invalid;
        report.delivered.short += delivered.short;
        report.delivered.withheld += delivered.withheld;
        self.see_off(lease, report)?;
        if matches!(result, Err(Stop::TurnOver)) {
            self.put_away(lease, report)?;
        }
        result
    }

    async fn merge(&mut self, works: Vec<Work>, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let mut judge = Judge::new(self.import.hits, false).map_err(|error| Stop::NotNow(sentence(&error)))?;
        let mut works = VecDeque::from(works);
        loop {
            self.open_due(&mut works, &mut judge, lease, report).await?;
            let Some(index) = self.order.pop() else { return Ok(()) };
            let Some((_, cursor, _)) = &mut self.open[index] else { continue };
            // The hit that made this file the oldest one was kept back until now.
            if let Some(hit) = cursor.current.take() {
                self.flow.offer(hit, cursor.json());
            }
            if self.flow.is_full() {
                self.give_way(lease, report).await?;
            }
            self.step(index, &mut judge, lease, report).await?;
        }
    }

    /// Opens every file that begins before the oldest hit at hand.
    async fn open_due(
        &mut self,
        works: &mut VecDeque<Work>,
        judge: &mut Judge,
        lease: &mut Lease,
        report: &mut SiteReport,
    ) -> Result<(), Stop> {
        while self.open_count < OPEN_FILES_MAX {
            let due = |work: &mut Work| self.order.oldest().is_none_or(|oldest| work.begins <= Some(oldest));
            let Some(work) = works.pop_front_if(due) else { return Ok(()) };
            let wanted = Wanted::of(lease.book(), work.id);
            let (cut, checkpoint) =
                lease.book().file(work.id).map_or((false, 0), |entry| (entry.cut, entry.checkpoint));
            let opened = match self.import.reading.open(&work.path, work.id, wanted, cut) {
                Ok(Some(opened)) => opened,
                Ok(None) => {
                    // Nothing but blanks: settled by having been looked at.
                    let counts = Counts::default();
                    let finish = finish_of(&work, checkpoint, false, &counts, None);
                    lease.finish(work.id, finish)?;
                    self.turn.done_with(work.path);
                    continue;
                }
                Err(error) => {
                    self.turn.done_with(work.path);
                    self.import.fail(lease, work.id, &error, report)?;
                    continue;
                }
            };
            self.flow.open(work.id, work.identity, checkpoint);
            self.open.push(Some((work, Cursor::new(opened, now()), Instant::now())));
            self.open_count += 1;
            self.step(self.open.len() - 1, judge, lease, report).await?;
        }
        Ok(())
    }

    /// Reads a file on to its next hit, and puts it back in order.
    async fn step(
        &mut self,
        index: usize,
        judge: &mut Judge,
        lease: &mut Lease,
        report: &mut SiteReport,
    ) -> Result<(), Stop> {
        loop {
            let Some((_, cursor, _)) = &mut self.open[index] else { return Ok(()) };
            let step = cursor.step(judge, &self.sites);
            let file = cursor.file();
            match step {
                Ok(Step::Hit(hit)) => {
                    self.flow.tracker.hand_out(hit.origin);
                    self.flow.tracker.read_to(file, cursor.read_to());
                    self.order.push(index, Moment { seconds: hit.seconds, micros: 0 });
                    return Ok(());
                }
                Ok(Step::Pause) => {
                    self.flow.tracker.read_to(file, cursor.read_to());
                    self.give_way(lease, report).await?;
                }
                Ok(Step::AskSite(_)) => return Ok(()),
                Ok(Step::End(ended)) => {
                    self.flow.tracker.read_to(file, cursor.read_to());
                    self.leave(index, ended);
                    return self.see_off(lease, report);
                }
                Err(error) => {
                    self.import.fail(lease, file, &OpenError::Read(error), report)?;
                    if let Some((work, ..)) = self.open[index].take() {
                        self.turn.done_with(work.path);
                    }
                    self.open_count -= 1;
                    return Ok(());
                }
            }
        }
    }

    /// Lets the deliveries do their work, and others have theirs.
    async fn give_way(&mut self, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        if self.import.delivery.shutdown.requested() {
            return Err(Stop::Asked);
        }
        self.flow.turn(Some(lease)).await?;
        self.see_off(lease, report)?;
        // Only here, where something was read: a turn too short for its site still gets it on.
        if self.turn.is_over() { Err(Stop::TurnOver) } else { Ok(()) }
    }

    /// Writes down how far the open files were read. What was offered has come back by now; the hit that each file is
    /// known by in the order was not, and is read again.
    fn put_away(&mut self, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        for (work, cursor, _) in std::mem::take(&mut self.open).into_iter().flatten() {
            let mut counts = cursor.counts;
            if cursor.current.is_some() {
                counts.lines = counts.lines.saturating_sub(1);
                counts.hits = counts.hits.saturating_sub(1);
            }
            lease.put_away(work.id, self.flow.tracker.checkpoint(work.id), totals_of(&counts))?;
            report.counts += &counts;
        }
        Ok(())
    }

    fn leave(&mut self, index: usize, ended: Ended) {
        let Some((work, cursor, opened_at)) = self.open[index].take() else { return };
        self.open_count -= 1;
        self.leaving.push(Leaving {
            work,
            ended,
            cut: cursor.is_cut(),
            read_to: cursor.read_to(),
            counts: cursor.counts,
            newest: cursor.newest,
            opened_at,
        });
    }

    /// Closes the files all of whose hits have come back.
    fn see_off(&mut self, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let tracker = &self.flow.tracker;
        let (gone, rest) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition(|leaving: &Leaving| tracker.is_settled(leaving.work.id));
        self.leaving = rest;
        for leaving in gone {
            self.flow.tracker.close(leaving.work.id);
            self.close(&leaving, lease)?;
            self.turn.done_with(leaving.work.path.clone());
            report.files += 1;
            report.counts += &leaving.counts;
        }
        Ok(())
    }

    fn close(&self, leaving: &Leaving, lease: &mut Lease) -> Result<(), Stop> {
        let Leaving { work, ended, cut, read_to, counts, newest, opened_at } = leaving;
        if let Some(seconds_ahead) = ended.future_seconds {
            lease.advance(work.id, *read_to)?;
            warn!(site = %self.import.facts.id, file = %work.path.display(), seconds_ahead,
                "File waits: a line is dated in the future, which Matomo would count at the time of the import");
        } else {
            lease.finish(work.id, finish_of(work, *read_to, *cut, counts, *newest))?;
        }
        let hits = lease.book().file(work.id).map_or(0, |entry| entry.hits);
        if counts.lines == 0 {
            debug!(site = %self.import.facts.id, file = %work.path.display(), hits, "File holds nothing new");
            return Ok(());
        }
        if counts.hits == 0 && hits == 0 {
            let because = counts.reasons();
            warn!(site = %self.import.facts.id, file = %work.path.display(), format = work.format, lines = counts.lines, because,
                "No line of the file became a hit");
            return Ok(());
        }
        info!(
            site = %self.import.facts.id,
            file = %work.path.display(),
            format = work.format,
            lines = counts.lines,
            hits = counts.hits,
            left_out = Some(counts.left_out()).filter(|reasons| !reasons.is_empty()),
            seconds = format!("{:.1}", opened_at.elapsed().as_secs_f64()),
            "File imported"
        );
        Ok(())
    }
}

fn finish_of(work: &Work, offset: u64, cut: bool, counts: &Counts, newest: Option<i64>) -> Finish {
    let totals = totals_of(counts);
    let path = work.path.to_string_lossy().into_owned();
    Finish { path, offset, cut, totals, at_ms: now_ms(), newest }
}

fn totals_of(counts: &Counts) -> Totals {
    Totals { lines: counts.lines, hits: counts.hits, invalid: counts.invalid(), skipped: counts.left_out() }
}

/// The present, for judging dates.
pub fn now() -> Moment {
    Moment { seconds: jiff::Timestamp::now().as_second(), micros: 0 }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
