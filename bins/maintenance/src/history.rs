//! What was done and how it went, one line each in `history.jsonl`; bounded.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::files;

use crate::session::Session;

const FILE: &str = "history.jsonl";
/// Beyond this the older half goes.
const BYTES_MAX: u64 = 1 << 20;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it ended.
    pub at: Timestamp,
    /// The command.
    pub command: String,
    /// Whether it went well.
    pub good: bool,
    /// How it went.
    pub sentence: String,
    /// The set it was about.
    pub set: Option<String>,
}

/// Notes an event. A history that cannot be written stops nobody.
pub fn note(session: &Session, command: &str, good: bool, sentence: &str, set: Option<&str>) {
    let event = Event {
        at: Timestamp::now(),
        command: command.to_owned(),
        good,
        sentence: sentence.to_owned(),
        set: set.map(str::to_owned),
    };
    let path = session.state_folder().join(FILE);
    let mut line = serde_json::to_vec(&event).unwrap_or_default();
    line.push(b'\n');
    let written = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).and_then(|mut file| {
        // A line that a crash cut short would swallow the next one.
        if fs::read(&path).is_ok_and(|text| text.last().is_some_and(|last| *last != b'\n')) {
            line.insert(0, b'\n');
        }
        files::append_durable(&mut file, &path, &line).map_err(|error| error.source)
    });
    if let Err(error) = written {
        tracing::warn!(why = %error, "The history cannot be written");
    }
    shorten(session);
}

fn shorten(session: &Session) {
    let path = session.state_folder().join(FILE);
    if fs::metadata(&path).map_or(0, |metadata| metadata.len()) <= BYTES_MAX {
        return;
    }
    if let Ok(text) = fs::read(&path) {
        let half = text.len() / 2;
        let begin = memchr::memchr(b'\n', &text[half..]).map_or(text.len(), |end| half + end + 1);
        // Should it fail, the file is longer than it should be.
        let _ = files::replace_with_mode(&path, &text[begin..], 0o600);
    }
}

/// All events, oldest first.
pub fn read(session: &Session) -> Vec<Event> {
    let text = fs::read_to_string(session.state_folder().join(FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
