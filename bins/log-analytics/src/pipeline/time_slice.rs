//! A site's slice of a pass: how long it may take before the other sites have theirs, and which files it is done with.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::discover::LogFile;
use crate::ledger::Book;

/// How often a file that changes while it is read is looked at again within a pass.
const LOOKS_MAX: u32 = 5;

/// A slice of a pass. The files it is done with are remembered from slice to slice.
#[derive(Debug, Default)]
pub struct TimeSlice {
    until: Option<Instant>,
    /// How often a file was looked at again; done with at the last number.
    looks: HashMap<Box<Path>, u32>,
}

impl TimeSlice {
    /// A slice that takes as long as there is work.
    pub fn without_end() -> Self {
        Self::default()
    }

    /// Begins a slice, the first or another.
    pub fn begin(&mut self, length: Duration) {
        self.until = Instant::now().checked_add(length);
    }

    /// Whether it is time to give way.
    pub fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    /// Whether a file is still to be looked at in this pass.
    pub fn wants(&self, file: &Path) -> bool {
        self.looks.get(file).is_none_or(|looks| *looks < LOOKS_MAX)
    }

    /// A file was read to its end; it is not looked at again in this pass. What the ledger knows to be done is not
    /// looked at anyway: a site may have very many of these.
    pub fn done_with(&mut self, file: &LogFile, book: &Book) {
        if !book.recognise(file).is_some_and(|(_, done)| done) {
            self.give_up(file.path.clone());
        }
    }

    /// A file cannot be read, and is not looked at again in this pass.
    pub fn give_up(&mut self, file: Box<Path>) {
        self.looks.insert(file, LOOKS_MAX);
    }

    /// A file changed while it was read; answers whether it is looked at again in this pass.
    pub fn looks_again(&mut self, file: &Path) -> bool {
        let looks = self.looks.entry(file.into()).or_default();
        *looks += 1;
        *looks < LOOKS_MAX
    }
}
