//! Which lines of a file are still to be sent, by what the ledger says.

use crate::ledger::{Book, FileId};

/// Answers for the lines of one file, asked in ascending order of their offsets.
#[derive(Debug, Default)]
pub struct Wanted {
    checkpoint: u64,
    /// Before the checkpoint: to be sent all the same.
    holes: Vec<u64>,
    /// From the checkpoint on: on the way, there, or withheld.
    taken: Vec<u64>,
}

impl Wanted {
    /// Every line.
    pub fn all() -> Self {
        Self::default()
    }

    /// The lines that the ledger does not know to be settled.
    pub fn of(book: &Book, file: FileId) -> Self {
        let Some(entry) = book.file(file) else { return Self::all() };
        Self { checkpoint: entry.checkpoint, holes: entry.holes.iter().copied().collect(), taken: book.taken(file) }
    }

    /// Where reading has to begin.
    pub fn begin(&self) -> u64 {
        self.holes.first().copied().unwrap_or(self.checkpoint)
    }

    /// Whether the line at `offset` is to be sent.
    pub fn wants(&self, offset: u64) -> bool {
        if offset < self.checkpoint {
            self.holes.binary_search(&offset).is_ok()
        } else {
            self.taken.is_empty() || self.taken.binary_search(&offset).is_err()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unsettled_lines_are_wanted() {
        let wanted = Wanted { checkpoint: 100, holes: vec![20, 60], taken: vec![120, 180] };
        assert_eq!(wanted.begin(), 20);
        let asked = [0, 20, 40, 60, 80, 100, 120, 140, 180, 200];
        let got: Vec<u64> = asked.into_iter().filter(|&offset| wanted.wants(offset)).collect();
        assert_eq!(got, [20, 60, 100, 140, 200]);
        assert!(Wanted::all().wants(0));
    }
}
