//! One merge of a set of a site's files: their hits, sent in the order of time, each file closed when all of its hits have
//! come back.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use tracing::{debug, info, warn};

use super::day::Days;
use super::open::{OpenError, begins_as, is_left_alone};
use super::pending_lines::PendingLines;
use super::reader::{Ended, Reader, Sites, Step};
use super::sender::{Offered, Proofs, Sender, Stop};
use super::site::{SiteImport, SiteReport, now_ms};
use super::time_slice::TimeSlice;
use crate::discover::LogFile;
use crate::file::{Proof, ReadError, Source};
use crate::format::Moment;
use crate::hit::{Judge, Site};
use crate::id::FileId;
use crate::ledger::{Finish, Lease, Totals, path_text};
use crate::matomo::{Sink, sentence};
use crate::merge::Order;
use crate::summary::Counts;

/// Files open at the same time; more that overlap in time wait for one of them to end.
const OPEN_FILES_MAX: usize = 200;
/// Where this process may open no more files, so many are left for connections.
const FILES_KEPT_FREE: usize = 8;
/// One of so many lines may be unreadable before somebody is told.
const UNREADABLE_SHARE: u64 = 10;

/// A file with something to import, in the order in which they are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Date of its first unsettled line.
    pub begins: Option<Moment>,
    /// Its place in the listing, which is sorted by path.
    pub index: usize,
    /// Number of its content.
    pub id: FileId,
}

/// A file that was opened.
struct PendingFile {
    id: FileId,
    /// Where it lies, as it was seen.
    file: LogFile,
    index: usize,
    /// Name of its format.
    format: &'static str,
    /// Date of its first unsettled line.
    begins: Option<Moment>,
}

/// A file that is read.
struct OpenFile {
    pending: PendingFile,
    reader: Reader,
    opened_at: Instant,
}

/// A file whose last line was read, but not all of whose hits have come back.
struct DrainingFile {
    pending: PendingFile,
    ended: Ended,
    cut: bool,
    read_to: u64,
    nul_bytes: u64,
    totals: Totals,
    counts: Counts,
    newest: Option<i64>,
    proof: Proof,
    opened_at: Instant,
}

/// The files of a merge.
#[derive(Default)]
struct Files {
    /// In the order in which they were opened, as of equal hits the first file's goes first. A closed one leaves its place
    /// empty.
    open: Vec<Option<Box<OpenFile>>>,
    open_count: usize,
    by_id: HashMap<FileId, usize>,
    draining: Vec<DrainingFile>,
    /// What was proven of those when they were read to their end.
    drained: HashMap<FileId, Proof>,
}

impl Files {
    fn push(&mut self, file: OpenFile) -> usize {
        let index = self.open.len();
        self.by_id.insert(file.pending.id, index);
        self.open.push(Some(Box::new(file)));
        self.open_count += 1;
        index
    }

    fn take(&mut self, index: usize) -> Option<Box<OpenFile>> {
        let file = self.open[index].take()?;
        self.by_id.remove(&file.pending.id);
        self.open_count -= 1;
        Some(file)
    }
}

impl Proofs for Files {
    fn prove(&mut self, file: FileId) -> Result<Option<Proof>, ReadError> {
        if let Some(open) = self.by_id.get(&file).and_then(|index| self.open[*index].as_deref_mut()) {
            return open.reader.prove();
        }
        Ok(self.drained.get(&file).copied())
    }
}

/// What has to be done before more hits can be sent.
enum Next {
    /// Nothing: all files are read.
    Nothing,
    /// Open a file that is due.
    File,
    /// Yield to the requests in flight, then read this file on.
    Yield(usize),
    /// Send the hit of this file alone.
    Alone(usize),
    /// See to what this file came to instead of a hit.
    Step(usize, Result<Step, ReadError>),
}

/// One merge of a set of files.
pub struct Merge<'a, S> {
    import: &'a SiteImport<'a, S>,
    slice: &'a mut TimeSlice,
    listing: &'a mut [LogFile],
    sender: Sender<S>,
    sites: Sites,
    order: Order,
    files: Files,
    open_max: usize,
    /// A file is to be looked at again.
    looks_again: bool,
}

