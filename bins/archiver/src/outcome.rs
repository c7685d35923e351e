//! How a run ended, as a closed set of classes; each with its exit code and its place on the scale of health.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::entry::Exit;
use shared::job::{Report, RunResult};

/// The class of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The work is done.
    Ok,
    /// There was no work.
    NothingToDo,
    /// The work is done; Matomo warned about something, which alone makes its exit code 1.
    Warnings,
    /// Nothing it said tells whether the work is done.
    Unclear,
    /// The work is not done, or only in part.
    Failed,
    /// It took longer than allowed and was ended.
    TimedOut,
    /// A signal that was not ours ended it.
    Killed,
    /// We ended it because we were asked to stop.
    Stopped,
    /// Matomo is in maintenance mode.
    Maintenance,
    /// Another archiver is at work.
    Skipped,
}

impl Class {
    /// Whether what was wanted is there now.
    pub fn is_good(self) -> bool {
        matches!(self, Class::Ok | Class::NothingToDo | Class::Warnings)
    }

    /// Whether nothing was tried, so that nothing failed either.
    pub fn is_pause(self) -> bool {
        matches!(self, Class::Maintenance | Class::Skipped)
    }

    /// Whether somebody should be told: the work is not done, and neither a pause nor a stop was wanted.
    pub fn is_failure(self) -> bool {
        !self.is_good() && !self.is_pause() && self != Class::Stopped
    }

    /// Whether Matomo may have been cut off in the middle, so that its queue may hold rows that nobody works on. A failure
    /// counts: a database that goes away in the middle takes the processes along and leaves their rows.
    pub fn is_unclean(self) -> bool {
        matches!(self, Class::Failed | Class::Unclear | Class::TimedOut | Class::Killed | Class::Stopped)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::Ok => "ok",
            Class::NothingToDo => "nothing to do",
            Class::Warnings => "warnings",
            Class::Unclear => "unclear",
            Class::Failed => "failed",
            Class::TimedOut => "timed out",
            Class::Killed => "killed",
            Class::Stopped => "stopped",
            Class::Maintenance => "maintenance",
            Class::Skipped => "skipped",
        })
    }
}

/// How a run ended, for people and for the caller of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The class.
    pub class: Class,
    /// What happened, as a sentence.
    pub sentence: String,
    /// What to do now, if anything.
    pub help: Option<&'static str>,
    /// How `once` ends.
    pub exit: Exit,
    /// The last lines of output, for whoever is told.
    pub tail: String,
    /// Sites that Matomo leaves out because their rows of the queue are stuck.
    pub stuck: Vec<u32>,
}

impl Outcome {
    /// An outcome whose exit code follows from its class.
    pub fn new(class: Class, sentence: impl Into<String>) -> Self {
        let exit = match class {
            Class::Ok | Class::NothingToDo | Class::Warnings => Exit::Done,
            Class::Unclear | Class::Failed => Exit::Failed,
            Class::TimedOut => Exit::TimedOut,
            Class::Killed => Exit::Code(128 + 9),
            Class::Stopped => Exit::Code(128 + 15),
            Class::Maintenance | Class::Skipped => Exit::TryAgain,
        };
        Self { class, sentence: sentence.into(), help: None, exit, tail: String::new(), stuck: Vec::new() }
    }

    /// Adds what to do now.
    #[must_use]
    pub fn help(mut self, advice: &'static str) -> Self {
        self.help = Some(advice);
        self
    }

    /// Adds the sites that are stuck: what Matomo left out is not done, whatever it says of the others.
    #[must_use]
    pub fn with_stuck(mut self, stuck: Vec<u32>) -> Self {
        if matches!(self.class, Class::Ok | Class::NothingToDo) && !stuck.is_empty() {
            self.class = Class::Warnings;
            let sites = stuck.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            self.sentence = format!("{}; stuck and left out: site {sites}", self.sentence);
            self.help = Some("free them: `archiver once free`, or ARCHIVE_FREE_STUCK=yes");
        }
        self.stuck = stuck;
        self
    }

    /// In the words in which all sidecars tell others about their runs.
    pub fn report(&self) -> Report {
        let help = self.help.map(|help| format!("; {help}")).unwrap_or_default();
        let sentence = format!("{}: {}{help}", self.class, self.sentence);
        let result = match self.class {
            Class::Ok | Class::NothingToDo | Class::Warnings | Class::Maintenance | Class::Skipped => {
                RunResult::Success
            }
            Class::Unclear => RunResult::Suspicious,
            Class::Failed | Class::Killed => RunResult::Failure,
            Class::TimedOut => RunResult::Timeout,
            Class::Stopped => RunResult::Stopped,
        };
        Report { result, exit: self.exit, sentence, tail: self.tail.clone(), may_retry: false }
    }

    /// Ends the program in another way than the class says.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}
