//! How Matomo's clock goes beside ours, by the `Date` of its answers. Matomo stores a hit from its future as if it happened now,
//! so it is Matomo's clock that decides.

use std::cell::Cell;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};

/// What the answers said so far.
#[derive(Debug, Default)]
pub struct ServerClock {
    ahead: Cell<Option<SignedDuration>>,
}

impl ServerClock {
    /// An answer was dated so, just now.
    pub(super) fn note(&self, date: Option<SystemTime>) {
        let date = date.and_then(|date| Timestamp::try_from(date).ok());
        if let Some(date) = date {
            self.ahead.set(Some(date.duration_since(Timestamp::now())));
        }
    }

    /// How far Matomo's clock is ahead of ours; negative if it is behind. Nothing if no answer had a date.
    pub fn ahead(&self) -> Option<SignedDuration> {
        self.ahead.get()
    }
}
