//! What ended how, and when: one line of JSON per run, appended; and the run under way, so that one that was cut off
//! together with us is not forgotten.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::files::{self, FileError};

use crate::outcome::Class;
use crate::transcript::SiteRun;

/// Outcomes may name commands, which are nobody else's business.
const MODE: u32 = 0o600;
/// The file is tidied when it holds this many times the runs that are kept.
const SLACK: usize = 2;

/// A run that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The job.
    pub job: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended.
    pub outcome: Class,
    /// How, as a sentence.
    pub sentence: String,
    /// Archives that were computed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub archives: Option<u64>,
    /// Sites, each with what was done for it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub sites: BTreeMap<u32, SiteRun>,
    /// Sites that were stuck in the queue.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stuck: Vec<u32>,
}

/// A run under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnderWay {
    /// The job.
    pub job: String,
    /// When it began.
    pub started: Timestamp,
    /// When it was last seen alive.
    pub seen: Timestamp,
    /// On which host, as the kernel calls it.
    pub host: String,
    /// The number of our process there.
    pub pid: u32,
}

impl Run {
    /// How long it took.
    pub fn seconds(&self) -> f64 {
        (self.ended - self.started).total(jiff::Unit::Second).unwrap_or_default()
    }
}

/// How often a run under way says that it still is, so that its end is known roughly when we are killed together.
pub const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

impl UnderWay {
    /// Whether it is at work still: on this host by its process, elsewhere by its last sign of life.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        let is_gone = self.host == host() && !Path::new("/proc").join(self.pid.to_string()).exists();
        !is_gone && now < self.seen + 3 * SIGN_OF_LIFE
    }
}

/// The files of the state folder.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
    keep: usize,
}

impl State {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: &Path, keep: usize) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self::look(folder, keep))
    }

    /// To read only.
    pub fn look(folder: &Path, keep: usize) -> Self {
        Self { folder: folder.to_owned(), keep }
    }

    /// Held while a job runs.
    pub fn lock_file(&self) -> PathBuf {
        self.folder.join("lock")
    }

    fn history_file(&self) -> PathBuf {
        self.folder.join("history.jsonl")
    }

    fn under_way_file(&self) -> PathBuf {
        self.folder.join("running.json")
    }

    /// The runs that are kept, the oldest first. A line that was cut off by a crash is passed over.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn runs(&self) -> io::Result<Vec<Run>> {
        let bytes = match fs::read(self.history_file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut runs: Vec<Run> =
            bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let surplus = runs.len().saturating_sub(self.keep);
        runs.drain(..surplus);
        Ok(runs)
    }

    /// Adds a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&self, run: &Run) -> Result<(), FileError> {
        let path = self.history_file();
        let mut line = b"\n".to_vec();
        // A struct of times and texts has no way not to be JSON.
        line.extend(serde_json::to_vec(run).unwrap_or_default());
        let opened = OpenOptions::new().create(true).append(true).mode(MODE).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            // The same trouble, told in better words.
            Err(_) => return files::replace_with_mode(&path, &line, MODE),
        };
        files::append_durable(&mut file, &path, &line)
    }

    /// Drops runs that are not kept any more. Only the holder of the lock does.
    pub fn tidy(&self) {
        let lines =
            fs::read(self.history_file()).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
        if lines <= self.keep.saturating_mul(SLACK) {
            return;
        }
        let Ok(runs) = self.runs() else { return };
        let text: Vec<u8> = runs
            .iter()
            .flat_map(|run| [b"\n".to_vec(), serde_json::to_vec(run).unwrap_or_default()].concat())
            .collect();
        // What cannot be tidied now will be next time.
        let _ = files::replace_with_mode(&self.history_file(), &text, MODE);
    }

    /// Notes that a job begins.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, under_way: &UnderWay) -> Result<(), FileError> {
        files::replace(&self.under_way_file(), &serde_json::to_vec(under_way).unwrap_or_default())
    }

    /// Notes that it ended.
    pub fn end(&self) {
        // One that stays is taken for a run that was cut off: a warning too many, no harm.
        let _ = fs::remove_file(self.under_way_file());
    }

    /// The run under way; to the holder of the lock, one that nobody ended.
    pub fn under_way(&self) -> Option<UnderWay> {
        serde_json::from_slice(&fs::read(self.under_way_file()).ok()?).ok()
    }
}

/// The name of this host, as the kernel knows it.
pub fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(minute: i64) -> Run {
        let started = Timestamp::from_second(1_767_225_600 + minute * 60).unwrap();
        Run {
            job: "archive".to_owned(),
            started,
            ended: started,
            outcome: Class::NothingToDo,
            sentence: "no archive had to be computed".to_owned(),
            archives: Some(0),
            sites: BTreeMap::from([(1, SiteRun::default())]),
            stuck: vec![2],
        }
    }

    #[test]
    fn the_last_runs_are_kept_and_a_torn_line_costs_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("a/b"), 3).unwrap();
        assert_eq!(state.runs().unwrap(), []);
        for minute in 0..8 {
            state.add(&run(minute)).unwrap();
            state.tidy();
        }
        assert_eq!(state.runs().unwrap(), [run(5), run(6), run(7)]);
        let text = fs::read_to_string(state.history_file()).unwrap();
        assert!(text.lines().count() <= 8, "{text}");
        fs::write(state.history_file(), format!("{text}\n{{\"job\":\"arch")).unwrap();
        state.add(&run(9)).unwrap();
        assert_eq!(state.runs().unwrap(), [run(6), run(7), run(9)]);
    }

    #[test]
    fn a_run_under_way_is_known_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path(), 3).unwrap();
        let under_way =
            UnderWay { job: "archive".to_owned(), started: run(0).started, seen: run(0).started, host: host(), pid: 1 };
        state.begin(&under_way).unwrap();
        assert_eq!(state.under_way(), Some(under_way.clone()));
        let lately = under_way.seen + SIGN_OF_LIFE;
        assert!(under_way.is_alive(lately) && !under_way.is_alive(lately + 10 * SIGN_OF_LIFE));
        let gone = UnderWay { pid: u32::MAX, ..under_way };
        assert!(!gone.is_alive(lately));
        assert!(UnderWay { host: "another".to_owned(), ..gone }.is_alive(lately), "its processes are not ours to see");
        state.end();
        assert_eq!(state.under_way(), None);
    }
}
