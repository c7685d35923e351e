//! What was thrown and must be thrown back: the previous values, as they were written.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Halves, Purpose};
use crate::ini::{Document, Value};

/// One switch as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    section: String,
    key: String,
    set: String,
    /// As it was written; nothing where Matomo's default counted.
    previous: Option<String>,
    section_was_missing: bool,
    /// Whether the key stood there without a `=`.
    #[serde(default)]
    was_bare: bool,
}

/// What was thrown and must be thrown back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// Since when.
    pub since: Timestamp,
    /// By whom.
    pub purpose: Purpose,
    /// Whether the throwing came to its end.
    pub complete: bool,
    switches: Vec<Remembered>,
}

impl State {
    /// Nothing is thrown yet.
    pub(super) fn new(purpose: Purpose, since: Timestamp) -> Self {
        Self { version: 1, since, purpose, complete: false, switches: Vec::new() }
    }

    /// Throws the switches in a text, again.
    pub fn redo(&self, document: &mut Document) {
        for switch in &self.switches {
            if let Some(value) = Value::new(&switch.set) {
                document.set(&switch.section, &switch.key, &value);
            }
        }
    }

    /// Gives the switches in a text their previous values.
    pub fn undo(&self, document: &mut Document) {
        for switch in &self.switches {
            match &switch.previous {
                Some(_) if switch.was_bare => document.strip(&switch.section, &switch.key),
                Some(raw) => document.put_back(&switch.section, &switch.key, raw),
                None => document.remove(&switch.section, &switch.key),
            }
        }
        for switch in self.switches.iter().filter(|switch| switch.section_was_missing) {
            document.remove_empty_section(&switch.section);
        }
    }

    /// Remembers how these halves are now; what is remembered already stays as it was first found.
    pub(super) fn remember(&mut self, document: &Document, halves: Halves) {
        for ((section, key), value) in halves.locked() {
            if self.switches.iter().any(|known| known.section == section && known.key == key) {
                continue;
            }
            self.switches.push(Remembered {
                section: section.to_owned(),
                key: key.to_owned(),
                set: value.as_str().to_owned(),
                previous: document.raw(section, key).map(|raw| String::from_utf8_lossy(raw).into_owned()),
                section_was_missing: !document.has_section(section),
                was_bare: document.is_bare(section, key),
            });
        }
    }

    /// Takes over what another remembers besides.
    pub(super) fn take_over(&mut self, other: State) {
        let is_new = |switch: &Remembered| {
            !self.switches.iter().any(|known| known.section == switch.section && known.key == switch.key)
        };
        let new: Vec<Remembered> = other.switches.into_iter().filter(is_new).collect();
        self.switches.extend(new);
    }

    /// Whether all of them are thrown in a text.
    pub(super) fn holds_in(&self, document: &Document) -> bool {
        self.switches.iter().all(|switch| document.get(&switch.section, &switch.key).as_deref() == Some(&*switch.set))
    }
}
