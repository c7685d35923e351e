//! One pass: every site below the logs folder, slice by slice, until all is in.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use shared::entry::Exit;
use shared::shutdown::Shutdown;
use tracing::{error, info, warn};

use super::fair_queue::FairQueue;
use super::session::{Left, Session, SiteProblem};
use crate::config::Settings;
use crate::discover::{self, Discovery, SiteId, Unlisted};
use crate::ledger::{FileState, Lease, Ledger, LedgerError, Standing};
use crate::matomo::{Matomo, Refusal, sentence};
use crate::options::ImportOptions;
use crate::trouble;

/// A pass waits so long for young files to settle; longer settle times are left to the next pass.
const REST_MAX: Duration = Duration::from_secs(30);

/// What a pass came to.
#[derive(Debug, Default)]
pub struct PassReport {
    pub(super) sites: u64,
    pub(super) files: u64,
    pub(super) lines: u64,
    pub(super) hits: u64,
    pub(super) resting: u64,
    being_written: u64,
    problems: Vec<(Exit, String)>,
}

/// Exit codes by how grave they are; the gravest counts most.
pub(super) fn gravity(exit: Exit) -> usize {
    const GRAVEST_LAST: [Exit; 5] = [Exit::TryAgain, Exit::Failed, Exit::Unavailable, Exit::CannotCreate, Exit::Config];
    GRAVEST_LAST.iter().position(|known| known.code() == exit.code()).map_or(0, |place| place + 1)
}