impl<'a, S: Sink + 'static> Merge<'a, S> {
    /// A merge that has not begun.
    pub fn new(
        import: &'a SiteImport<'a, S>,
        lease: &Lease,
        slice: &'a mut TimeSlice,
        listing: &'a mut [LogFile],
    ) -> Self {
        let days = Days::new(import.facts.zone.clone(), import.now);
        let delivery = Rc::clone(&import.delivery);
        Self {
            import,
            slice,
            listing,
            sender: Sender::new(delivery, import.shape.clone(), import.facts.id, days, Some(lease)),
            sites: Sites::One(Site::new(import.facts.id.0, &import.facts.main_url)),
            order: Order::default(),
            files: Files::default(),
            open_max: OPEN_FILES_MAX,
            looks_again: false,
        }
    }

    /// Imports the files, as far as the time slice goes.
    ///
    /// # Errors
    /// Why it ended early. What was in flight has come back all the same, and is in the report.
    pub async fn run(mut self, due: Vec<Due>, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let result = self.merge(due, lease, report).await;
        let result = match result {
            Ok(()) => self.sender.finish(Some(lease), &mut self.files).await,
            Err(Stop::TurnOver) => self.sender.finish(Some(lease), &mut self.files).await.and(Err(Stop::TurnOver)),
            // What is in flight still counts, whatever ended the reading.
            Err(stop) => self.sender.drain(Some(lease)).await.and(Err(stop)),
        };
        self.drop_changed();
        let delivered = self.sender.delivered();
        report.delivered.tracked += delivered.tracked;
        report.delivered.invalid += delivered.invalid;
        report.delivered.short += delivered.short;
        report.delivered.withheld += delivered.withheld;
        self.close_drained(lease, report)?;
        if matches!(result, Err(Stop::TurnOver)) {
            self.put_away(lease, report)?;
        }
        lease.sync()?;
        result.and(if self.looks_again { Err(Stop::Again) } else { Ok(()) })
    }

    async fn merge(&mut self, due: Vec<Due>, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let mut judge = Judge::new(self.import.hits, false).map_err(|error| Stop::NotNow(sentence(&error)))?;
        let mut due = VecDeque::from(due);
        loop {
            self.open_due(&mut due, &mut judge, lease, report).await?;
            match self.send_in_order(due.front(), &mut judge) {
                Next::Nothing if due.is_empty() => return Ok(()),
                Next::Nothing | Next::File => {}
                Next::Yield(index) => {
                    self.give_way(lease, report).await?;
                    self.step(index, &mut judge, lease, report).await?;
                }
                Next::Alone(index) => {
                    self.send_alone(index, lease).await?;
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

    /// Sends the hits of the open files in the order of time, until something else has to be done. This is where nearly every
    /// line passes, so nothing is waited for here.
    fn send_in_order(&mut self, next: Option<&Due>, judge: &mut Judge) -> Next {
        loop {
            let Some(index) = self.order.pop() else { return Next::Nothing };
            let Some(file) = self.files.open[index].as_deref_mut() else { continue };
            if let Some(hit) = &file.reader.current {
                match self.sender.offer(hit, &file.reader.json) {
                    Offered::Taken => file.reader.current = None,
                    Offered::NewDay => return Next::Alone(index),
                }
            }
            if self.sender.is_due() {
                return Next::Yield(index);
            }
            if let Some(step) = self.read_on(index, judge) {
                return Next::Step(index, step);
            }
            if next.is_some_and(|next| self.is_due(next)) {
                return Next::File;
            }
        }
    }

    async fn send_alone(&mut self, index: usize, lease: &mut Lease) -> Result<(), Stop> {
        let Some(file) = self.files.open[index].as_deref_mut() else { return Ok(()) };
        let Some(hit) = file.reader.current.take() else { return Ok(()) };
        let json = std::mem::take(&mut file.reader.json);
        let sent = self.sender.send_alone(&hit, &json, Some(lease), &mut self.files).await;
        if let Some(file) = self.files.open[index].as_deref_mut() {
            file.reader.json = json;
        }
        sent
    }

    /// Reads a file on to its next hit and puts it back in order; answers with what came instead of a hit.
    fn read_on(&mut self, index: usize, judge: &mut Judge) -> Option<Result<Step, ReadError>> {
        let reader = &mut self.files.open[index].as_deref_mut()?.reader;
        match reader.step(judge, &self.sites) {
            Ok(Step::Hit) => {
                let read_to = reader.read_to();
                let hit = reader.current.as_mut()?;
                self.sender.progress.hand_out(&mut hit.origin, read_to);
                self.order.push(index, Moment { seconds: hit.seconds, micros: 0 });
                None
            }
            other => Some(other),
        }
    }

    /// Whether a file begins before the oldest hit at hand.
    fn is_due(&self, next: &Due) -> bool {
        self.files.open_count < self.open_max && self.order.oldest().is_none_or(|oldest| next.begins <= Some(oldest))
    }

    /// Opens every file that is due.
    async fn open_due(
        &mut self,
        due: &mut VecDeque<Due>,
        judge: &mut Judge,
        lease: &mut Lease,
        report: &mut SiteReport,
    ) -> Result<(), Stop> {
        while let Some(next) = due.pop_front_if(|next| self.is_due(next)) {
            // Where no line becomes a hit, this is the only place that is passed again and again.
            if self.import.asked() {
                return Err(Stop::Asked);
            }
            match self.open(next, lease) {
                Ok(Some(file)) => {
                    let resume = lease.book().file(next.id).map_or(0, |content| content.resume());
                    self.sender.progress.open(next.id, resume);
                    let index = self.files.push(file);
                    self.step(index, judge, lease, report).await?;
                }
                Ok(None) => self.note_empty(next, lease)?,
                Err(OpenError::Read(error)) if is_out_of_files(&error) && self.files.open_count > 0 => {
                    // Fewer at once: this one waits for one of them to end.
                    self.open_max = self.files.open_count.saturating_sub(FILES_KEPT_FREE).max(1);
                    due.push_front(next);
                    return Ok(());
                }
                Err(error) => self.fail(next.index, next.id, &error, lease, report)?,
            }
        }
        Ok(())
    }

    /// Opens a file and makes sure that it is the one that was seen. `None` if there is no line in it.
    fn open(&self, next: Due, lease: &Lease) -> Result<Option<OpenFile>, OpenError> {
        let Some(content) = lease.book().file(next.id) else { return Ok(None) };
        let file = &self.listing[next.index];
        let source = Source::open(&file.path)?;
        let now = source.stat();
        if now != file.stat {
            let is_grown = now.is_same_file(&file.stat) && now.size >= file.stat.size && !source.is_packed();
            if !is_grown || !begins_as(&source, content)? {
                return Err(OpenError::Changed { path: file.path.to_path_buf() });
            }
        }
        let takes_last_line = source.is_packed() || is_left_alone(&now, self.import.now);
        let lines = PendingLines::of(lease.book(), next.id);
        let Some((format, opened)) = self.import.reading.open(source, content, lines, takes_last_line)? else {
            return Ok(None);
        };
        let now = Moment { seconds: self.import.now.as_second(), micros: 0 };
        let pending = PendingFile { id: next.id, file: file.clone(), index: next.index, format, begins: next.begins };
        Ok(Some(OpenFile { pending, reader: Reader::new(opened, now), opened_at: Instant::now() }))
    }

    /// Nothing but blanks: settled by having been looked at.
    fn note_empty(&mut self, next: Due, lease: &mut Lease) -> Result<(), Stop> {
        let checkpoint = lease.book().file(next.id).map_or(0, |content| content.checkpoint);
        let file = &self.listing[next.index];
        lease.finish(next.id, Finish::at(path_text(file).into_owned(), checkpoint, now_ms()))?;
        self.slice.done_with(file, lease.book());
        Ok(())
    }

    fn fail(
        &mut self,
        index: usize,
        id: FileId,
        error: &OpenError,
        lease: &mut Lease,
        report: &mut SiteReport,
    ) -> Result<(), Stop> {
        if matches!(error, OpenError::Changed { .. }) {
            debug!(site = %self.import.facts.id, why = sentence(error), "File is looked at again");
            self.look_again(index);
            return Ok(());
        }
        self.slice.give_up(self.listing[index].path.clone());
        self.import.fail(lease, id, error, report)
    }

    fn look_again(&mut self, index: usize) {
        self.listing[index].mark_outdated();
        self.looks_again |= self.slice.looks_again(&self.listing[index].path);
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
        let Some(file) = self.files.open[index].as_deref() else { return Ok(false) };
        let (id, read_to) = (file.pending.id, file.reader.read_to());
        match step {
            Ok(Step::Pause) => {
                self.sender.progress.read_to(id, read_to);
                self.give_way(lease, report).await?;
                return Ok(true);
            }
            Ok(Step::Hit | Step::AskSite(_)) => {}
            Ok(Step::End(ended)) => {
                self.sender.progress.read_to(id, read_to);
                self.end(index, ended, lease, report)?;
            }
            Err(error) => {
                if let Some(file) = self.files.take(index) {
                    self.fail(file.pending.index, id, &OpenError::Read(error), lease, report)?;
                }
            }
        }
        Ok(false)
    }

    /// Lets the requests in flight do their work, and others have theirs.
    async fn give_way(&mut self, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        if self.import.asked() {
            return Err(Stop::Asked);
        }
        self.sender.turn(Some(lease), &mut self.files).await?;
        self.drop_changed();
        self.close_drained(lease, report)?;
        // Only here, where something was read: a slice too short for its site still gets it on.
        if self.slice.is_over() { Err(Stop::TurnOver) } else { Ok(()) }
    }

    /// Lets go of files that do not hold any more what was read of them; they are looked at again.
    fn drop_changed(&mut self) {
        for id in self.sender.take_changed() {
            let Some(index) = self.files.by_id.get(&id).copied() else { continue };
            let Some(file) = self.files.take(index) else { continue };
            self.let_go(&file.pending);
        }
    }

    fn let_go(&mut self, pending: &PendingFile) {
        info!(site = %self.import.facts.id, file = %pending.file.path.display(),
            "File changed while it was read; what is booked of it stays, and it is looked at again");
        self.sender.progress.close(pending.id);
        self.look_again(pending.index);
    }

    /// Writes down how far the open files were read. What was sent has come back by now; the hit that each file is known by in
    /// the order was not, and is read again.
    fn put_away(&mut self, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        for open in std::mem::take(&mut self.files.open).into_iter().flatten() {
            let OpenFile { pending, mut reader, .. } = *open;
            let Ok(Some(proof)) = reader.prove() else {
                self.looks_again = true;
                continue;
            };
            let unreadable = std::mem::take(&mut reader.unreadable);
            let mut counts = reader.counts;
            if reader.current.is_some() {
                counts.lines = counts.lines.saturating_sub(1);
                counts.hits = counts.hits.saturating_sub(1);
            }
            let totals = Totals { unreadable, ..totals_of(&counts) };
            lease.put_away(pending.id, self.sender.progress.checkpoint(pending.id), totals, Some(proof))?;
            report.counts += &counts;
        }
        Ok(())
    }

    /// Closes a file that was read to its end, or notes that it is to be closed once all of its hits have come back.
    fn end(&mut self, index: usize, ended: Ended, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let Some(file) = self.files.take(index) else { return Ok(()) };
        let OpenFile { pending, mut reader, opened_at } = *file;
        // The last look at the open file: from here on its proof stands for it.
        let Ok(Some(proof)) = reader.prove() else {
            self.sender.forget(pending.id);
            self.let_go(&pending);
            return Ok(());
        };
        let draining = DrainingFile {
            ended,
            cut: reader.is_cut(),
            read_to: reader.read_to(),
            nul_bytes: reader.nul_bytes(),
            totals: Totals { unreadable: std::mem::take(&mut reader.unreadable), ..totals_of(&reader.counts) },
            counts: reader.counts,
            newest: reader.newest,
            proof,
            opened_at,
            pending,
        };
        if self.sender.progress.is_settled(draining.pending.id) {
            return self.close(&draining, lease, report);
        }
        self.files.drained.insert(draining.pending.id, draining.proof);
        self.files.draining.push(draining);
        Ok(())
    }

    /// Closes the files all of whose hits have come back.
    fn close_drained(&mut self, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let progress = &self.sender.progress;
        let drained = self.files.draining.extract_if(.., |file| progress.is_settled(file.pending.id));
        drained.collect::<Vec<_>>().iter().try_for_each(|file| self.close(file, lease, report))
    }

    fn close(&mut self, file: &DrainingFile, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        self.sender.progress.close(file.pending.id);
        self.files.drained.remove(&file.pending.id);
        self.finish(file, lease, report)?;
        self.slice.done_with(&file.pending.file, lease.book());
        report.files += 1;
        report.counts += &file.counts;
        Ok(())
    }

    /// Writes down how the reading of a file ended, and says so.
    fn finish(&self, file: &DrainingFile, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let DrainingFile { pending, ended, counts, .. } = file;
        let (site, path) = (self.import.facts.id, pending.file.path.display());
        let read_before = lease.book().file(pending.id).map_or((0, 0), |content| (content.hits, content.lines));
        if is_unreadable(counts) && read_before == (0, 0) {
            return self.give_up_unreadable(file, lease, report);
        }
        let end = Finish {
            cut: file.cut,
            rest: ended.unfinished || ended.future_seconds.is_some(),
            totals: file.totals.clone(),
            begins: pending.begins.map(|moment| moment.seconds).filter(|_| read_before.1 == 0),
            newest: file.newest,
            proof: Some(file.proof),
            ..Finish::at(path_text(&pending.file).into_owned(), file.read_to, now_ms())
        };
        lease.finish(pending.id, end)?;
        if let Some(seconds_ahead) = ended.future_seconds {
            warn!(%site, file = %path, seconds_ahead,
                "File waits: a line is dated in the future, which Matomo would count at the time of the import");
            report.future_files += 1;
        }
        if ended.unfinished {
            debug!(%site, file = %path, offset = file.read_to, "Last line of the file has no end yet and waits for it");
        }
        self.say_imported(file, lease);
        Ok(())
    }

    /// No line of a file can be read: the format is wrong, not the lines.
    fn give_up_unreadable(&self, file: &DrainingFile, lease: &mut Lease, report: &mut SiteReport) -> Result<(), Stop> {
        let DrainingFile { pending, counts, .. } = file;
        let why = format!(
            "none of its {} lines can be read as {}: {}",
            counts.lines,
            pending.format,
            counts.unreadable_sample()
        );
        lease.fail(pending.id, &why, 1, now_ms())?;
        report.quarantined += 1;
        tracing::error!(site = %self.import.facts.id, file = %pending.file.path.display(), why,
            help = "set or correct --log-format-name or --log-format in MATOMO_IMPORT_OPTIONS, then run `log-analytics retry`",
            "IMPORT_LOG_ERROR File is quarantined: its format is another one");
        Ok(())
    }

    fn say_imported(&self, file: &DrainingFile, lease: &Lease) {
        let DrainingFile { pending, counts, opened_at, nul_bytes, .. } = file;
        let (site, path) = (self.import.facts.id, pending.file.path.display());
        let hits = lease.book().file(pending.id).map_or(0, |content| content.hits);
        if counts.lines == 0 {
            debug!(%site, file = %path, hits, "File holds nothing new");
            return;
        }
        if counts.hits == 0 && hits == 0 {
            let because = counts.reasons();
            warn!(%site, file = %path, format = pending.format, lines = counts.lines, because,
                "No line of the file became a hit");
            return;
        }
        if counts.unreadable() * UNREADABLE_SHARE > counts.lines {
            warn!(%site, file = %path, format = pending.format, lines = counts.lines, unreadable = counts.unreadable(),
                sample = counts.unreadable_sample(),
                help = "set --log-format-name or --log-format in MATOMO_IMPORT_OPTIONS, then `log-analytics retry` reads these lines again",
                "Many lines of the file cannot be read");
        }
        info!(
            %site,
            file = %path,
            format = pending.format,
            lines = counts.lines,
            hits = counts.hits,
            left_out = Some(counts.left_out()).filter(|reasons| !reasons.is_empty()),
            nul_bytes = Some(*nul_bytes).filter(|bytes| *bytes > 0),
            seconds = format!("{:.1}", opened_at.elapsed().as_secs_f64()),
            "File imported"
        );
    }
}

fn is_unreadable(counts: &Counts) -> bool {
    counts.lines > 0 && counts.hits == 0 && counts.unreadable() == counts.lines
}

fn is_out_of_files(error: &ReadError) -> bool {
    // EMFILE and ENFILE: of this process, or of the whole machine.
    matches!(error.errno(), Some(24 | 23))
}

fn totals_of(counts: &Counts) -> Totals {
    let unreadable = crate::ledger::Spans::none();
    Totals { lines: counts.lines, hits: counts.hits, invalid: counts.invalid(), skipped: counts.left_out(), unreadable }
}
