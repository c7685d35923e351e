//! What a pass does with one site: a look at what there is to do, and time slices in which it is done.

use std::rc::Rc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use shared::entry::Exit;
use tracing::{debug, error, info, warn};

use super::pass::{Pass, PassReport};
use super::recognise::Recognise;
use super::recovery;
use super::sender::{Delivered, Shape, Stop};
use super::site::{SiteImport, SiteReport};
use super::takeover::{Folders, TakeOverError, take_over};
use super::time_slice::TimeSlice;
use crate::config::Settings;
use crate::discover::{Discovery, LogFile, SiteId};
use crate::ledger::{Book, Content, FileId, Lease, Ledger, LedgerError, Standing, TurnEnded};
use crate::matomo::{ApiError, ConcurrencyLimit, Delivery, Invalidation, Refusal, SiteFacts, Size, Throttle, sentence};

/// Clocks that differ by more are said.
const CLOCK_ODD: SignedDuration = SignedDuration::from_mins(5);
/// With clocks that differ by more nothing is imported: no host that keeps time does so, and dates decide what is dropped.
const CLOCK_WRONG: SignedDuration = SignedDuration::from_hours(24);

/// A site within a pass.
#[derive(Debug, Default)]
pub struct Session {
    /// How long it may take, and what it is done with.
    pub slice: TimeSlice,
    /// Hits in a batch, if the web server took no larger ones.
    smaller: Option<usize>,
    /// It had a slice before.
    begun: bool,
    /// What waits for a person was named.
    named: bool,
    /// Matomo was asked whether it still has what arrived last.
    held_against_matomo: bool,
    /// How many files waited when this was last known, as `status` counts them.
    pub waiting: Option<u64>,
}

/// What a time slice left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing, as far as was known at its beginning.
    Nothing,
    /// Work for another slice.
    More,
    /// Something is in the way; the next pass tries again.
    ForTheNextPass,
}

/// Why a site was not imported.
#[derive(Debug, thiserror::Error)]
pub enum SiteProblem {
    /// Matomo will not have it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What the shell image left cannot be read.
    #[error(transparent)]
    TakeOver(TakeOverError),
    /// Somebody else imports into it.
    #[error("another importer is at work")]
    Busy,
    /// There is a shutdown request.
    #[error("asked to stop")]
    Asked,
}

impl From<TakeOverError> for SiteProblem {
    fn from(error: TakeOverError) -> Self {
        match error {
            TakeOverError::Ledger(error) => Self::Ledger(error),
            TakeOverError::Asked => Self::Asked,
            error => Self::TakeOver(error),
        }
    }
}

