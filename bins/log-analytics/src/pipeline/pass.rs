//! One pass: every site below the logs folder, one after another.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use shared::entry::Exit;
use shared::shutdown::Shutdown;
use tracing::{error, info, warn};

use super::flow::{Shape, Stop};
use super::site::{SiteImport, SiteReport, recognise};
use super::takeover::{TakeOverError, take_over};
use crate::config::Settings;
use crate::discover::{self, Discovery, Settled, SiteId};
use crate::ledger::{Ledger, LedgerError, Standing};
use crate::matomo::{ApiError, Delivery, Hands, Invalidation, Matomo, Refusal, SiteFacts, Throttle, sentence};
use crate::options::ImportOptions;

/// A pass waits so long for young files to settle; longer settle times are left to the next pass.
const REST_MAX: Duration = Duration::from_secs(30);

/// What a pass came to.
#[derive(Debug, Default)]
pub struct PassReport {
    sites: u64,
    files: u64,
    lines: u64,
    hits: u64,
    waiting: u64,
    problems: Vec<(Exit, String)>,
}

impl PassReport {
    /// The exit code: the gravest problem's, or 0.
    pub fn exit(&self) -> Exit {
        const GRAVEST_FIRST: [Exit; 5] =
            [Exit::Config, Exit::CannotCreate, Exit::Unavailable, Exit::Failed, Exit::TryAgain];
        let met = |exit: &Exit| self.problems.iter().any(|(problem, _)| problem.code() == exit.code());
        GRAVEST_FIRST.into_iter().find(met).unwrap_or(Exit::Done)
    }

    /// How it went, in a sentence.
    pub fn sentence(&self) -> String {
        let done =
            format!("{} hits of {} lines in {} files of {} sites", self.hits, self.lines, self.files, self.sites);
        match self.problems.first() {
            None => format!("imported {done}"),
            Some((_, problem)) => format!("{problem} (imported {done})"),
        }
    }

    fn problem(&mut self, exit: Exit, sentence: String) {
        self.problems.push((exit, sentence));
    }
}

/// Everything a pass works with.
pub struct Pass<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The way to Matomo.
    pub matomo: Matomo,
    /// The wish to stop.
    pub shutdown: &'a Shutdown,
    options: ImportOptions,
}

impl<'a> Pass<'a> {
    /// A pass by these settings. The files of patterns are read again for it, so that a change of them needs no restart.
    pub fn new(settings: &'a Settings, matomo: Matomo, shutdown: &'a Shutdown) -> Self {
        let options = settings.import_options.read_again().unwrap_or_else(|error| {
            warn!(
                why = sentence(&error),
                "Lists of MATOMO_IMPORT_OPTIONS cannot be read again, using them as they were at the start"
            );
            settings.import_options.clone()
        });
        Self { settings, matomo, shutdown, options }
    }

    /// Imports what is there to import.
    pub async fn run(mut self) -> PassReport {
        let begin = Instant::now();
        let mut report = PassReport::default();
        if let Err((exit, problem)) = self.import_sites(&mut report).await {
            report.problem(exit, problem);
        }
        let seconds = format!("{:.1}", begin.elapsed().as_secs_f64());
        let PassReport { sites, files, lines, hits, waiting, .. } = report;
        info!(sites, files, lines, hits, waiting, problems = report.problems.len(), seconds, "Pass ended");
        report
    }

    async fn import_sites(&mut self, report: &mut PassReport) -> Result<(), (Exit, String)> {
        let discovery = self.discover().await?;
        for remark in &discovery.remarks {
            warn!(remark, "Part of the logs folder is left out");
        }
        report.waiting = discovery.unsettled.values().map(|files| files.len() as u64).sum();
        let ledger = Ledger::open(&self.settings.ledger_folder()).map_err(|error| ledger_problem(&error))?;
        let sites: BTreeSet<SiteId> = discovery.settled.keys().copied().chain(ledger.sites()).collect();
        let mut ready = false;
        for site in sites {
            if self.shutdown.requested() {
                return Ok(());
            }
            let files = discovery.settled.get(&site).map_or(&[][..], Vec::as_slice);
            match self.import_site(&ledger, site, files, &mut ready, report).await {
                Ok(()) => {}
                Err(SiteProblem::Refused(refusal)) if refusal.is_of_one_site() => {
                    let problem = format!("site {site}: {refusal}");
                    error!(%site, why = %refusal, help = refusal.help(), "IMPORT_LOG_ERROR Site cannot be imported");
                    report.problem(refusal.exit(), problem);
                }
                Err(SiteProblem::Refused(refusal)) => {
                    error!(why = %refusal, help = refusal.help(), "IMPORT_LOG_ERROR_CHECK Nothing can be imported now");
                    return Err((refusal.exit(), refusal.to_string()));
                }
                Err(SiteProblem::Ledger(error)) => {
                    let (exit, problem) = ledger_problem(&error);
                    error!(%site, why = problem, help = error.help(), "IMPORT_LOG_ERROR Ledger cannot be used");
                    return Err((exit, problem));
                }
                Err(SiteProblem::TakeOver(error)) => {
                    let why = sentence(&error);
                    error!(%site, why, help = "let the container's user read the folder, or set LEGACY_STATE_DIR; nothing of the site was imported",
                        "IMPORT_LOG_ERROR State of the shell image cannot be taken over");
                    report.problem(Exit::Failed, format!("site {site}: {why}"));
                }
                Err(SiteProblem::Busy) => {
                    warn!(%site, "Another importer is at work on the site, leaving it alone");
                    report.problem(Exit::TryAgain, format!("another importer is at work on site {site}"));
                }
            }
        }
        Ok(())
    }

