//! Matomo's two switches, tracking and user interface: thrown with the previous values remembered, and thrown back.

mod state;
mod throw;

use serde::{Deserialize, Serialize};

use crate::ini::{Document, Value, is_true};

pub use state::State;
pub use throw::{SwitchError, Switches};

const TRACKING: (&str, &str) = ("Tracker", "record_statistics");
const UI: (&str, &str) = ("General", "maintenance_mode");

/// Which of the two are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halves {
    /// Recording of visits.
    pub tracking: bool,
    /// User interface and API.
    pub ui: bool,
}

impl Halves {
    /// Both.
    pub const BOTH: Self = Self { tracking: true, ui: true };

    /// Section, key and the value that switches off.
    fn locked(self) -> impl Iterator<Item = ((&'static str, &'static str), Value)> {
        let tracking = self.tracking.then(|| (TRACKING, Value::switch(false)));
        let ui = self.ui.then(|| (UI, Value::switch(true)));
        tracking.into_iter().chain(ui)
    }
}

/// Who threw the switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A person: they stay until `unlock`.
    Hand,
    /// `upgrade-guard`: they stay when it fails, until `unlock` or an upgrade that succeeds.
    Upgrade,
    /// A backup, for as long as it takes.
    Backup,
    /// A restore, for as long as it takes.
    Restore,
}

impl Purpose {
    /// As people say it.
    pub fn word(self) -> &'static str {
        match self {
            Purpose::Hand => "by hand",
            Purpose::Upgrade => "by upgrade-guard",
            Purpose::Backup => "for a backup",
            Purpose::Restore => "for a restore",
        }
    }
}

/// Whether tracking and user interface are on, by the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// Recording of visits.
    pub tracking: bool,
    /// User interface and API.
    pub ui: bool,
}

/// What the file says; a missing key means on.
pub fn effective(document: &Document) -> Effective {
    let truth = |(section, key): (&str, &str)| document.get(section, key).map(|value| is_true(&value));
    Effective { tracking: truth(TRACKING).unwrap_or(true), ui: !truth(UI).unwrap_or(false) }
}
