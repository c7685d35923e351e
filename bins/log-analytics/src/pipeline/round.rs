//! One merge of a set of a site's files: their hits, offered in the order of time, each file closed when all of its
//! hits have come back.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use tracing::{debug, info, warn};

use super::cursor::{Cursor, Ended, Sites, Step};
use super::day::Days;
use super::flow::{Flow, Stop};
use super::open::OpenError;
use super::site::{SiteImport, SiteReport, now, now_ms};
use super::turn::Turn;
use super::wanted::Wanted;
use crate::file::ReadError;
use crate::format::Moment;
use crate::hit::{Judge, Site};
use crate::interleave::Order;
use crate::ledger::{FileId, Finish, Lease, Totals};
use crate::matomo::{Sink, sentence};
use crate::summary::Counts;

/// Files open at the same time; more that overlap in time wait for one of them to end.
const OPEN_FILES_MAX: usize = 200;

/// A file with something to import.
pub struct Work {
    /// Number of the file.
    pub id: FileId,
    /// Where it lies.
    pub path: PathBuf,
    /// Hash of its first line.
    pub identity: u64,
    /// Name of its format, `none` while nobody can tell.
    pub format: &'static str,
    /// Date of its first line.
    pub begins: Option<Moment>,
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

/// What has to be done before more hits can be offered.
enum Next {
    /// Nothing: all files are read.
    Nothing,
    /// Open a file that is due.
    File,
    /// Make room, then read this file on.
    Room(usize),
    /// See to what this file came to instead of a hit.
    Step(usize, Result<Step, ReadError>),
}

/// One merge of a set of files.
pub struct Round<'a, S> {
    import: &'a SiteImport<'a, S>,
    turn: &'a mut Turn,
    flow: Flow<S>,
    sites: Sites,
    order: Order,
    /// In the order in which they were opened, as of equal hits the first file's goes first. A closed one leaves its place
    /// empty, so that has to be small.
    open: Vec<Option<Box<(Work, Cursor, Instant)>>>,
    open_count: usize,
    leaving: Vec<Leaving>,
}

