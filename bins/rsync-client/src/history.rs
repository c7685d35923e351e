//! What the last commands did, one JSON object on each line of a file that stays small.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::files::{self, append_durable};
use tracing::warn;

use crate::attempt::Report;
use crate::statistics::Statistics;

/// Lines that are kept: a month of three commands an hour.
const LINES_KEPT: usize = 2_000;
/// The file is rewritten when it has this many more.
const LINES_SLACK: usize = 500;

/// Commands are nobody else's business, whatever is hidden in them.
const MODE: u32 = 0o600;

/// One command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When it began.
    pub began: Timestamp,
    /// `rsync-1`, or the name of a `CRON_TASK_*`.
    pub command: String,
    /// Its text as far as it may be shown.
    pub what: String,
    /// Whether it did its work.
    pub good: bool,
    /// How it ended, as a sentence.
    pub result: String,
    /// Its exit code in words.
    pub exit: String,
    /// Attempts made.
    pub attempts: u32,
    /// How long it took.
    pub seconds: f64,
    /// What rsync counted.
    #[serde(flatten)]
    pub statistics: Statistics,
}

impl Entry {
    /// The entry for a command that ended.
    pub fn of(command: &str, what: &str, report: &Report) -> Self {
        Self {
            began: report.began,
            command: command.to_owned(),
            what: what.to_owned(),
            good: report.ending.is_good(),
            result: report.ending.sentence().to_owned(),
            exit: report.status.clone(),
            attempts: report.attempts,
            seconds: (report.took.as_secs_f64() * 10.0).round() / 10.0,
            statistics: report.statistics,
        }
    }
}

/// The file.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
}

impl History {
    /// The history in a file, which need not be there yet.
    pub fn open(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The entries, the oldest first. Lines that say nothing (a power cut may leave half of one) are left out.
    pub fn read(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Adds an entry. A history that cannot be written is no reason to stop fetching.
    pub fn add(&mut self, entry: &Entry) {
        if let Err(error) = self.try_add(entry) {
            warn!(why = error.to_string(), help = error.help(), "History cannot be written");
        }
    }

    fn try_add(&self, entry: &Entry) -> Result<(), files::FileError> {
        let line = serde_json::to_string(entry).unwrap_or_default() + "\n";
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let count = text.lines().count();
        if count >= LINES_KEPT + LINES_SLACK || (!text.is_empty() && !text.ends_with('\n')) {
            let kept: String =
                text.lines().skip(count.saturating_sub(LINES_KEPT)).map(|line| format!("{line}\n")).collect();
            return files::replace_with_mode(&self.path, (kept + &line).as_bytes(), MODE);
        }
        match OpenOptions::new().create(true).append(true).mode(MODE).open(&self.path) {
            Ok(mut file) => {
                // An earlier version let everybody read it. Where the mode cannot be changed, the owner is another.
                let _ = file.set_permissions(Permissions::from_mode(MODE));
                append_durable(&mut file, &self.path, line.as_bytes())
            }
            // Says in its own words why nothing can be written there.
            Err(_) => files::replace_with_mode(&self.path, (text + &line).as_bytes(), MODE),
        }
    }
}
