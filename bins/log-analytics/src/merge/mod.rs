//! Stage 5: the hits of one site's files become one stream in time order, by a k-way merge.
//!
//! Matomo counts other visits when a visitor's hits arrive out of order, so files that overlap in time are merged. Hits are not
//! rearranged beyond that: grouping them by user agent gains nothing on real logs, and days that are mixed in a batch lock each
//! other's rows in Matomo's database.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::format::Moment;
use crate::id::FileId;

/// Where a hit came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: FileId,
    /// Which of the file's hits it is, in the order in which they were read.
    pub number: u32,
    /// Offset of its line.
    pub offset: u64,
}

/// A hit that waits for its turn; its JSON is kept by the file it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// Where it came from.
    pub origin: Origin,
    /// Its date, seconds since 1970.
    pub seconds: i64,
    /// Hash of the visitor's address.
    pub visitor: u64,
}

/// Which of several open files has the oldest next hit.
#[derive(Debug, Default)]
pub struct Order {
    heap: BinaryHeap<Reverse<(Moment, usize)>>,
    /// Within a file the file's own order counts: a line dated before its predecessor keeps its place.
    reached: Vec<Moment>,
}

impl Order {
    /// The next hit of file `index` is dated `moment`.
    pub fn push(&mut self, index: usize, moment: Moment) {
        if self.reached.len() <= index {
            self.reached.resize(index + 1, Moment { seconds: i64::MIN, micros: 0 });
        }
        let moment = self.reached[index].max(moment);
        self.reached[index] = moment;
        self.heap.push(Reverse((moment, index)));
    }

    /// The date of the oldest next hit.
    pub fn oldest(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse((moment, _))| *moment)
    }

    /// Takes the file with the oldest next hit; of equals the first one.
    pub fn pop(&mut self) -> Option<usize> {
        self.heap.pop().map(|Reverse((_, index))| index)
    }

    /// A file was closed; another may be opened in its place.
    pub fn forget(&mut self, index: usize) {
        if let Some(reached) = self.reached.get_mut(index) {
            *reached = Moment { seconds: i64::MIN, micros: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment { seconds, micros: 0 }
    }

    #[test]
    fn files_take_turns_by_time_and_a_file_keeps_its_own_order() {
        let files = [vec![10, 30, 20, 50], vec![5, 30, 40]];
        let mut next = [1, 1];
        let mut order = Order::default();
        order.push(0, at(10));
        order.push(1, at(5));
        let mut got = Vec::new();
        while let Some(index) = order.pop() {
            got.push((index, files[index][next[index] - 1]));
            if let Some(&seconds) = files[index].get(next[index]) {
                next[index] += 1;
                order.push(index, at(seconds));
            }
        }
        assert_eq!(got, [(1, 5), (0, 10), (0, 30), (0, 20), (1, 30), (1, 40), (0, 50)]);
    }
}
