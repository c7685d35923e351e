//! Freshness: the last success is not older than it should be, read from a small file by anyone who may.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    entry::{Exit, Failure},
    files::{self, FileError},
};

/// Raised when a field changes its meaning.
const VERSION: u32 = 1;

/// What a program knows about its own freshness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// When the program started.
    pub started: Timestamp,
    /// When the last run began.
    pub last_run_started: Option<Timestamp>,
    /// When the last run ended, well or not.
    pub last_run_ended: Option<Timestamp>,
    /// When the last good run ended.
    pub last_success: Option<Timestamp>,
    /// How the last run ended, as a sentence.
    pub last_outcome: Option<String>,
    /// When the next good run must have ended; later is late. `None`: no run is planned.
    pub expected_next_by: Option<Timestamp>,
    /// When the next run is planned to begin.
    #[serde(default)]
    pub next_run: Option<Timestamp>,
    /// Runs that failed since the last good one.
    #[serde(default)]
    pub failures: u64,
    /// All runs of this life of the program, and those that failed.
    #[serde(default)]
    pub runs: u64,
    /// See `runs`.
    #[serde(default)]
    pub runs_failed: u64,
    /// What is not as it should be although runs go well.
    #[serde(default)]
    pub notice: Option<String>,
    /// The process that writes this.
    #[serde(default)]
    writer: Option<Writer>,
}

/// A process, and the host on which its number means something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Writer {
    host: String,
    pid: i32,
}

impl Writer {
    fn ourselves() -> Self {
        Self { host: host(), pid: rustix::process::getpid().as_raw_pid() }
    }

    /// What is wrong with it, if anything is: it should be alive and not be stopped.
    fn trouble(&self) -> Option<&'static str> {
        if self.host != host() {
            return None;
        }
        let state = fs::read_to_string(format!("/proc/{}/stat", self.pid));
        let state = state.as_deref().map(|stat| stat.rsplit(") ").next().unwrap_or_default());
        match state {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some("the program does not run any more"),
            Ok(state) if state.starts_with(['T', 't']) => {
                Some("the program is stopped (SIGSTOP), so nothing is scheduled")
            }
            Ok(state) if state.starts_with(['Z', 'X']) => Some("the program does not run any more"),
            _ => None,
        }
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work.
    Success,
    /// It did not.
    Failure,
}

/// The state of this program, written to its file at each change.
#[derive(Debug)]
pub struct Health {
    file: PathBuf,
    state: State,
}

impl Health {
    /// Starts afresh; what an earlier life of the program knew of its last runs is kept.
    pub fn start(file: PathBuf, now: Timestamp, expected_next_by: Option<Timestamp>) -> Result<Self, FileError> {
        let earlier = read(&file).ok();
        let state = State {
            version: VERSION,
            started: now,
            last_run_started: None,
            last_run_ended: None,
            last_success: earlier.and_then(|state| state.last_success),
            last_outcome: None,
            expected_next_by,
            next_run: None,
            failures: 0,
            runs: 0,
            runs_failed: 0,
            notice: None,
            writer: Some(Writer::ourselves()),
        };
        let health = Self { file, state };
        health.write()?;
        Ok(health)
    }

    /// A run begins.
    pub fn run_started(&mut self, now: Timestamp) -> Result<(), FileError> {
        self.state.last_run_started = Some(now);
        self.write()
    }

    /// A run ended; `sentence` says how.
    pub fn run_ended(
        &mut self,
        now: Timestamp,
        outcome: Outcome,
        sentence: impl Into<String>,
        expected_next_by: Option<Timestamp>,
    ) -> Result<(), FileError> {
        self.state.last_run_ended = Some(now);
        self.state.last_outcome = Some(sentence.into());
        self.state.expected_next_by = expected_next_by;
        self.state.runs += 1;
        if outcome == Outcome::Success {
            self.state.last_success = Some(now);
            self.state.failures = 0;
        } else {
            self.state.failures += 1;
            self.state.runs_failed += 1;
        }
        self.write()
    }

    /// A run that takes long is still under way: it may end as late as this.
    pub fn expect_by(&mut self, moment: Timestamp) -> Result<(), FileError> {
        self.state.expected_next_by = Some(moment);
        self.write()
    }

    /// The next run is planned, and late from a moment on.
    pub fn plan(&mut self, next_run: Option<Timestamp>, expected_next_by: Option<Timestamp>) -> Result<(), FileError> {
        if (self.state.next_run, self.state.expected_next_by) == (next_run, expected_next_by) {
            return Ok(());
        }
        self.state.next_run = next_run;
        self.state.expected_next_by = expected_next_by;
        self.write()
    }

    /// Something is not as it should be although runs go well; `None` when it is again.
    pub fn notice(&mut self, notice: Option<String>) -> Result<(), FileError> {
        self.state.notice = notice;
        self.write()
    }

    /// The file that others read.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What is known now.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn write(&self) -> Result<(), FileError> {
        // A struct of times and texts has no way not to be JSON.
        let bytes = serde_json::to_vec(&self.state).unwrap_or_default();
        files::replace(&self.file, &bytes)
    }
}

/// The health of a program, each kind with one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No run has ended yet, and none is overdue.
    Starting(String),
    /// The last run was good and the next is not overdue.
    Ok(String),
    /// A run is overdue.
    Late(String),
    /// The last run was not good.
    Failing(String),
}

impl Verdict {
    /// The answer of a health check: 0 for well, 1 for not.
    pub fn exit(&self) -> Exit {
        match self {
            Verdict::Starting(_) | Verdict::Ok(_) => Exit::Done,
            Verdict::Late(_) | Verdict::Failing(_) => Exit::Failed,
        }
    }