    /// Lists the files; those that changed just now get the time to settle, once.
    async fn discover(&self) -> Result<Discovery, (Exit, String)> {
        let found = self.list()?;
        let Some(rest) = found.longest_rest().filter(|rest| *rest <= REST_MAX) else { return Ok(found) };
        tokio::select! {
            () = self.shutdown.wait() => return Ok(found),
            () = tokio::time::sleep(rest) => {}
        }
        self.list()
    }

    fn list(&self) -> Result<Discovery, (Exit, String)> {
        let Settings { files, settle_time, .. } = self.settings;
        let folder = self.settings.logs_folder();
        discover::discover(&folder, files, SystemTime::now(), settle_time.get()).map_err(|problem| {
            let sentence = format!("cannot list the folder of the logs {}: {problem}", folder.display());
            error!(folder = %folder.display(), why = %problem,
                help = "mount the volume with the logs, or set ANALYTICS_DIR to the folder that holds `logs`",
                "IMPORT_LOG_ERROR Folder of the logs cannot be listed");
            (Exit::Config, sentence)
        })
    }

    async fn import_site(
        &mut self,
        ledger: &Ledger,
        site: SiteId,
        files: &[Settled],
        ready: &mut bool,
        report: &mut PassReport,
    ) -> Result<(), SiteProblem> {
        let Some(mut lease) = ledger.claim(site)? else { return Err(SiteProblem::Busy) };
        take_over(&mut lease, files, &self.settings.legacy_folder())?;
        let in_doubt = lease.book().pending().any(|pending| pending.standing == Standing::Open);
        let work = in_doubt || !recognise(&mut lease, files)?.is_empty();
        if work {
            if !*ready {
                self.use_ledger_site().await?;
                *ready = true;
            }
            let facts = self.facts(site).await?;
            let mut shape = self.shape();
            loop {
                let site_report = self.import_files(&mut lease, files, &facts, shape.clone()).await;
                match self.take_in(site, &site_report, report) {
                    Some(smaller) => shape.batch_hits_max = smaller,
                    None => break,
                }
                if let Some(Stop::RecordingOff) = site_report.stop {
                    return Err(Refusal::RecordingOff.into());
                }
            }
        }
        self.invalidate(&mut lease).await?;
        Ok(())
    }

    async fn import_files(
        &self,
        lease: &mut crate::ledger::Lease,
        files: &[Settled],
        facts: &SiteFacts,
        shape: Shape,
    ) -> SiteReport {
        let options = &self.options;
        let delivery = Delivery {
            sink: self.matomo.clone(),
            patience: self.settings.patience(lease.book().slowest_ms()),
            hands: Hands::new(shape.recorders),
            throttle: Throttle::new(self.settings.requests_per_second.map(|count| count.get() as u32)),
            shutdown: self.shutdown.clone(),
        };
        let reading = options.reading();
        let import = SiteImport {
            delivery: Rc::new(delivery),
            shape,
            reading: &reading,
            hits: &options.hits,
            facts,
            attempts_max: self.settings.attempts.get() as u32,
        };
        tokio::task::LocalSet::new().run_until(import.run(lease, files)).await
    }

    /// Adds a site's report to the pass's; answers with a smaller batch if that is worth another try.
    fn take_in(&self, site: SiteId, from: &SiteReport, report: &mut PassReport) -> Option<usize> {
        report.sites += 1;
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
            Some(Stop::TooLarge { bytes, hits }) if *hits > 1 => {
                let smaller = hits / 2;
                warn!(%site, bytes, hits, smaller, "Web server takes no request of this size (status 413), sending smaller batches; set MATOMO_BATCH_SIZE");
                report.sites -= 1;
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
    async fn invalidate(&self, lease: &mut crate::ledger::Lease) -> Result<(), SiteProblem> {
        let local = Timestamp::now().to_zoned(self.settings.zone.clone()).time();
        if lease.book().days().is_empty() || !self.settings.quiet_hours.contains(local) {
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

/// Why a site was not imported.
#[derive(Debug, thiserror::Error)]
enum SiteProblem {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    TakeOver(TakeOverError),
    #[error("another importer is at work")]
    Busy,
}

impl From<TakeOverError> for SiteProblem {
    fn from(error: TakeOverError) -> Self {
        match error {
            TakeOverError::Ledger(error) => Self::Ledger(error),
            error => Self::TakeOver(error),
        }
    }
}

fn ledger_problem(error: &LedgerError) -> (Exit, String) {
    (Exit::CannotCreate, sentence(error))
}

/// Files per site that wait, for the operator's table; stat only.
pub fn waiting(discovery: &Discovery, ledger: &Ledger) -> Result<BTreeMap<SiteId, u64>, LedgerError> {
    let mut waiting = BTreeMap::new();
    for (&site, files) in &discovery.settled {
        let book = ledger.peek(site)?;
        let open = files.iter().filter(|file| !matches!(book.recognise(file.file()), Some((_, true))));
        waiting.insert(site, open.count() as u64);
    }
    Ok(waiting)
}
