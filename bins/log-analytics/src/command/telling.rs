//! Telling people and watchmen about passes: what `run` and `once` have in common.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use shared::entry::{Exit, Failure};
use shared::job::{Report, RunResult};
use shared::notify::Notifier;
use shared::shutdown::Shutdown;
use tracing::warn;

use crate::config::Settings;
use crate::pipeline::PassReport;

/// What a pass is called by those who watch it.
pub const JOB: &str = "import";

/// Whoever wants to know about passes, and whether the last one was bad: an incident outlives a restart.
pub struct Telling<'a> {
    notifier: Notifier,
    /// Is there as long as passes fail; nothing when nobody is told of incidents.
    incident: Option<PathBuf>,
    shutdown: &'a Shutdown,
}

impl<'a> Telling<'a> {
    /// For these settings; nobody is told yet.
    ///
    /// # Errors
    /// When a client for those who are told cannot be made.
    pub fn new(settings: &Settings, shutdown: &'a Shutdown) -> Result<Self, Failure> {
        let wanted = settings.notify.webhook_url.is_some() || !settings.notify.mail_to.is_empty();
        let incident = wanted.then(|| settings.ledger_folder().join("incident"));
        Ok(Self { notifier: Notifier::new(&settings.notify)?, incident, shutdown })
    }

    /// A pass begins.
    pub async fn begins(&mut self) {
        self.notifier.run_started(JOB, self.shutdown).await;
    }

    /// A pass ended.
    pub async fn ended(&mut self, report: &Report) {
        let was_bad = self.incident.as_ref().is_some_and(|incident| incident.exists());
        self.notifier.run_ended(JOB, report, was_bad, self.shutdown).await;
        if report.result != RunResult::Stopped {
            self.note(report.is_bad());
        }
    }

    fn note(&self, bad: bool) {
        let Some(incident) = &self.incident else { return };
        let noted = match bad {
            true => fs::write(incident, "passes fail, and somebody was told\n"),
            false => fs::remove_file(incident),
        };
        match noted {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                warn!(why = error.to_string(), file = %incident.display(), "An incident cannot be noted");
            }
            _ => {}
        }
    }
}

/// A pass in the words of those who are told. What was stopped on purpose is nobody's incident.
pub fn told(pass: &PassReport, shutdown: &Shutdown) -> Report {
    match pass.exit() {
        Exit::Done => Report::success(pass.sentence()),
        exit if shutdown.requested() => Report { result: RunResult::Stopped, ..Report::failed(exit, pass.sentence()) },
        exit => Report::failed(exit, pass.sentence()),
    }
}
