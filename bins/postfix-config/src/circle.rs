//! Mail that goes in circles: `run` recognises it in the log and leaves a note, by which `health` knows.
//!
//! Each message of a circle leaves quickly, so nothing waits long and nothing grows: the queue alone looks well.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::files;
use tracing::{error, warn};

use crate::mail_log::Said;

const NAME: &str = "circle.json";
/// Notices of failure that are remembered; a circle is through within a few.
const NOTICES_MAX: usize = 256;
/// A circle turns ten times a second; the note about it need not.
const NOTE_EVERY: Duration = Duration::from_secs(5);
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How long after it was last seen a circle counts, in seconds.
const COUNTS_FOR: SignedDuration = SignedDuration::from_mins(15);

/// A circle that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circle {
    /// When it was last seen, in seconds since 1970.
    seen: i64,
    /// By what it was recognised.
    pub why: String,
}

impl Circle {
    /// The one that turns now, if any.
    pub fn read(folder: &Path, now: Timestamp) -> Option<Self> {
        let circle: Self = serde_json::from_slice(&fs::read(folder.join(NAME)).ok()?).ok()?;
        Some(circle).filter(|circle| circle.age(now) <= COUNTS_FOR)
    }

    /// How long ago it was last seen.
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        SignedDuration::from_secs((now.as_second() - self.seen).max(0))
    }
}

/// Looks for circles in the log.
#[derive(Debug)]
pub struct Watch {
    file: PathBuf,
    notices: VecDeque<String>,
    noted: Option<Instant>,
    told: Option<Instant>,
}

impl Watch {
    /// Leaves its note in `folder`; what an earlier run noted is forgotten, because settings may have changed.
    pub fn into_folder(folder: &Path) -> Self {
        let file = folder.join(NAME);
        // Mostly there is none.
        let _ = fs::remove_file(&file);
        Self { file, notices: VecDeque::new(), noted: None, told: None }
    }

    /// Looks at a line of the log.
    pub fn hear(&mut self, said: &Said<'_>) {
        let Some(why) = self.recognise(said) else { return };
        if is_due(&mut self.told, TELL_EVERY) {
            error!(
                queue_id = said.queue_id,
                why,
                "mail goes in circles; look at where mail to this relay's senders goes, and at MTP_RELAY and POSTFIX_* that rewrite addresses"
            );
        }
        if is_due(&mut self.noted, NOTE_EVERY) {
            self.note(why);
        }
    }

    fn recognise(&mut self, said: &Said<'_>) -> Option<&'static str> {
        if said.text.contains("loops back to myself") {
            return Some("the way of a message leads back to this relay");
        }
        if said.text.contains("too many hops") {
            return Some("a message has passed too many servers");
        }
        let (_, notice) = said.text.split_once(" notification: ").filter(|_| said.program == "bounce")?;
        let answers_a_notice = said.queue_id.is_some_and(|id| self.notices.iter().any(|known| known == id));
        self.notices.push_back(notice.to_owned());
        if self.notices.len() > NOTICES_MAX {
            self.notices.pop_front();
        }
        answers_a_notice.then_some("a notice of failure was answered by another one")
    }

    fn note(&self, why: &str) {
        let circle = Circle { seen: Timestamp::now().as_second(), why: why.to_owned() };
        let bytes = serde_json::to_vec(&circle).unwrap_or_default();
        if let Err(error) = files::replace(&self.file, &bytes) {
            warn!(
                error = &error as &(dyn std::error::Error + 'static),
                "`health` cannot be told about mail that goes in circles"
            );
        }
    }
}

fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_notice_about_a_notice_is_a_circle() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::into_folder(folder.path());
        let mut hear = |id: &str, text: &str| {
            watch.hear(&Said { program: "bounce", queue_id: Some(id), text });
            Circle::read(folder.path(), Timestamp::now()).is_some()
        };
        assert!(!hear("A1", "sender non-delivery notification: B2"));
        assert!(!hear("C3", "sender non-delivery notification: D4"));
        assert!(hear("B2", "sender non-delivery notification: E5"));
        let later = Timestamp::now() + SignedDuration::from_hours(1);
        assert_eq!(Circle::read(folder.path(), later), None);
        Watch::into_folder(folder.path());
        assert_eq!(Circle::read(folder.path(), Timestamp::now()), None);
    }
}
