//! What the last runs said, for the moment when a journey finds that something is wrong.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outcome::Outcome;

/// More runs than these are rarely read, and a journey may have hundreds.
const RUNS_MAX: usize = 3;
/// The last lines of a run say how it ended.
const LINES_MAX: usize = 60;

/// The last runs of a stack, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct Diary(Arc<Mutex<VecDeque<String>>>);

impl Diary {
    /// Remember how a run ended, and forget the oldest one.
    pub fn note(&self, outcome: &Outcome) {
        let mut runs = self.open();
        runs.push_back(outcome.to_string());
        if runs.len() > RUNS_MAX {
            runs.pop_front();
        }
    }

    /// A journey that fails elsewhere must still be able to read it.
    fn open(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Diary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for run in self.open().iter() {
            let lines: Vec<&str> = run.lines().collect();
            let (first, rest) = lines.split_first().unwrap_or((&"", &[]));
            writeln!(out, "{first}")?;
            for line in &rest[rest.len().saturating_sub(LINES_MAX)..] {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}
