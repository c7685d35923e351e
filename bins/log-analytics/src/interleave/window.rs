//! A bounded stretch of the stream, rearranged so that equal user agents stand together.

use std::collections::HashMap;

use crate::ledger::FileId;

/// Where a hit came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: FileId,
    /// Offset of its line.
    pub offset: u64,
}

/// A hit that waits to be put into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Where it came from.
    pub origin: Origin,
    /// Its date, seconds since 1970.
    pub seconds: i64,
    /// Hash of the visitor's address.
    pub visitor: u64,
    /// Hash of the user agent.
    pub agent: u64,
}

/// Hits are put in, in time order, until it is full; then they are taken out until it is empty.
#[derive(Debug)]
pub struct Window {
    /// Each hit, and where its JSON ends.
    hits: Vec<(Waiting, usize)>,
    bytes: Vec<u8>,
    hits_max: usize,
    bytes_max: usize,
    /// The order in which hits are taken out: rank and index, once the first was taken.
    turns: Vec<(usize, usize)>,
    taken: usize,
}

impl Window {
    /// An empty window for so many hits and so many bytes.
    pub fn new(hits_max: usize, bytes_max: usize) -> Self {
        Self { hits: Vec::new(), bytes: Vec::new(), hits_max, bytes_max, turns: Vec::new(), taken: 0 }
    }

    /// Adds the next hit of the stream. What was put in before is taken out completely before more is put in.
    pub fn push(&mut self, hit: Waiting, json: &[u8]) {
        self.bytes.extend_from_slice(json);
        self.hits.push((hit, self.bytes.len()));
    }

    /// Whether it should be emptied now.
    pub fn is_full(&self) -> bool {
        self.hits.len() >= self.hits_max || self.bytes.len() >= self.bytes_max
    }

    /// Whether nothing is left in it.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// Takes out the next hit: those of one user agent together, each visitor's in the order they came.
    /// The JSON is to be read before the next call.
    pub fn pop(&mut self) -> Option<(Waiting, &[u8])> {
        if self.taken == self.hits.len() {
            self.hits.clear();
            self.bytes.clear();
            self.turns.clear();
            self.taken = 0;
            return None;
        }
        if self.taken == 0 {
            self.arrange();
        }
        let (_, index) = self.turns[self.taken];
        self.taken += 1;
        let start = index.checked_sub(1).map_or(0, |before| self.hits[before].1);
        let (hit, end) = self.hits[index];
        Some((hit, &self.bytes[start..end]))
    }

    fn arrange(&mut self) {
        let mut rank_of_agent: HashMap<u64, usize> = HashMap::new();
        let mut rank_of_visitor: HashMap<u64, usize> = HashMap::new();
        for (index, (hit, _)) in self.hits.iter().enumerate() {
            // All hits of a visitor go with the first agent seen, or several agents behind one address would change places.
            let rank = *rank_of_visitor.entry(hit.visitor).or_insert_with(|| {
                let next = rank_of_agent.len();
                *rank_of_agent.entry(hit.agent).or_insert(next)
            });
            self.turns.push((rank, index));
        }
        self.turns.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hit(offset: u64, visitor: u64, agent: u64) -> Waiting {
        Waiting { origin: Origin { file: FileId(1), offset }, seconds: 0, visitor, agent }
    }

    #[test]
    fn equal_agents_stand_together() {
        let mut window = Window::new(10, 1000);
        for (offset, visitor, agent) in [(0, 1, 7), (1, 2, 8), (2, 3, 7), (3, 2, 7), (4, 1, 8)] {
            window.push(hit(offset, visitor, agent), offset.to_string().as_bytes());
        }
        let mut got = Vec::new();
        while let Some((hit, json)) = window.pop() {
            got.push((hit.origin.offset, json.to_vec()));
        }
        assert!(window.is_empty());
        let offsets: Vec<u64> = got.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, [0, 2, 4, 1, 3]);
        assert!(got.iter().all(|(offset, json)| *json == offset.to_string().as_bytes()));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_every_visitor_keeps_the_order(hits in proptest::collection::vec((0u64..5, 0u64..4), 0..60)) {
            let mut window = Window::new(100, 1000);
            for (offset, &(visitor, agent)) in hits.iter().enumerate() {
                window.push(hit(offset as u64, visitor, agent), b"{}");
            }
            let mut got = Vec::new();
            while let Some((hit, _)) = window.pop() {
                got.push(hit);
            }
            prop_assert_eq!(got.len(), hits.len());
            for visitor in 0..5 {
                let offsets: Vec<_> = got.iter().filter(|hit| hit.visitor == visitor).map(|hit| hit.origin.offset).collect();
                prop_assert!(offsets.is_sorted());
            }
        }
    }
}
