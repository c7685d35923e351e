//! A site's turn: how long it may take before the other sites have theirs, and which files it is done with.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// A turn within a pass. The files it is done with are remembered from turn to turn.
#[derive(Debug, Default)]
pub struct Turn {
    until: Option<Instant>,
    done_with: HashSet<PathBuf>,
}

impl Turn {
    /// A turn that takes as long as there is work.
    pub fn without_end() -> Self {
        Self::default()
    }

    /// Begins a turn, the first or another.
    pub fn begin(&mut self, length: Duration) {
        self.until = Instant::now().checked_add(length);
    }

    /// Whether it is time to give way.
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    /// Whether a file is still to be looked at in this pass.
    pub fn wants(&self, file: &Path) -> bool {
        !self.done_with.contains(file)
    }

    /// A file was read to its end, or failed; it is not looked at again in this pass.
    pub fn done_with(&mut self, file: PathBuf) {
        self.done_with.insert(file);
    }
}
