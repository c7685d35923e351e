//! Which lines of a file are still to be sent, by what the ledger says.

use crate::ledger::{Book, Content, FileId, Spans};

/// Answers for the lines of one file, asked in ascending order of their offsets.
#[derive(Debug, Default)]
pub struct PendingLines {
    resume: u64,
    /// Date of the newest hit before the place of resumption, seconds since 1970.
    newest: Option<i64>,
    /// To be sent, wherever they stand.
    again: Spans,
    /// From the place of resumption on: in flight, arrived, or withheld.
    taken: Vec<u64>,
}

impl PendingLines {
    /// Every line.
    pub fn all() -> Self {
        Self::default()
    }

    /// The lines that the ledger does not know to be settled.
    pub fn of(book: &Book, file: FileId) -> Self {
        book.file(file).map_or_else(Self::all, |content| Self::of_content(book, content))
    }

    fn of_content(book: &Book, content: &Content) -> Self {
        Self {
            resume: content.resume(),
            newest: content.newest.get(),
            again: content.again.clone(),
            taken: book.taken(content.id),
        }
    }

    /// Where reading has to begin.
    pub fn begin(&self) -> u64 {
        self.again.begin().map_or(self.resume, |begin| begin.min(self.resume))
    }

    /// Date of the newest hit before [`PendingLines::begin`], seconds since 1970; unknown where earlier lines are sent again.
    pub fn newest_before(&self) -> Option<i64> {
        self.newest.filter(|_| self.begin() == self.resume)
    }

    /// Whether the line at `offset` is to be sent.
    #[inline]
    pub fn wants(&self, offset: u64) -> bool {
        if offset >= self.resume && (self.taken.is_empty() || self.taken.binary_search(&offset).is_err()) {
            return true;
        }
        !self.again.is_empty() && self.again.contains(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unsettled_lines_are_wanted() {
        let mut again = Spans::none();
        [(20, 21), (60, 61), (130, 131)].into_iter().for_each(|(begin, end)| again.add(begin, end));
        let pending = PendingLines { resume: 100, newest: Some(9), again, taken: vec![120, 130, 180] };
        assert_eq!(pending.begin(), 20);
        let asked = [0, 20, 40, 60, 80, 100, 120, 130, 140, 180, 200];
        let got: Vec<u64> = asked.into_iter().filter(|&offset| pending.wants(offset)).collect();
        assert_eq!(got, [20, 60, 100, 130, 140, 200]);
        assert!(PendingLines::all().wants(0));
        // What is read again from the middle does not follow on the newest line.
        assert_eq!(pending.newest_before(), None);
        let on = PendingLines { again: Spans::none(), ..pending };
        assert_eq!((on.begin(), on.newest_before()), (100, Some(9)));
    }
}
