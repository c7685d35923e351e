//! A pass: every command once, whatever becomes of the others; then the state file, so that everybody knows what arrived.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use jiff::Timestamp;
use shared::entry::{Exit, Failure};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use crate::announce::Announcement;
use crate::attempt::{Conditions, Report};
use crate::ending::{Ending, worst};
use crate::history::{Entry, History};
use crate::plan::{Plan, Unit};
use crate::site::{Arrivals, Change, LastPass, Listing, changes, remove_leftovers};
use crate::ssh::Keys;

/// What a pass needs. Whoever runs it sees to it that no other runs meanwhile.
#[derive(Debug)]
pub struct Pass<'a> {
    /// What runs.
    pub plan: &'a Plan,
    /// How it runs.
    pub conditions: &'a Conditions,
    /// Folder with one folder per site.
    pub logs: PathBuf,
    /// Folder of our state.
    pub state: PathBuf,
    /// The keys, in case one has to be protected again.
    pub keys: &'a Keys,
    /// The public key, shown again when a server refuses it.
    pub announcement: &'a Announcement,
    /// The wish to stop.
    pub shutdown: &'a Shutdown,
}

/// How a pass went.
#[derive(Clone, Debug)]
pub struct PassReport {
    /// One sentence for each command that did not do its work.
    pub complaints: Vec<String>,
    /// How the commands ended that were begun.
    pub endings: Vec<Ending>,
    /// What arrived, by site.
    pub changes: BTreeMap<String, Change>,
    /// All commands.
    pub commands: usize,
}

impl PassReport {
    /// What `once` ends with.
    pub fn exit(&self) -> Exit {
        match worst(self.endings.iter().copied()) {
            // Some were never begun.
            Exit::Done if self.endings.len() < self.commands => Ending::Stopped.exit(),
            exit => exit,
        }
    }

    /// Commands that did not do their work.
    pub fn failed(&self) -> usize {
        self.endings.iter().filter(|ending| !ending.is_good()).count()
    }

    /// For the health and the log.
    pub fn sentence(&self) -> String {
        let files: u64 = self.changes.values().map(|change| change.arrived).sum();
        let sites = self.changes.values().filter(|change| change.arrived > 0).count();
        match self.failed() {
            0 => format!("{} commands done, {files} files arrived at {sites} sites", self.endings.len()),
            failed => format!("{failed} of {} commands failed, {files} files arrived at {sites} sites", self.commands),
        }
    }
}

impl Pass<'_> {
    /// Runs the commands one after the other.
    ///
    /// # Errors
    /// When the state cannot be kept, or there is no shell.
    pub async fn run(&self) -> Result<PassReport, Failure> {
        fs::create_dir_all(&self.state).map_err(|error| {
            Failure::new(Exit::CannotCreate, format!("cannot make the folder {}: {error}", self.state.display()))
                .help("mount the volume of the logs so that the user of this container may write, or set ANALYTICS_DIR")
        })?;
        let started = Timestamp::now();
        self.tidy();
        let before = Listing::of(&self.logs);
        let (mut endings, mut complaints) = (Vec::new(), Vec::new());
        let mut fetched = Vec::new();
        let mut history = History::open(&self.state.join("history.jsonl"));
        for (at, unit) in self.plan.units.iter().enumerate() {
            if self.shutdown.requested() {
                break;
            }
            let report = self.command(at + 1, unit).await?;
            if report.ending.is_good() {
                fetched.extend(unit.sites.iter().map(|site| (site.clone(), Timestamp::now())));
            }
            if !report.ending.is_good() {
                complaints.push(format!(
                    "rsync-{}: {} (exit {}): {}",
                    at + 1,
                    report.ending.sentence(),
                    report.status,
                    unit.shown
                ));
            }
            endings.push(report.ending);
            history.add(&Entry::of(&format!("rsync-{}", at + 1), &unit.shown, &report));
        }
        let changes = changes(&before, &Listing::of(&self.logs));
        let report = PassReport { complaints, endings, changes, commands: self.plan.units.len() };
        self.record(started, &report, &fetched)?;
        let arrived = report.changes.iter().filter(|(_, change)| change.arrived > 0);
        let sites: Vec<String> = arrived.map(|(site, change)| format!("{site}:{}", change.arrived)).collect();
        if !sites.is_empty() {
            info!(sites = sites.join(" "), "Logs arrived");
        }
        Ok(report)
    }

    async fn command(&self, number: usize, unit: &Unit) -> Result<Report, Failure> {
        for target in &unit.targets {
            // rsync makes only the last folder of a path; what is really wrong it says itself.
            let _ = fs::create_dir_all(target);
        }
        let label = format!("rsync-{number}");
        info!(command = label, what = unit.shown, "Command starts");
        let mend = |ending: Ending| {
            if ending == Ending::KeyExposed {
                self.keys.protect();
            }
        };
        let report = self.conditions.run(&label, unit, self.shutdown, mend).await?;
        if report.ending == Ending::KeyRefused {
            self.announcement.show();
        }
        Ok(report)
    }

    /// Removes what a killed rsync left in the folders of the sites that this pass writes to.
    fn tidy(&self) {
        for target in self.plan.units.iter().flat_map(|unit| &unit.targets) {
            let leftovers = remove_leftovers(target, SystemTime::now());
            if !leftovers.is_empty() {
                let files = leftovers.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ");
                warn!(count = leftovers.len(), files, "Removed unfinished files of a killed rsync");
            }
        }
    }

    fn record(&self, started: Timestamp, report: &PassReport, fetched: &[(String, Timestamp)]) -> Result<(), Failure> {
        let file = self.state.join("state.json");
        let now = Timestamp::now();
        let mut arrivals = Arrivals::read(&file).unwrap_or_else(|error| {
            warn!(why = error.why(), file = %file.display(), "State file cannot be read and begins anew");
            Arrivals::default()
        });
        for (site, change) in &report.changes {
            arrivals.changed(site, change, now);
        }
        fetched.iter().for_each(|(site, at)| arrivals.fetched(site, *at));
        let (commands, failed) = (report.commands as u64, report.failed() as u64);
        arrivals.passed(LastPass { started, ended: now, commands, failed, exit: report.exit().code() });
        arrivals.write(&file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_that_was_stopped_between_two_commands_is_no_success() {
        let report = |endings: Vec<Ending>| PassReport {
            complaints: Vec::new(),
            endings,
            changes: BTreeMap::new(),
            commands: 2,
        };
        assert_eq!(report(vec![Ending::Done]).exit(), Exit::Code(143));
        assert_eq!(report(vec![]).exit(), Exit::Code(143));
        assert_eq!(report(vec![Ending::Done, Ending::Done]).exit(), Exit::Done);
        assert_eq!(report(vec![Ending::KeyRefused]).exit(), Exit::Failed);
    }
}
