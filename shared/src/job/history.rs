//! The last runs of a job, on disk: bounded, replaced as a whole, with a version in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    report::{Report, Result as RunResult},
    round::Trigger,
};
use crate::{
    entry::{Exit, Failure},
    files::{self, FileError},
};

/// Raised when a field changes its meaning.
const VERSION: u32 = 2;
/// Older runs are forgotten.
pub const HISTORY_RUNS_MAX: usize = 200;
/// Longest sentence that is kept.
const SENTENCE_CHARS_MAX: usize = 400;

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// The time of the schedule that it served, if any.
    pub slot: Option<Timestamp>,
    /// Why it ran.
    pub trigger: Trigger,
    /// How it ended; `None` while it runs.
    pub result: Option<RunResult>,
    /// The exit code it stands for.
    pub exit: Option<u8>,
    /// One sentence for people.
    pub sentence: String,
}

impl Record {
    /// Whether it ended by itself, well or badly: a run that was cut short counts for nothing.
    pub(super) fn came_to_its_end(&self) -> bool {
        self.result.is_some_and(|result| !matches!(result, RunResult::Stopped | RunResult::Interrupted))
    }
}

/// The file of a history.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Page {
    version: u32,
    runs: Vec<Record>,
}

/// Version 1 kept neither slots nor triggers.
#[derive(Deserialize)]
struct RecordV1 {
    started: Timestamp,
    ended: Option<Timestamp>,
    exit: Option<u8>,
    #[serde(default)]
    sentence: String,
}

#[derive(Deserialize)]
struct PageV1 {
    runs: Vec<RecordV1>,
}

#[derive(Deserialize)]
struct AnyPage {
    version: u32,
}

/// A history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The system refuses.
    #[error("cannot read the history at {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A later version of this program wrote it.
    #[error("the history at {} has version {version}, and this program reads up to {VERSION}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        let help = match &error {
            HistoryError::Unreadable { .. } => {
                "let the container's user read the state folder; see that the volume is mounted"
            }
            HistoryError::Newer { .. } => {
                "use the newer image again, or move the file away: only the list of past runs is lost"
            }
        };
        Failure::new(Exit::CannotCreate, error).help(help)
    }
}

impl History {
    /// The history of a job in its state folder.
    pub fn of(state_folder: &Path, job: &str) -> Self {
        Self { path: state_folder.join(format!("{job}.history.json")) }
    }

    /// The runs, oldest first. A file that is not there, or was damaged, has none; the latter is said.
    ///
    /// # Errors
    /// When the file cannot be read, or is of a later version.
    pub fn read(&self) -> Result<Vec<Record>, HistoryError> {
        let path = || self.path.clone();
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            // Where the folder is none, whoever has to write to it says so.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(source) => return Err(HistoryError::Unreadable { path: path(), source }),
        };
        match serde_json::from_slice(&bytes) {
            Ok(AnyPage { version }) if version > VERSION => Err(HistoryError::Newer { path: path(), version }),
            Ok(AnyPage { version: 1 }) => Ok(self.parsed(&bytes, migrate)),
            _ => Ok(self.parsed(&bytes, |page: Page| page.runs)),
        }
    }

    fn parsed<P: for<'a> Deserialize<'a>>(&self, bytes: &[u8], runs: impl FnOnce(P) -> Vec<Record>) -> Vec<Record> {
        match serde_json::from_slice(bytes) {
            Ok(page) => runs(page),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "The history of runs is damaged and starts anew");
                Vec::new()
            }
        }
    }

    fn write(&self, mut runs: Vec<Record>) -> Result<(), FileError> {
        let surplus = runs.len().saturating_sub(HISTORY_RUNS_MAX);
        runs.drain(..surplus);
        // A struct of times and texts has no way not to be JSON.
        let bytes = serde_json::to_vec(&Page { version: VERSION, runs }).unwrap_or_default();
        // Sentences may name commands, which are nobody else's business.
        files::replace_with_mode(&self.path, &bytes, 0o600)
    }

    /// A run begins; whoever holds the lock of the job may call this. A run that never ended is marked as interrupted.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, mut runs: Vec<Record>, run: Record) -> Result<(), FileError> {
        for earlier in runs.iter_mut().filter(|run| run.result.is_none()) {
            earlier.result = Some(RunResult::Interrupted);
            "the program died during this run".clone_into(&mut earlier.sentence);
        }
        runs.push(run);
        self.write(runs)
    }

    /// The run that started then has ended. A history that cannot be read, or is of a later version, stays as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&self, started: Timestamp, now: Timestamp, report: &Report) -> Result<(), FileError> {
        let Ok(mut runs) = self.read() else { return Ok(()) };
        if let Some(run) = runs.iter_mut().rev().find(|run| run.started == started) {
            run.ended = Some(now);
            run.result = Some(report.result);
            run.exit = Some(report.exit.code());
            run.sentence = report.sentence.chars().take(SENTENCE_CHARS_MAX).collect();
        }
        self.write(runs)
    }

    /// The runs as lines for people, newest last.
    ///
    /// # Errors
    /// As for [`History::read`].
    pub fn as_text(&self) -> Result<String, HistoryError> {
        let runs = self.read()?;
        if runs.is_empty() {
            return Ok("no run yet\n".to_owned());
        }
        Ok(runs.iter().map(line).collect())
    }

    /// The runs as JSON, one object per line.
    ///
    /// # Errors
    /// As for [`History::read`].
    pub fn as_json(&self) -> Result<String, HistoryError> {
        let line = |run: &Record| serde_json::to_string(run).unwrap_or_default() + "\n";
        Ok(self.read()?.iter().map(line).collect())
    }
}

fn line(run: &Record) -> String {
    let started = crate::words::whole_seconds(run.started);
    let result = run.result.map_or("running", RunResult::word);
    format!("{started}  {result:<11}  {:<8}  {}\n", run.trigger.word(), run.sentence)
}

fn migrate(page: PageV1) -> Vec<Record> {
    let result = |run: &RecordV1| match run.exit {
        Some(0) => Some(RunResult::Success),
        Some(_) => Some(RunResult::Failure),
        None => None,
    };
    page.runs
        .into_iter()
        .map(|run| Record {
            result: result(&run),
            started: run.started,
            ended: run.ended,
            slot: None,
            trigger: Trigger::Schedule,
            exit: run.exit,
            sentence: run.sentence,
        })
        .collect()
}
