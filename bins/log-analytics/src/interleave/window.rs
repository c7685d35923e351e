//! A bounded stretch of the stream, rearranged so that equal user agents stand together.

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::hit::{Inset, Written};
use crate::ledger::FileId;

/// Where a hit came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: FileId,
    /// Which of the file's hits it is, as the tracker counts them.
    pub number: u32,
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
///
/// Their JSON is written where it stays: a file writes its next hit before anybody knows whose turn it is.
#[derive(Debug)]
pub struct Window {
    hits: Vec<(Waiting, Text)>,
    bytes: Vec<u8>,
    /// JSON of hits that are not put in yet, by the index of their file.
    written: Vec<(usize, Text)>,
    hits_max: usize,
    bytes_max: usize,
    /// The order in which hits are taken out, as indexes, once the first was taken.
    turns: Vec<u32>,
    ranks: Ranks,
    taken: usize,
}

/// Where the JSON of a hit stands, and what belongs in it.
#[derive(Debug, Default)]
struct Text {
    start: u32,
    end: u32,
    inset: Option<Inset>,
}

impl Text {
    fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Window {
    /// An empty window for so many hits and so many bytes.
    pub fn new(hits_max: usize, bytes_max: usize) -> Self {
        Self {
            hits: Vec::new(),
            bytes: Vec::new(),
            written: Vec::new(),
            hits_max,
            bytes_max,
            turns: Vec::new(),
            ranks: Ranks::default(),
            taken: 0,
        }
    }

    /// Lets the file of this index write the JSON of its next hit, or nothing, and say what it left out of it. The hit it
    /// wrote before has been put in.
    #[inline]
    pub fn write<T>(&mut self, file: usize, write: impl FnOnce(&mut Vec<u8>, &mut Option<Inset>) -> T) -> T {
        let start = self.bytes.len() as u32;
        let mut inset = None;
        let answer = write(&mut self.bytes, &mut inset);
        let end = self.bytes.len() as u32;
        if end > start {
            self.written.push((file, Text { start, end, inset }));
        }
        answer
    }

    /// Puts in the next hit of the stream, which the file of this index has written. What was put in before is taken
    /// out completely before more is put in.
    #[inline]
    pub fn push(&mut self, file: usize, hit: Waiting) {
        let place = self.written.iter().position(|(writer, _)| *writer == file);
        debug_assert!(place.is_some(), "a hit is written before it is put in");
        let text = place.map(|place| self.written.swap_remove(place).1).unwrap_or_default();
        self.hits.push((hit, text));
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
    #[inline]
    pub fn pop(&mut self) -> Option<(Waiting, Written<'_>)> {
        if self.taken == self.hits.len() {
            self.clear();
            return None;
        }
        if self.taken == 0 {
            self.arrange();
        }
        let index = self.turns[self.taken] as usize;
        self.taken += 1;
        let (hit, text) = &self.hits[index];
        Some((*hit, Written { own: &self.bytes[text.range()], inset: text.inset.as_ref() }))
    }

    /// Forgets what was taken out; what is not put in yet moves to the front.
    fn clear(&mut self) {
        self.hits.clear();
        self.turns.clear();
        self.taken = 0;
        self.written.sort_unstable_by_key(|(_, text)| text.start);
        let mut end = 0;
        for (_, text) in &mut self.written {
            self.bytes.copy_within(text.range(), end as usize);
            (text.start, text.end) = (end, end + (text.end - text.start));
            end = text.end;
        }
        self.bytes.truncate(end as usize);
    }

    /// Hits of rank 0 first, then those of rank 1, and so on; within a rank in the order they came.
    fn arrange(&mut self) {
        self.ranks.give(self.hits.iter().map(|(hit, _)| hit));
        let mut next_turn = self.ranks.first_turns();
        self.turns.resize(self.hits.len(), 0);
        for (index, &rank) in self.ranks.of_hits.iter().enumerate() {
            let turn = &mut next_turn[rank as usize];
            self.turns[*turn] = index as u32;
            *turn += 1;
        }
    }
}

/// Which group each hit of a window goes with. Kept from one window to the next for its memory only.
#[derive(Debug, Default)]
struct Ranks {
    of_hits: Vec<u32>,
    of_agent: FxHashMap<u64, u32>,
    of_visitor: FxHashMap<u64, u32>,
}

impl Ranks {
    fn give<'h>(&mut self, hits: impl Iterator<Item = &'h Waiting>) {
        let Self { of_hits, of_agent, of_visitor } = self;
        of_hits.clear();
        of_agent.clear();
        of_visitor.clear();
        of_hits.extend(hits.map(|hit| {
            // All hits of a visitor go with the first agent seen, or several agents behind one address would change places.
            *of_visitor.entry(hit.visitor).or_insert_with(|| {
                let next = of_agent.len() as u32;
                *of_agent.entry(hit.agent).or_insert(next)
            })
        }));
    }

    /// The turn of the first hit of each rank.
    fn first_turns(&self) -> Vec<usize> {
        let mut turns = vec![0; self.of_agent.len() + 1];
        for &rank in &self.of_hits {
            turns[rank as usize + 1] += 1;
        }
        for rank in 1..turns.len() {
            turns[rank] += turns[rank - 1];
        }
        turns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hit(offset: u64, visitor: u64, agent: u64) -> Waiting {
        Waiting { origin: Origin { file: FileId(1), number: 0, offset }, seconds: 0, visitor, agent }
    }

    fn put(window: &mut Window, file: usize, hit: Waiting, json: &str) {
        window.write(file, |room, _| room.extend_from_slice(json.as_bytes()));
        window.push(file, hit);
    }

    #[test]
    fn what_is_written_but_not_put_in_outlives_the_others() {
        let mut window = Window::new(10, 1000);
        for file in [3, 5, 4] {
            window.write(file, |room, _| room.extend_from_slice(format!("first of {file}").as_bytes()));
        }
        window.write(6, |_, _| {});
        put(&mut window, 2, hit(0, 1, 7), "taken out");
        window.push(5, hit(1, 2, 7));
        while window.pop().is_some() {}
        assert!(window.is_empty());
        put(&mut window, 5, hit(2, 3, 7), "second of 5");
        window.push(4, hit(3, 4, 7));
        window.push(3, hit(4, 5, 7));
        let mut got = Vec::new();
        while let Some((_, json)) = window.pop() {
            got.push(String::from_utf8(json.own.to_vec()).unwrap());
        }
        assert_eq!(got, ["second of 5", "first of 4", "first of 3"]);
        assert!(window.bytes.is_empty());
    }

    #[test]
    fn equal_agents_stand_together() {
        let mut window = Window::new(10, 1000);
        for (offset, visitor, agent) in [(0, 1, 7), (1, 2, 8), (2, 3, 7), (3, 2, 7), (4, 1, 8)] {
            put(&mut window, 0, hit(offset, visitor, agent), &offset.to_string());
        }
        let mut got = Vec::new();
        while let Some((hit, json)) = window.pop() {
            got.push((hit.origin.offset, json.own.to_vec()));
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
                put(&mut window, 0, hit(offset as u64, visitor, agent), "{}");
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
