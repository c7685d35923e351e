//! What became of the last test message: `run` reads it from the log and leaves it for `send-test` to find.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::files;
use tracing::warn;

use crate::mail_log::Said;

/// How the Message-ID of a test message begins.
pub const TEST_MARK: &str = "send-test.";
const NAME: &str = "send-test.json";
/// Somebody else's messages may carry the mark; more than these are not followed.
const FOLLOWED_MAX: usize = 16;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The next server has it.
    Sent,
    /// It is tried again.
    Deferred,
    /// It is lost to its recipient.
    Bounced,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name in the queue.
    pub queue_id: String,
    /// How it ended.
    pub status: Status,
    /// What the log says about it.
    pub text: String,
}

impl Outcome {
    /// The last one, if any.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(NAME)).ok()?).ok()
    }
}

/// Follows test messages through the log.
#[derive(Debug)]
pub struct Follower {
    file: PathBuf,
    followed: VecDeque<String>,
}

impl Follower {
    /// Leaves what it learns in `folder`.
    pub fn into_folder(folder: &Path) -> Self {
        Self { file: folder.join(NAME), followed: VecDeque::new() }
    }

    /// Looks at a line of the log.
    pub fn hear(&mut self, said: &Said<'_>) {
        let Some(queue_id) = said.queue_id else { return };
        if said.text.strip_prefix("message-id=<").is_some_and(|id| id.starts_with(TEST_MARK)) {
            self.followed.push_back(queue_id.to_owned());
            if self.followed.len() > FOLLOWED_MAX {
                self.followed.pop_front();
            }
        } else if self.followed.iter().any(|followed| followed == queue_id) {
            self.keep(queue_id, said.text);
        }
    }

    fn keep(&self, queue_id: &str, text: &str) {
        let Some((_, rest)) = text.split_once(" status=") else { return };
        let status = match rest.split(' ').next() {
            Some("sent") => Status::Sent,
            Some("deferred") => Status::Deferred,
            Some("bounced") => Status::Bounced,
            _ => return,
        };
        let outcome = Outcome { queue_id: queue_id.to_owned(), status, text: rest.to_owned() };
        let bytes = serde_json::to_vec(&outcome).unwrap_or_default();
        if let Err(error) = files::replace(&self.file, &bytes) {
            warn!(error = &error as &(dyn std::error::Error + 'static), "what became of a test message cannot be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_test_messages_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let mut follower = Follower::into_folder(folder.path());
        for (id, text) in [
            ("AAAA01", "message-id=<other@x>"),
            ("AAAA01", "to=<a@b>, relay=r, dsn=2.0.0, status=sent (250 ok)"),
            ("BBBB02", "message-id=<send-test.1@x>"),
            ("BBBB02", "from=<a@b>, size=1, nrcpt=1 (queue active)"),
        ] {
            follower.hear(&Said { program: "smtp", queue_id: Some(id), text });
        }
        assert_eq!(Outcome::read(folder.path()), None);
        let text = "to=<a@b>, relay=r, dsn=5.1.1, status=bounced (550 no)";
        follower.hear(&Said { program: "smtp", queue_id: Some("BBBB02"), text });
        let outcome = Outcome::read(folder.path()).unwrap();
        assert_eq!(
            (outcome.queue_id.as_str(), outcome.status, outcome.text.as_str()),
            ("BBBB02", Status::Bounced, "bounced (550 no)")
        );
    }
}