impl<'a, S: Sink + 'static> Round<'a, S> {
    /// A merge that has not begun.
    pub fn new(import: &'a SiteImport<'a, S>, lease: &Lease, turn: &'a mut Turn) -> Self {
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

    /// Imports the files, as far as the turn goes.
    ///
    /// # Errors
    /// Why it ended early. What was under way has come back all the same, and is in the report.
    pub async fn run(mut self, works: Vec<Work>, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
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
        lease.sync()?;
        result
    }

    async fn merge(&mut self, works: Vec<Work>, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let mut judge = Judge::new(self.import.hits, false).map_err(|error| Stop::NotNow(sentence(&error)))?;
        let mut works = VecDeque::from(works);
        loop {
            self.open_due(&mut works, &mut judge, lease, report).await?;
            match self.offer_in_order(works.front(), &mut judge) {
                Next::Nothing => return Ok(()),
                Next::File => {}
                Next::Room(index) => {
                    self.give_way(lease, report).await?;
                    self.step(index, &mut judge, lease, report).await?;
                }
                Next::Step(index, step) => {
                    if self.attend(index, step, lease, report).await? {
                        self.step(index, &mut judge, lease, report).await?;
                    }
                }
            }
        }
    }

    /// Offers the hits of the open files in the order of time, until something else has to be done. This is where
    /// nearly every line passes, so nothing is waited for here.
    fn offer_in_order(&mut self, next_work: Option<&Work>, judge: &mut Judge) -> Next {
        loop {
            let Some(index) = self.order.pop() else { return Next::Nothing };
            let Some((_, cursor, _)) = self.open[index].as_deref_mut() else { continue };
            // The hit that made this file the oldest one was kept back until now.
            if let Some(hit) = cursor.current.take() {
                self.flow.offer(index, hit);
            }
            if self.flow.is_due() {
                return Next::Room(index);
            }
            if let Some(step) = self.read_on(index, judge) {
                return Next::Step(index, step);
            }
            if next_work.is_some_and(|work| self.is_due(work)) {
                return Next::File;
            }
        }
    }

    /// Reads a file on to its next hit and puts it back in order; answers with what came instead of a hit.
    fn read_on(&mut self, index: usize, judge: &mut Judge) -> Option<Result<Step, ReadError>> {
        let (_, cursor, _) = self.open[index].as_deref_mut()?;
        match self.flow.write(index, |json, common| cursor.step(judge, &self.sites, json, common)) {
            Ok(Step::Hit) => {
                let read_to = cursor.read_to();
                let hit = cursor.current.as_mut()?;
                self.flow.tracker.hand_out(&mut hit.origin, read_to);
                self.order.push(index, Moment { seconds: hit.seconds, micros: 0 });
                None
            }
            other => Some(other),
        }
    }

    /// Whether a file begins before the oldest hit at hand.
    fn is_due(&self, work: &Work) -> bool {
        self.order.oldest().is_none_or(|oldest| work.begins <= Some(oldest))
    }

    /// Opens every file that is due.
    async fn open_due(
        &mut self,
        works: &mut VecDeque<Work>,
        judge: &mut Judge,
        lease: &mut Lease,
        report: &mut SiteReport,
    ) -> Result<(), Stop> {
        while self.open_count < OPEN_FILES_MAX {
            let Some(work) = works.pop_front_if(|work| self.is_due(work)) else { return Ok(()) };
            // Where no line becomes a hit, this is the only place that is passed again and again.
            if self.import.asked() {
                return Err(Stop::Asked);
            }
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
            self.open.push(Some(Box::new((work, Cursor::new(opened, now()), Instant::now()))));
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
        while let Some(step) = self.read_on(index, judge) {
            if !self.attend(index, step, lease, report).await? {
                break;
            }
        }
        Ok(())
    }

    /// Does what has to be done when a file gave no hit; answers whether it is to be read on.
    async fn attend(
        &mut self,
        index: usize,
        step: Result<Step, ReadError>,
        lease: &mut Lease,
        report: &mut SiteReport,
    ) -> Result<bool, Stop> {
        let Some((_, cursor, _)) = self.open[index].as_deref() else { return Ok(false) };
        let (file, read_to) = (cursor.file(), cursor.read_to());
        match step {
            Ok(Step::Pause) => {
                self.flow.tracker.read_to(file, read_to);
                self.give_way(lease, report).await?;
                return Ok(true);
            }
            Ok(Step::Hit | Step::AskSite(_)) => {}
            Ok(Step::End(ended)) => {
                self.flow.tracker.read_to(file, read_to);
                self.leave(index, ended, lease, report)?;
            }
            Err(error) => {
                self.import.fail(lease, file, &OpenError::Read(error), report)?;
                if let Some(open) = self.open[index].take() {
                    self.turn.done_with(open.0.path);
                }
                self.open_count -= 1;
            }
        }
        Ok(false)
    }

    /// Lets the deliveries do their work, and others have theirs.
    async fn give_way(&mut self, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        if self.import.asked() {
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
        for open in std::mem::take(&mut self.open).into_iter().flatten() {
            let (work, cursor, _) = *open;
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

    /// Closes a file that was read to its end, or notes that it is to be closed once all of its hits have come back.
    fn leave(&mut self, index: usize, ended: Ended, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let Some(open) = self.open[index].take() else { return Ok(()) };
        let (work, cursor, opened_at) = *open;
        self.open_count -= 1;
        let leaving = Leaving {
            work,
            ended,
            cut: cursor.is_cut(),
            read_to: cursor.read_to(),
            counts: cursor.counts,
            newest: cursor.newest,
            opened_at,
        };
        if self.flow.tracker.is_settled(leaving.work.id) {
            return self.let_go(leaving, lease, report);
        }
        self.leaving.push(leaving);
        Ok(())
    }

    /// Closes the files all of whose hits have come back.
    fn see_off(&mut self, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let tracker = &self.flow.tracker;
        let gone: Vec<Leaving> = self.leaving.extract_if(.., |leaving| tracker.is_settled(leaving.work.id)).collect();
        gone.into_iter().try_for_each(|leaving| self.let_go(leaving, lease, report))
    }

    fn let_go(&mut self, leaving: Leaving, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        self.flow.tracker.close(leaving.work.id);
        self.close(&leaving, lease)?;
        self.turn.done_with(leaving.work.path);
        report.files += 1;
        report.counts += &leaving.counts;
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
