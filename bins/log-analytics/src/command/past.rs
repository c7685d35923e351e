//! The passes before this one: they guard against restarts in a loop, and `history` shows them.

use std::fs;

use jiff::Timestamp;
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
    pub fn too_soon(&self, settings: &Settings) -> Option<String> {
        let last = self.read()?.last().map(|run| run.started);
        too_soon(settings.min_interval.as_ref(), last, Timestamp::now())
    }

    /// A pass begins; when it did.
    pub fn begins(&self, trigger: Trigger, slot: Option<Timestamp>) -> Timestamp {
        let started = Timestamp::now();
        let sentence = "running".to_owned();
        let record = Record { started, ended: None, slot, trigger, result: None, exit: None, sentence };
        if let Some(runs) = self.read() {
            told(self.history.begin(runs, record));
        }
        started
    }

    /// What is there; nothing if it cannot be read or is of a later version: no import depends on it.
    fn read(&self) -> Option<Vec<Record>> {
        self.history
            .read()
            .inspect_err(|error| {
                warn!(
                    why = crate::matomo::sentence(error),
                    "The history of passes cannot be read, going on without it"
                );
            })
            .ok()
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