impl PassReport {
    /// The exit code: the gravest problem's, or 0.
    pub fn exit(&self) -> Exit {
        let exits = self.problems.iter().map(|(exit, _)| *exit);
        exits.max_by_key(|exit| gravity(*exit)).unwrap_or(Exit::Done)
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

    pub(super) fn quarantined(&mut self, site: SiteId, files: u64) {
        if files > 0 {
            self.problem(Exit::Failed, format!("site {site}: {files} files are quarantined"));
        }
    }

    /// What earlier passes left for a person is named by each pass until somebody decided.
    pub(super) fn name_what_waits_for_a_person(&mut self, lease: &Lease) {
        let (book, site) = (lease.book(), lease.book().site());
        for content in book.files() {
            if let FileState::Quarantined(why) = &content.state {
                warn!(%site, file = %content.path, %why, "IMPORT_LOG_ERROR File is still quarantined; release it with `log-analytics retry`");
            }
        }
        let withheld = book.pending().filter(|pending| matches!(pending.standing, Standing::Withheld(_)));
        let lines: usize = withheld.map(|pending| pending.intent.hits()).sum();
        if lines > 0 {
            warn!(%site, lines, "IMPORT_LOG_ERROR Lines are still set aside; decide with `log-analytics retry --resend` or `--skip`");
            self.problem(Exit::Failed, format!("site {site}: {lines} lines are set aside and wait for a decision"));
        }
    }
}

/// Everything a pass works with.
pub struct Pass<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The way to Matomo.
    pub matomo: Matomo,
    /// The shutdown request.
    pub shutdown: &'a Shutdown,
    pub(super) options: ImportOptions,
    /// The ledger site was seen to take marks.
    pub(super) marks_ready: bool,
    /// Matomo did not answer a question that could wait.
    pub(super) is_silent: Cell<bool>,
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
        Self { settings, matomo, shutdown, options, marks_ready: false, is_silent: Cell::new(false) }
    }

    /// Imports what is there to import.
    pub async fn run(mut self) -> PassReport {
        let begin = Instant::now();
        let mut report = PassReport::default();
        let mut sessions = BTreeMap::new();
        let imported = self.import_sites(&mut sessions, &mut report).await;
        let saw_all = imported.is_ok() && !self.shutdown.requested();
        if let Err((exit, problem)) = imported {
            report.problem(exit, problem);
        }
        if self.shutdown.requested() {
            info!("Asked to stop: what is left is for the next pass");
        }
        let seconds = format!("{:.1}", begin.elapsed().as_secs_f64());
        let counted = sessions.values().map(|session| session.waiting).sum::<Option<u64>>();
        let waiting = report.being_written + counted.filter(|_| saw_all).unwrap_or_else(|| self.count_waiting());
        let PassReport { sites, files, lines, hits, .. } = report;
        info!(sites, files, lines, hits, waiting, problems = report.problems.len(), seconds, "Pass ended");
        report
    }

    async fn import_sites(
        &mut self,
        sessions: &mut BTreeMap<SiteId, Session>,
        report: &mut PassReport,
    ) -> Result<(), (Exit, String)> {
        let mut found = self.discover().await?;
        for remark in &found.remarks {
            warn!(remark, "Part of the logs folder is left out");
        }
        report.being_written = found.being_written.values().map(|files| files.len() as u64).sum();
        self.name_unlisted(&found.unreadable, report);
        self.check_ledger_site(&found)?;
        let ledger = Ledger::open(&self.settings.ledger_folder()).map_err(|error| {
            let (exit, problem) = ledger_problem(&error);
            error!(why = problem, help = error.help(), "IMPORT_LOG_ERROR Ledger cannot be used");
            (exit, problem)
        })?;
        let mut sites = Sites { ledger, queue: FairQueue::default(), sessions, left_alone: BTreeSet::new() };
        loop {
            let looked = Instant::now();
            self.look_at_all(&mut sites, &mut found, report).await?;
            loop {
                let Some(site) = sites.queue.next().filter(|_| !self.shutdown.requested()) else { return Ok(()) };
                self.give_a_turn(&mut sites, site, &mut found, report).await?;
                // Logs that came for others in the meantime must not wait for a backlog.
                if !sites.queue.is_empty() && looked.elapsed() >= self.settings.site_turn.get() {
                    break;
                }
            }
            found = self.list()?;
        }
    }

    /// Finds out which sites have something to import.
    async fn look_at_all(
        &self,
        sites: &mut Sites<'_>,
        found: &mut Discovery,
        report: &mut PassReport,
    ) -> Result<(), (Exit, String)> {
        let all: BTreeSet<SiteId> = found.files.keys().copied().chain(sites.ledger.sites()).collect();
        for site in all {
            if self.shutdown.requested() {
                return Ok(());
            }
            if sites.left_alone.contains(&site) {
                continue;
            }
            let session = sites.sessions.entry(site).or_default();
            let files = found.files.entry(site).or_default();
            match self.look(&sites.ledger, site, files, session, report).await {
                Ok(Some(bytes)) => sites.queue.wait(site, bytes),
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
        sites: &mut Sites<'_>,
        site: SiteId,
        found: &mut Discovery,
        report: &mut PassReport,
    ) -> Result<(), (Exit, String)> {
        let begin = Instant::now();
        let session = sites.sessions.entry(site).or_default();
        let served = self.serve(&sites.ledger, site, found, session, report).await;
        sites.queue.had(site, begin.elapsed());
        match served {
            Ok(Left::More) => sites.queue.wait(site, u64::MAX),
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
                if error.is_of_all_sites() {
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

    /// Says which parts of sites' folders cannot be listed. Their logs are not imported, and that is no success.
    fn name_unlisted(&self, unlisted: &[Unlisted], report: &mut PassReport) {
        for Unlisted { site, path, error } in unlisted {
            let (exit, help) = trouble::of_folder(path, error);
            error!(%site, folder = %path.display(), why = %error, help, "IMPORT_LOG_ERROR Logs of the site cannot be read");
            report.problem(exit, format!("site {site}: {} cannot be read: {error}", path.display()));
        }
    }

    /// Makes sure that marks do not become page views of a site with logs.
    fn check_ledger_site(&self, found: &Discovery) -> Result<(), (Exit, String)> {
        let Some(refusal) = ledger_site_refusal(self.settings, found) else { return Ok(()) };
        error!(why = %refusal, help = refusal.help(), "IMPORT_LOG_ERROR_CHECK Nothing can be imported now");
        Err((refusal.exit(), refusal.to_string()))
    }

    /// How many files wait, as `status` counts them: where not all sites were looked at, every journal is read for it.
    fn count_waiting(&self) -> u64 {
        let sites = crate::report::sites(self.settings).unwrap_or_default();
        sites.iter().filter_map(|(_, site)| site.as_ref().ok()).map(|site| site.waiting).sum()
    }

    /// Lists the files; those that changed just now get the time to settle, once.
    async fn discover(&self) -> Result<Discovery, (Exit, String)> {
        let found = self.list()?;
        let Some(rest) = found.longest_rest.filter(|rest| *rest <= REST_MAX) else { return Ok(found) };
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
            let (exit, help) = trouble::of_logs_folder(&folder, &problem);
            error!(folder = %folder.display(), why = %problem, help, "IMPORT_LOG_ERROR Folder of the logs cannot be listed");
            (exit, format!("cannot list the folder of the logs {}: {problem}", folder.display()))
        })
    }
}

/// Why marks would be counted among the visits of a site, if they would.
pub fn ledger_site_refusal(settings: &Settings, found: &Discovery) -> Option<Refusal> {
    let site = settings.ledger_site?;
    let has_logs = found.files.contains_key(&site);
    has_logs.then(|| Refusal::LedgerSiteHasLogs {
        site,
        folder: settings.logs_folder().join(site.to_string()).display().to_string(),
    })
}

/// The sites of a pass.
struct Sites<'s> {
    ledger: Ledger,
    queue: FairQueue,
    sessions: &'s mut BTreeMap<SiteId, Session>,
    /// Sites with which nothing more can be done in this pass.
    left_alone: BTreeSet<SiteId>,
}

fn ledger_problem(error: &LedgerError) -> (Exit, String) {
    (ledger_exit(error), sentence(error))
}

/// The exit code for a ledger that cannot be used.
pub(super) fn ledger_exit(_: &LedgerError) -> Exit {
    Exit::CannotCreate
}
