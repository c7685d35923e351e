//! What a pass does with one site: a look at what there is to do, and a turn at doing it.

use std::rc::Rc;
use std::time::Instant;

use jiff::Timestamp;
use shared::entry::Exit;
use tracing::{error, info, warn};

use super::flow::{Shape, Stop};
use super::pass::{Pass, PassReport};
use super::site::{SiteImport, SiteReport, recognise};
use super::takeover::{Folders, TakeOverError, take_over};
use super::turn::Turn;
use crate::config::Settings;
use crate::discover::{Settled, SiteId};
use crate::ledger::{FileId, Lease, Ledger, LedgerError, Standing, TurnEnded};
use crate::matomo::{ApiError, Delivery, Hands, Invalidation, Refusal, SiteFacts, Size, Throttle, sentence};

/// A site within a pass.
#[derive(Debug, Default)]
pub struct Visit {
    /// How long it may take, and what it is done with.
    pub turn: Turn,
    /// Hits in a batch, if the web server took no larger ones.
    smaller: Option<usize>,
    /// It had a turn before.
    begun: bool,
}

/// What a turn left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing, as far as was known at its beginning.
    Nothing,
    /// Work for another turn.
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
    /// There is a wish to stop.
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
        files: &[Settled],
        turn: &Turn,
    ) -> Result<Option<u64>, SiteProblem> {
        let mut lease = ledger.claim(site)?.ok_or(SiteProblem::Busy)?;
        let (legacy, logs) = (self.settings.legacy_folder(), self.settings.logs_folder());
        take_over(&mut lease, files, Folders { legacy: &legacy, logs: &logs }, self.shutdown)?;
        let in_doubt = lease.book().pending().any(|pending| pending.standing == Standing::Open);
        let found = recognise(&mut lease, files, &|| self.shutdown.requested())?;
        if self.shutdown.requested() {
            return Err(SiteProblem::Asked);
        }
        let unreadable = found.unreadable.iter().any(|(path, _)| turn.wants(path));
        let waiting = found.waiting.iter().filter(|(_, file)| turn.wants(&file.path));
        let bytes: Vec<u64> = waiting.map(|(id, file)| left(&lease, *id, file.size)).collect();
        if bytes.is_empty() && !unreadable && !in_doubt {
            self.invalidate(&mut lease).await?;
            return Ok(None);
        }
        Ok(Some(bytes.iter().sum()))
    }

    /// Imports what the site has, as far as its turn goes. Answers what is left.
    pub(super) async fn serve(
        &mut self,
        ledger: &Ledger,
        site: SiteId,
        files: &[Settled],
        visit: &mut Visit,
        report: &mut PassReport,
    ) -> Result<Left, SiteProblem> {
        let mut lease = ledger.claim(site)?.ok_or(SiteProblem::Busy)?;
        if !self.marks_ready {
            self.use_ledger_site().await?;
            self.marks_ready = true;
        }
        let facts = self.facts(site).await?;
        visit.turn.begin(self.settings.site_turn.get());
        let begin = Instant::now();
        let mut hits = 0;
        let stop = loop {
            let mut shape = self.shape();
            shape.batch_hits_max = visit.smaller.unwrap_or(shape.batch_hits_max);
            let came = self.import_files(&mut lease, files, &facts, shape, &mut visit.turn).await;
            let smaller = self.take_in(site, &came, report);
            hits += came.delivered.tracked;
            if smaller.is_none() {
                break came.stop;
            }
            visit.smaller = smaller;
        };
        report.sites += u64::from(!std::mem::replace(&mut visit.begun, true));
        if hits > 0 {
            let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            lease.turn_ended(TurnEnded { at_ms: Timestamp::now().as_millisecond(), hits, took_ms })?;
        }
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
        files: &[Settled],
        facts: &SiteFacts,
        shape: Shape,
        turn: &mut Turn,
    ) -> SiteReport {
        let options = &self.options;
        let delivery = Delivery {
            sink: self.matomo.clone(),
            patience: self.settings.patience(lease.book().slowest_ms()),
            hands: Hands::new(shape.recorders),
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
        };
        tokio::task::LocalSet::new().run_until(import.run(lease, files, turn)).await
    }

    /// Adds a site's report to the pass's; answers with a smaller batch if that is worth another try.
    fn take_in(&self, site: SiteId, from: &SiteReport, report: &mut PassReport) -> Option<usize> {
        report.files += from.files;
        report.lines += from.counts.lines;
        report.hits += from.delivered.tracked;
        if from.quarantined > 0 {
            report.problem(Exit::Failed, format!("site {site}: {} files are quarantined", from.quarantined));
        }
        if from.failed > 0 {
            report.problem(Exit::TryAgain, format!("site {site}: {} files could not be read", from.failed));
        }
        if from.delivered.withheld > 0 {
            report.problem(Exit::Failed, format!("site {site}: {} lines wait for a decision", from.delivered.withheld));
        }
        match &from.stop {
            None | Some(Stop::Asked) => None,
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
                    Stop::Ledger(_) => Exit::CannotCreate,
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

    fn shape(&self) -> Shape {
        let Settings { recorders, batch_size, window, .. } = self.settings;
        let server = &self.options.server;
        Shape {
            recorders: server.recorders.unwrap_or(recorders.as_usize()),
            batch_hits_max: server.recorder_max_payload_size.unwrap_or(batch_size.as_usize()),
            window_hits_max: window.as_usize(),
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

/// Bytes of a file beyond its checkpoint; for a compressed one this is a guess.
fn left(lease: &Lease, file: FileId, size: u64) -> u64 {
    let checkpoint = lease.book().file(file).map_or(0, |entry| entry.checkpoint);
    if checkpoint < size { size - checkpoint } else { size }
}