    /// The sentence, with its kind in front: `late: …`.
    pub fn sentence(&self) -> String {
        match self {
            Verdict::Starting(sentence) => format!("starting: {sentence}"),
            Verdict::Ok(sentence) => format!("ok: {sentence}"),
            Verdict::Late(sentence) => format!("late: {sentence}"),
            Verdict::Failing(sentence) => format!("failing: {sentence}"),
        }
    }
}

/// The answer of a health check in another process: a program that is gone or stopped is not well, whatever it wrote.
pub fn answer(path: &Path, now: Timestamp) -> Result<Verdict, HealthError> {
    let state = read(path)?;
    Ok(match state.writer.as_ref().and_then(Writer::trouble) {
        Some(trouble) => Verdict::Failing(trouble.to_owned()),
        None => judge(&state, now),
    })
}

/// Judges the state by the clock. Late outranks failing: a program that no longer tries is worse off.
pub fn judge(state: &State, now: Timestamp) -> Verdict {
    let notice = state.notice.as_deref().map(|notice| format!("; but {notice}")).unwrap_or_default();
    let outcome = format!("{}{notice}", state.last_outcome.as_deref().unwrap_or("no run has ended yet"));
    if let Some(due) = state.expected_next_by.filter(|due| now > *due) {
        return Verdict::Late(format!("a run should have ended by {}; {outcome}", seconds(due)));
    }
    let Some(ended) = state.last_run_ended else {
        return Verdict::Starting(format!("started at {}; {outcome}", seconds(state.started)));
    };
    match state.last_success {
        Some(success) if success >= ended => Verdict::Ok(format!("last run at {}: {outcome}", seconds(ended))),
        Some(success) => Verdict::Failing(format!("{outcome}; the last good run was at {}", seconds(success))),
        None => Verdict::Failing(format!("{outcome}; there was no good run yet")),
    }
}

fn seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

/// The state file does not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the health of the program at {}", path.display())]
pub struct HealthError {
    path: PathBuf,
    source: io::Error,
}

impl From<HealthError> for Failure {
    fn from(error: HealthError) -> Self {
        Failure::new(Exit::Failed, error)
            .help("the program writes this file when it starts: is it running, with the same state folder?")
    }
}

/// Reads a state file; it needs no network and no right but to read.
pub fn read(path: &Path) -> Result<State, HealthError> {
    let failed = |source| HealthError { path: path.to_owned(), source };
    let state: State =
        fs::read(path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from)).map_err(failed)?;
    if state.version != VERSION {
        let theirs = state.version;
        return Err(failed(io::Error::other(format!("its version is {theirs}, this program reads {VERSION}"))));
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + minute * 60).unwrap()
    }

    fn started() -> (tempfile::TempDir, Health) {
        let folder = tempfile::tempdir().unwrap();
        let health = Health::start(folder.path().join("health.json"), at(0), Some(at(70))).unwrap();
        (folder, health)
    }

    /// What the command line of another process would answer.
    fn answer(health: &Health, minute: i64) -> (String, u8) {
        let verdict = judge(&read(&health.file).unwrap(), at(minute));
        (verdict.sentence(), verdict.exit().code())
    }

    #[test]
    fn a_life_from_start_to_late() {
        let (_folder, mut health) = started();
        assert_eq!(
            answer(&health, 1),
            ("starting: started at 2026-01-01T00:00:00Z; no run has ended yet".to_owned(), 0)
        );
        health.run_started(at(60)).unwrap();
        assert_eq!(answer(&health, 61).1, 0);
        health.run_ended(at(62), Outcome::Success, "imported 3 files", Some(at(130))).unwrap();
        assert_eq!(answer(&health, 63), ("ok: last run at 2026-01-01T01:02:00Z: imported 3 files".to_owned(), 0));
        assert_eq!(answer(&health, 130).1, 0);
        let late = "late: a run should have ended by 2026-01-01T02:10:00Z; imported 3 files";
        assert_eq!(answer(&health, 131), (late.to_owned(), 1));
    }

    #[test]
    fn a_failed_run_is_failing_until_a_good_one() {
        let (_folder, mut health) = started();
        health.run_ended(at(1), Outcome::Failure, "Matomo does not answer", Some(at(70))).unwrap();
        let failing = "failing: Matomo does not answer; there was no good run yet";
        assert_eq!(answer(&health, 2), (failing.to_owned(), 1));
        health.run_ended(at(3), Outcome::Success, "imported 1 file", None).unwrap();
        assert_eq!(answer(&health, 1_000_000).1, 0);
        health.run_ended(at(5), Outcome::Failure, "no", None).unwrap();
        assert_eq!(answer(&health, 6).0, "failing: no; the last good run was at 2026-01-01T00:03:00Z");
    }

    #[test]
    fn a_program_that_never_ran_is_late_in_the_end() {
        let (_folder, health) = started();
        assert_eq!(answer(&health, 71).1, 1);
    }

    #[test]
    fn a_new_life_remembers_the_last_success() {
        let (_folder, mut health) = started();
        health.run_ended(at(1), Outcome::Success, "good", None).unwrap();
        let reborn = Health::start(health.file.clone(), at(2), None).unwrap();
        assert_eq!((reborn.state().last_success, reborn.state().last_run_ended), (Some(at(1)), None));
    }

    #[test]
    fn a_file_that_says_nothing_is_an_error() {
        let (folder, health) = started();
        assert!(read(&folder.path().join("none")).is_err());
        let newer = fs::read_to_string(&health.file).unwrap().replace("\"version\":1", "\"version\":2");
        for content in ["", "{}", newer.as_str()] {
            fs::write(&health.file, content).unwrap();
            assert_eq!(Failure::from(read(&health.file).unwrap_err()).exit.code(), 1, "{content}");
        }
    }
}
