//! The passes before this one: they guard against restarts in a loop, and `history` shows them.

use std::fs;

use jiff::Timestamp;
use shared::entry::Failure;
use shared::files::FileError;
use shared::job::{History, Record, Report, Trigger, too_soon};
use tracing::warn;

use super::telling::JOB;
use crate::config::Settings;

/// The history of passes beside the ledger. What cannot be written down stops no import.
pub struct Past {
    history: History,
}

impl Past {
    /// Of the ledger that these settings name.
    pub fn of(settings: &Settings) -> Self {
        let folder = settings.ledger_folder();
        // The ledger tells about a folder that cannot be made, in better words.
        let _ = fs::create_dir_all(&folder);
        Self { history: History::of(&folder, JOB) }
    }

    /// Why no pass may start now, if the last one started less than `MIN_INTERVAL` ago.
    ///
    /// # Errors
    /// When the history cannot be read, or is of a later version.
    pub fn too_soon(&self, settings: &Settings) -> Result<Option<String>, Failure> {
        let last = self.history.read()?.last().map(|run| run.started);
        Ok(too_soon(settings.min_interval.as_ref(), last, Timestamp::now()))
    }

    /// A pass begins; when it did.
    ///
    /// # Errors
    /// As for [`Past::too_soon`].
    pub fn begins(&self, trigger: Trigger, slot: Option<Timestamp>) -> Result<Timestamp, Failure> {
        let started = Timestamp::now();
        let sentence = "running".to_owned();
        let record = Record { started, ended: None, slot, trigger, result: None, exit: None, sentence };
        told(self.history.begin(self.history.read()?, record));
        Ok(started)
    }

    /// The pass that began then has ended.
    pub fn ended(&self, started: Timestamp, report: &Report) {
        told(self.history.end(started, Timestamp::now(), report));
    }
}

fn told(written: Result<(), FileError>) {
    if let Err(error) = written {
        warn!(why = crate::matomo::sentence(&error), help = error.help(), "The history of passes cannot be written");
    }
}
