//! One pass: every site below the logs folder, turn by turn, until all is in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use shared::entry::Exit;
use shared::shutdown::Shutdown;
use tracing::{error, info, warn};

use super::rota::Rota;
use super::visit::{Left, SiteProblem, Visit};
use crate::config::Settings;
use crate::discover::{self, Discovery, Settled, SiteId};
use crate::ledger::{Ledger, LedgerError};
use crate::matomo::{Matomo, sentence};
use crate::options::ImportOptions;

/// A pass waits so long for young files to settle; longer settle times are left to the next pass.
const REST_MAX: Duration = Duration::from_secs(30);

/// What a pass came to.
#[derive(Debug, Default)]
pub struct PassReport {
    pub(super) sites: u64,
    pub(super) files: u64,
    pub(super) lines: u64,
    pub(super) hits: u64,
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

    pub(super) fn problem(&mut self, exit: Exit, sentence: String) {
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
    pub(super) options: ImportOptions,
    /// The ledger site was seen to take marks.
    pub(super) marks_ready: bool,
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
        Self { settings, matomo, shutdown, options, marks_ready: false }
    }

    /// Imports what is there to import.
    pub async fn run(mut self) -> PassReport {
        let begin = Instant::now();
        let mut report = PassReport::default();
        if let Err((exit, problem)) = self.import_sites(&mut report).await {
            report.problem(exit, problem);
        }
        if self.shutdown.requested() {
            info!("Asked to stop: what is left is for the next pass");
        }
        let seconds = format!("{:.1}", begin.elapsed().as_secs_f64());
        let PassReport { sites, files, lines, hits, waiting, .. } = report;
        info!(sites, files, lines, hits, waiting, problems = report.problems.len(), seconds, "Pass ended");
        report
    }

    async fn import_sites(&mut self, report: &mut PassReport) -> Result<(), (Exit, String)> {
        let mut found = self.discover().await?;
        for remark in &found.remarks {
            warn!(remark, "Part of the logs folder is left out");
        }
        report.waiting = found.unsettled.values().map(|files| files.len() as u64).sum();
        let ledger = Ledger::open(&self.settings.ledger_folder()).map_err(|error| {
            let (exit, problem) = ledger_problem(&error);
            error!(why = problem, help = error.help(), "IMPORT_LOG_ERROR Ledger cannot be used");
            (exit, problem)
        })?;
        let mut sites = Sites { ledger, rota: Rota::default(), visits: BTreeMap::new(), left_alone: BTreeSet::new() };
        loop {
            let looked = Instant::now();
            self.look_at_all(&mut sites, &found, report).await?;
            loop {
                let Some(site) = sites.rota.next().filter(|_| !self.shutdown.requested()) else { return Ok(()) };
                self.give_a_turn(&mut sites, site, &found, report).await?;
                // Logs that came for others in the meantime must not wait for a backlog.
                if !sites.rota.is_empty() && looked.elapsed() >= self.settings.site_turn.get() {
                    break;
                }
            }
            found = self.list()?;
        }
    }

    /// Finds out which sites have something to import.
    async fn look_at_all(
        &self,
        sites: &mut Sites,
        found: &Discovery,
        report: &mut PassReport,
    ) -> Result<(), (Exit, String)> {
        let all: BTreeSet<SiteId> = found.settled.keys().copied().chain(sites.ledger.sites()).collect();
        for site in all {
            if self.shutdown.requested() {
                return Ok(());
            }
            if sites.left_alone.contains(&site) {
                continue;
            }
            let visit = sites.visits.entry(site).or_default();
            match self.look(&sites.ledger, site, files_of(found, site), &visit.turn).await {
                Ok(Some(bytes)) => sites.rota.wait(site, bytes),
                Ok(None) => {}
                Err(problem) => {
                    sites.left_alone.insert(site);
                    self.put_up_with(site, problem, report)?;
                }
            }
        }
        Ok(())
    }

    async fn give_a_turn(
        &mut self,
        sites: &mut Sites,
        site: SiteId,
        found: &Discovery,
        report: &mut PassReport,
    ) -> Result<(), (Exit, String)> {
        let begin = Instant::now();
        let visit = sites.visits.entry(site).or_default();
        let served = self.serve(&sites.ledger, site, files_of(found, site), visit, report).await;
        sites.rota.had(site, begin.elapsed());
        match served {
            Ok(Left::More) => sites.rota.wait(site, u64::MAX),
            Ok(Left::Nothing) => {}
            Ok(Left::ForTheNextPass) => drop(sites.left_alone.insert(site)),
            Err(problem) => {
                sites.left_alone.insert(site);
                self.put_up_with(site, problem, report)?;
            }
        }
        Ok(())
    }

    /// Says what is wrong with a site.
    ///
    /// # Errors
    /// When the other sites need not try either.
    fn put_up_with(&self, site: SiteId, problem: SiteProblem, report: &mut PassReport) -> Result<(), (Exit, String)> {
        match problem {
            SiteProblem::Asked => {}
            SiteProblem::Refused(refusal) if refusal.is_of_one_site() => {
                let problem = format!("site {site}: {refusal}");
                error!(%site, why = %refusal, help = refusal.help(), "IMPORT_LOG_ERROR Site cannot be imported");
                report.problem(refusal.exit(), problem);
            }
            SiteProblem::Refused(refusal) => {
                error!(why = %refusal, help = refusal.help(), "IMPORT_LOG_ERROR_CHECK Nothing can be imported now");
                return Err((refusal.exit(), refusal.to_string()));
            }
            SiteProblem::Ledger(error) => {
                let (exit, problem) = ledger_problem(&error);
                error!(%site, why = problem, help = error.help(), "IMPORT_LOG_ERROR Ledger cannot be used");
                if matches!(error, LedgerError::Write { .. }) {
                    return Err((exit, problem));
                }
                report.problem(exit, problem);
            }
            SiteProblem::TakeOver(error) => {
                let why = sentence(&error);
                error!(%site, why, help = "let the container's user read the folder, or set LEGACY_STATE_DIR; nothing of the site was imported",
                    "IMPORT_LOG_ERROR State of the shell image cannot be taken over");
                report.problem(Exit::Failed, format!("site {site}: {why}"));
            }
            SiteProblem::Busy => {
                warn!(%site, "Another importer is at work on the site, leaving it alone");
                report.problem(Exit::TryAgain, format!("another importer is at work on site {site}"));
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
        let give_up = || self.shutdown.requested();
        discover::discover(&folder, files, SystemTime::now(), settle_time.get(), &give_up).map_err(|problem| {
            let sentence = format!("cannot list the folder of the logs {}: {problem}", folder.display());
            error!(folder = %folder.display(), why = %problem,
                help = "mount the volume with the logs, or set ANALYTICS_DIR to the folder that holds `logs`",
                "IMPORT_LOG_ERROR Folder of the logs cannot be listed");
            (Exit::Config, sentence)
        })
    }
}

/// The sites of a pass.
struct Sites {
    ledger: Ledger,
    rota: Rota,
    visits: BTreeMap<SiteId, Visit>,
    /// Sites with which nothing more can be done in this pass.
    left_alone: BTreeSet<SiteId>,
}

fn files_of(found: &Discovery, site: SiteId) -> &[Settled] {
    found.settled.get(&site).map_or(&[][..], Vec::as_slice)
}

fn ledger_problem(error: &LedgerError) -> (Exit, String) {
    (Exit::CannotCreate, sentence(error))
}