impl Pass<'_> {
    /// How many bytes there are to import, roughly; `None` if there is nothing to do.
    pub(super) async fn look(
        &self,
        ledger: &Ledger,
        site: SiteId,
        files: &mut [LogFile],
        session: &mut Session,
        report: &mut PassReport,
    ) -> Result<Option<u64>, SiteProblem> {
        let mut lease = ledger.claim(site)?.ok_or(SiteProblem::Busy)?;
        let (legacy, logs) = (self.settings.legacy_folder(), self.settings.logs_folder());
        let reading = self.options.reading(self.shutdown);
        take_over(&mut lease, files, Folders { legacy: &legacy, logs: &logs }, &reading, self.shutdown)?;
        if !std::mem::replace(&mut session.named, true) {
            report.name_what_waits_for_a_person(&lease);
        }
        let in_doubt = lease.book().pending().any(|pending| pending.standing == Standing::Open);
        let give_up = || self.shutdown.requested();
        let recognise = Recognise { reading: &reading, defers: true, now: self.now(), give_up: &give_up };
        let found = recognise.files(&mut lease, files)?;
        if self.shutdown.requested() {
            return Err(SiteProblem::Asked);
        }
        report.quarantined(site, found.quarantined);
        let unreadable = found.unreadable.iter().any(|(path, _)| session.slice.wants(path));
        session.waiting = Some(count_waiting(lease.book(), files));
        let waiting = found.waiting.iter().filter(|(_, index)| session.slice.wants(&files[*index].path));
        let bytes: Vec<u64> = waiting.map(|(id, index)| left(&lease, *id, files[*index].stat.size)).collect();
        let begun = lease.book().files().any(Content::is_begun);
        let is_idle = bytes.is_empty() && !unreadable && !in_doubt && found.deferred == 0 && !begun;
        if is_idle && !self.has_lost_batches(&lease, session).await {
            self.invalidate(&mut lease).await?;
            return Ok(None);
        }
        Ok(Some(bytes.iter().sum()))
    }

    /// Whether Matomo's database went back to an earlier state, asked once a pass. A Matomo that does not answer keeps nobody
    /// from doing nothing, and is not asked about other sites.
    async fn has_lost_batches(&self, lease: &Lease, session: &mut Session) -> bool {
        let Some(ledger_site) = self.matomo.ledger_site() else { return false };
        if std::mem::replace(&mut session.held_against_matomo, true) || self.is_silent.get() {
            return false;
        }
        let answer = tokio::select! {
            answer = recovery::has_lost_batches(lease, &self.matomo, ledger_site) => answer,
            () = self.shutdown.wait() => return false,
        };
        answer.unwrap_or_else(|error| {
            let (site, why) = (lease.book().site(), error.sentence());
            debug!(%site, why, "Matomo cannot be asked whether it has what arrived last");
            self.is_silent.set(true);
            false
        })
    }

    /// Imports what the site has, as far as its slice goes. Answers what is left.
    pub(super) async fn serve(
        &mut self,
        ledger: &Ledger,
        site: SiteId,
        found: &mut Discovery,
        session: &mut Session,
        report: &mut PassReport,
    ) -> Result<Left, SiteProblem> {
        let mut lease = ledger.claim(site)?.ok_or(SiteProblem::Busy)?;
        if !self.marks_ready {
            self.use_ledger_site().await?;
            self.marks_ready = true;
        }
        let facts = self.facts(site).await?;
        self.check_clock(&lease)?;
        session.slice.begin(self.settings.site_turn.get());
        let begin = Instant::now();
        let mut hits = 0;
        let stop = loop {
            let mut shape = self.shape();
            shape.batch_hits_max = session.smaller.unwrap_or(shape.batch_hits_max);
            let came = self.import_files(&mut lease, found, &facts, shape, &mut session.slice).await;
            let smaller = self.take_in(site, &came, report);
            hits += came.delivered.tracked;
            if smaller.is_none() {
                break came.stop;
            }
            session.smaller = smaller;
        };
        report.sites += u64::from(!std::mem::replace(&mut session.begun, true));
        if hits > 0 {
            let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            lease.turn_ended(TurnEnded { at_ms: Timestamp::now().as_millisecond(), hits, took_ms })?;
        }
        session.waiting = Some(count_waiting(lease.book(), found.files_of(site)));
        if let Some(Stop::RecordingOff) = stop {
            return Err(Refusal::RecordingOff.into());
        }
        self.invalidate(&mut lease).await?;
        Ok(match stop {
            None => Left::Nothing,
            Some(Stop::TurnOver) => Left::More,
            Some(_) => Left::ForTheNextPass,
        })
    }

    async fn import_files(
        &self,
        lease: &mut Lease,
        found: &mut Discovery,
        facts: &SiteFacts,
        shape: Shape,
        slice: &mut TimeSlice,
    ) -> SiteReport {
        let options = &self.options;
        let delivery = Delivery {
            sink: self.matomo.clone(),
            ledger_site: shape.ledger_site,
            retry: self.settings.retry_policy(lease.book().slowest_ms()),
            limit: ConcurrencyLimit::new(shape.connections),
            size: Size::new(shape.batch_hits_max),
            throttle: Throttle::new(self.settings.requests_per_second.map(|count| count.get() as u32)),
            shutdown: self.shutdown.clone(),
        };
        let reading = options.reading(self.shutdown);
        let import = SiteImport {
            delivery: Rc::new(delivery),
            shape,
            reading: &reading,
            hits: &options.hits,
            facts,
            attempts_max: self.settings.attempts.get() as u32,
            now: self.now(),
            is_all: !found.unreadable.iter().any(|unlisted| unlisted.site == facts.id),
        };
        let files = found.files.entry(facts.id).or_default();
        tokio::task::LocalSet::new().run_until(import.run(lease, files, slice)).await
    }

    /// Adds a site's report to the pass's; answers with a smaller batch if that is worth another try.
    fn take_in(&self, site: SiteId, from: &SiteReport, report: &mut PassReport) -> Option<usize> {
        report.files += from.files;
        report.lines += from.counts.lines;
        report.hits += from.delivered.tracked;
        report.resting += from.resting;
        report.quarantined(site, from.quarantined);
        if let Some(exit) = from.failed.iter().copied().max_by_key(|exit| super::pass::gravity(*exit)) {
            report.problem(exit, format!("site {site}: {} files could not be read", from.failed.len()));
        }
        let Delivered { withheld, short, .. } = from.delivered;
        if withheld > 0 {
            report
                .problem(Exit::Failed, format!("site {site}: {withheld} lines are set aside and wait for a decision"));
        }
        if short > 0 {
            report.problem(Exit::Failed, format!("site {site}: Matomo stored {short} hits incompletely"));
        }
        if from.vanished > 0 {
            report.problem(Exit::Failed, format!("site {site}: {} files went away half imported", from.vanished));
        }
        match &from.stop {
            None | Some(Stop::Asked | Stop::Again) => None,
            Some(Stop::TurnOver) => {
                let hits = from.delivered.tracked;
                info!(%site, files = from.files, hits, "Turn of the site is over, it goes on once the others had theirs");
                None
            }
            Some(Stop::TooLarge { bytes, hits }) if *hits > 1 => {
                let smaller = hits / 2;
                warn!(%site, bytes, hits, smaller, "Web server takes no request of this size (status 413), sending smaller batches; set MATOMO_BATCH_SIZE");
                Some(smaller)
            }
            Some(Stop::TooSlow { hits }) if *hits > 1 => {
                let smaller = hits / 2;
                warn!(%site, hits, smaller, "A gateway gives up before Matomo has stored a batch, sending smaller batches; set MATOMO_BATCH_SIZE, or raise the gateway's timeout");
                Some(smaller)
            }
            Some(stop) => {
                let exit = match stop {
                    Stop::Ledger(error) => super::pass::ledger_exit(error),
                    Stop::LedgerUnclear(why) => return self.ledger_unclear(site, why, report),
                    Stop::NotAllowed => Exit::Failed,
                    Stop::NotNow(_) => Exit::Unavailable,
                    _ => Exit::TryAgain,
                };
                let why = sentence(stop);
                error!(%site, why, "IMPORT_LOG_ERROR_CHECK Import of the site stopped, everything not sent is kept for the next pass");
                report.problem(exit, format!("site {site}: {why}"));
                None
            }
        }
    }

    /// The ledger does not fit what Matomo has: a person decides.
    fn ledger_unclear(&self, site: SiteId, why: &str, report: &mut PassReport) -> Option<usize> {
        let refusal = Refusal::Ledger { site, why: why.to_owned() };
        error!(%site, why, help = refusal.help(), "IMPORT_LOG_ERROR Ledger of the site does not fit Matomo, nothing is sent");
        report.problem(refusal.exit(), refusal.to_string());
        None
    }

    /// How late it is, by Matomo's clock where that is known: it is Matomo that takes a hit from its future for one of now.
    fn now(&self) -> Timestamp {
        let ahead = self.matomo.clock().ahead().unwrap_or_default();
        Timestamp::now().checked_add(ahead).unwrap_or_else(|_| Timestamp::now())
    }

    /// Makes sure that our clock is not so wrong that dates of lines cannot be judged.
    fn check_clock(&self, lease: &Lease) -> Result<(), Refusal> {
        let (off, of) = match self.matomo.clock().ahead() {
            Some(ahead) => (ahead, "that of Matomo"),
            // Without a date in Matomo's answers, what was seen before tells when our clock went back.
            None => {
                let known = lease.book().newest_log_ns().and_then(|ns| Timestamp::from_nanosecond(ns.into()).ok());
                (known.map_or(SignedDuration::ZERO, |known| known.duration_since(Timestamp::now())), "the newest log")
            }
        };
        let direction = if off.is_negative() { "ahead of" } else { "behind" };
        let length = crate::report::ago(off.abs());
        if off.abs() > CLOCK_WRONG && (of != "the newest log" || !off.is_negative()) {
            return Err(Refusal::WrongClock { off: length, direction, of });
        }
        if off.abs() > CLOCK_ODD && of != "the newest log" {
            warn!(off = length, direction, of, "Clocks differ: dates of log lines are judged by Matomo's");
        }
        Ok(())
    }

    fn shape(&self) -> Shape {
        let Settings { recorders, batch_size, .. } = self.settings;
        let server = &self.options.server;
        Shape {
            connections: server.recorders.unwrap_or(recorders.as_usize()),
            batch_hits_max: server.recorder_max_payload_size.unwrap_or(batch_size.as_usize()),
            ledger_site: self.matomo.ledger_site(),
            ..Shape::default()
        }
    }

    /// Makes sure that marks will be taken, before the first batch carries one.
    async fn use_ledger_site(&mut self) -> Result<(), SiteProblem> {
        let Some(site) = self.matomo.ledger_site() else { return Ok(()) };
        let facts = self.facts(site).await.map_err(|problem| match problem {
            SiteProblem::Refused(refusal) if refusal.is_of_one_site() => {
                Refusal::LedgerSite { why: refusal.to_string() }.into()
            }
            other => other,
        })?;
        self.matomo.mark_on(&facts);
        Ok(())
    }

    async fn facts(&self, site: SiteId) -> Result<SiteFacts, SiteProblem> {
        self.matomo.preflight(site).await?;
        self.matomo.site(site).await.map_err(|error| match error {
            ApiError::Refused { .. } => Refusal::UnknownSite { site }.into(),
            error => self.matomo.refusal_of(&error).into(),
        })
    }

    /// In the quiet hours, asks Matomo to compute again the reports of the days that received hits.
    async fn invalidate(&self, lease: &mut Lease) -> Result<(), SiteProblem> {
        let local = Timestamp::now().to_zoned(self.settings.zone.clone()).time();
        let is_time = self.settings.quiet_hours.contains(local) && !self.shutdown.requested();
        if lease.book().days().is_empty() || !is_time {
            return Ok(());
        }
        let site = lease.book().site();
        let days = lease.book().days().len();
        match self.matomo.invalidate(site, lease.book().days().iter()).await {
            Ok(Invalidation::Done) => info!(%site, days, "Reports of days with new hits are invalidated"),
            Ok(Invalidation::LeftToMatomo(why)) => {
                info!(%site, days, why, "Reports are not invalidated (only a superuser's token may); Matomo notes past days by itself");
            }
            Err(error) => {
                warn!(%site, days, why = error.sentence(), "Reports could not be invalidated, trying again in the next pass");
                return Ok(());
            }
        }
        Ok(lease.invalidated()?)
    }
}

fn count_waiting(book: &Book, files: &[LogFile]) -> u64 {
    files.iter().filter(|file| crate::report::waits(book, file)).count() as u64
}

/// Bytes of a file beyond its checkpoint; for a compressed one this is a guess.
fn left(lease: &Lease, file: FileId, size: u64) -> u64 {
    let checkpoint = lease.book().file(file).map_or(0, |entry| entry.checkpoint);
    if checkpoint < size { size - checkpoint } else { size }
}
