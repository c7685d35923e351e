//! A bounded stretch of the stream, rearranged so that equal user agents stand together.

use std::cmp::Reverse;
use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::hit::{Common, Written};
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

/// Hits are put in, in time order, until it is full; then the larger half of them is taken out: all hits of the user agents
/// that have most. The others wait for company until it is full again, and go first when they have waited twice.
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
    /// Nothing stays behind any more.
    is_last: bool,
    /// The order in which hits are taken out, as indexes, once the first was taken.
    turns: Vec<u32>,
    ranks: Ranks,
    taken: usize,
    /// How many are to be taken out, once the first was taken.
    leaving: usize,
}

/// Where the JSON of a hit stands, and what belongs in it.
#[derive(Debug, Default)]
struct Text {
    start: u32,
    end: u32,
    common: Option<Common>,
    /// How often others were taken out instead.
    stayed: u8,
    /// It was taken out itself.
    is_gone: bool,
}

/// Whoever has stayed so often goes first, the oldest before all. More would gather hardly more company (computed for a log
/// of 100,000 lines).
const STAYS_MAX: u8 = 2;

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
            is_last: false,
            turns: Vec::new(),
            ranks: Ranks::default(),
            taken: 0,
            leaving: 0,
        }
    }

    /// Lets the file of this index write the JSON of its next hit, or nothing, and say what it left out of it. The hit it
    /// wrote before has been put in.
    #[inline]
    pub fn write<T>(&mut self, file: usize, write: impl FnOnce(&mut Vec<u8>, &mut Option<Common>) -> T) -> T {
        let start = self.bytes.len() as u32;
        let mut common = None;
        let answer = write(&mut self.bytes, &mut common);
        let end = self.bytes.len() as u32;
        if end > start {
            self.written.push((file, Text { start, end, common, ..Text::default() }));
        }
        answer
    }

    /// Puts in the next hit of the stream, which the file of this index has written. What is to be taken out is taken
    /// out completely before more is put in.
    #[inline]
    pub fn push(&mut self, file: usize, hit: Waiting) {
        let place = self.written.iter().position(|(writer, _)| *writer == file);
        debug_assert!(place.is_some(), "a hit is written before it is put in");
        let text = place.map(|place| self.written.swap_remove(place).1).unwrap_or_default();
        self.hits.push((hit, text));
    }

    /// Whether it holds as much as it may.
    pub fn is_full(&self) -> bool {
        self.hits.len() >= self.hits_max || self.bytes.len() >= self.bytes_max
    }

    /// No more hits will be put in, so all are to be taken out.
    pub fn end(&mut self) {
        self.is_last = true;
    }

    /// Whether hits are to be taken out now.
    pub fn is_due(&self) -> bool {
        self.is_last || self.taken > 0 || self.is_full()
    }

    /// Whether there is nothing to be taken out, unless more hits are put in.
    pub fn is_settled(&self) -> bool {
        self.taken == 0 && self.count_to_leave() == 0
    }

    /// How many hits are to be taken out of those at hand. Where a few fill it with their length, there is no room for
    /// any to stay.
    fn count_to_leave(&self) -> usize {
        let all = self.is_last || self.bytes.len() >= self.bytes_max;
        let staying = if all { 0 } else { self.hits_max / 2 };
        self.hits.len().saturating_sub(staying)
    }

    /// Takes out the next hit: those of one user agent together, each visitor's in the order they came.
    /// The JSON is to be read before the next call.
    #[inline]
    pub fn pop(&mut self) -> Option<(Waiting, Written<'_>)> {
        if self.taken == self.leaving {
            if self.taken > 0 {
                self.close_up();
            }
            if self.count_to_leave() == 0 {
                return None;
            }
            self.arrange();
        }
        let (hit, text) = &mut self.hits[self.turns[self.taken] as usize];
        self.taken += 1;
        text.is_gone = true;
        Some((*hit, Written { own: &self.bytes[text.range()], common: text.common.as_ref() }))
    }

    /// Forgets what was taken out; what stays, and what is not put in yet, moves to the front.
    fn close_up(&mut self) {
        (self.taken, self.leaving) = (0, 0);
        self.hits.retain_mut(|(_, text)| {
            text.stayed = text.stayed.saturating_add(1);
            !text.is_gone
        });
        let stays = self.hits.iter_mut().map(|(_, text)| text);
        let mut texts: Vec<&mut Text> = stays.chain(self.written.iter_mut().map(|(_, text)| text)).collect();
        texts.sort_unstable_by_key(|text| text.start);
        let mut end = 0;
        for text in texts {
            self.bytes.copy_within(text.range(), end as usize);
            (text.start, text.end) = (end, end + (text.end - text.start));
            end = text.end;
        }
        self.bytes.truncate(end as usize);
    }

    /// Hits of the first rank first, then those of the next, and so on; within a rank in the order they came.
    fn arrange(&mut self) {
        let mut next_turn = self.ranks.give(&self.hits);
        self.turns.resize(self.hits.len(), 0);
        for (index, &group) in self.ranks.of_hits.iter().enumerate() {
            let turn = &mut next_turn[group as usize];
            self.turns[*turn as usize] = index as u32;
            *turn += 1;
        }
        self.leaving = self.count_to_leave();
    }
}

/// Which group each hit of a window goes with. Kept from one window to the next for its memory only.
#[derive(Debug, Default)]
struct Ranks {
    of_hits: Vec<u32>,
    of_agent: FxHashMap<u64, u32>,
    of_visitor: FxHashMap<u64, u32>,
    groups: Vec<Group>,
}

/// Hits that go together.
#[derive(Debug, Clone, Copy)]
struct Group {
    number: u32,
    hits: u32,
    stayed: u8,
}

impl Ranks {
    /// Gives each hit a group; answers the turn of the first hit of each group.
    fn give(&mut self, hits: &[(Waiting, Text)]) -> Vec<u32> {
        let Self { of_hits, of_agent, of_visitor, groups } = self;
        of_hits.clear();
        of_agent.clear();
        of_visitor.clear();
        groups.clear();
        of_hits.extend(hits.iter().map(|(hit, text)| {
            // All hits of a visitor go with the first agent seen, or several agents behind one address would change places.
            let number = *of_visitor.entry(hit.visitor).or_insert_with(|| {
                *of_agent.entry(hit.agent).or_insert_with(|| {
                    groups.push(Group { number: groups.len() as u32, hits: 0, stayed: 0 });
                    groups.len() as u32 - 1
                })
            });
            let group = &mut groups[number as usize];
            group.hits += 1;
            group.stayed = group.stayed.max(text.stayed);
            number
        }));
        // Groups are numbered as they were first seen, so of those that have waited long the oldest hit leaves in any case.
        groups.sort_unstable_by_key(|group| match group.stayed {
            STAYS_MAX.. => (false, Reverse(0), group.number),
            _ => (true, Reverse(group.hits), group.number),
        });
        let mut first_turns = vec![0; groups.len()];
        let mut turn = 0;
        for group in groups {
            first_turns[group.number as usize] = turn;
            turn += group.hits;
        }
        first_turns
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

    fn take(window: &mut Window) -> Vec<(u64, String)> {
        let mut got = Vec::new();
        while let Some((hit, json)) = window.pop() {
            got.push((hit.origin.offset, String::from_utf8(json.own.to_vec()).unwrap()));
        }
        assert!(window.is_settled());
        got
    }

    fn offsets(window: &mut Window) -> Vec<u64> {
        take(window).into_iter().map(|(offset, _)| offset).collect()
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
        window.end();
        take(&mut window);
        put(&mut window, 5, hit(2, 3, 7), "second of 5");
        window.push(4, hit(3, 4, 7));
        window.push(3, hit(4, 5, 7));
        let got: Vec<_> = take(&mut window).into_iter().map(|(_, json)| json).collect();
        assert_eq!(got, ["second of 5", "first of 4", "first of 3"]);
        assert!(window.bytes.is_empty());
    }

    #[test]
    fn equal_agents_stand_together() {
        let mut window = Window::new(10, 1000);
        for (offset, visitor, agent) in [(0, 1, 7), (1, 2, 8), (2, 3, 7), (3, 2, 7), (4, 1, 8)] {
            put(&mut window, 0, hit(offset, visitor, agent), &offset.to_string());
        }
        window.end();
        let got = take(&mut window);
        assert_eq!(got.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 2, 4, 1, 3]);
        assert!(got.iter().all(|(offset, json)| *json == offset.to_string()));
    }

    #[test]
    fn rare_agents_wait_for_company_but_not_for_ever() {
        let mut window = Window::new(4, 1000);
        let mut offset = 0;
        let mut put_four = |window: &mut Window, agents: &[u64]| {
            for &agent in agents {
                put(window, 0, hit(offset, offset, agent), &offset.to_string());
                offset += 1;
            }
            assert!(window.is_full());
            offsets(window)
        };
        assert_eq!(put_four(&mut window, &[1, 7, 2, 7]), [1, 3], "the two of agent 7");
        assert_eq!(put_four(&mut window, &[2, 8]), [2, 4], "the two of agent 2, one of which waited");
        assert_eq!(put_four(&mut window, &[8, 9]), [0, 5], "the one of agent 1, which has waited twice, then agent 8");
        window.end();
        assert_eq!(offsets(&mut window), [6, 7]);
    }

    #[test]
    fn of_those_that_have_waited_long_the_oldest_goes_first_however_many_come_to_another() {
        let mut window = Window::new(4, 1000);
        let mut left = Vec::new();
        for (offset, agent) in [1, 2, 7, 7, 8, 8, 2, 2].into_iter().enumerate() {
            put(&mut window, 0, hit(offset as u64, offset as u64, agent), "{}");
            if window.is_full() {
                left.push(offsets(&mut window));
            }
        }
        assert_eq!(left, [[2, 3], [4, 5], [0, 1]]);
    }

    #[test]
    fn long_hits_do_not_stay() {
        let mut window = Window::new(100, 10);
        for offset in 0..3 {
            put(&mut window, 0, hit(offset, offset, offset), "of 7 b.");
        }
        assert!(window.is_full());
        assert_eq!(offsets(&mut window), [0, 1, 2]);
        assert!(!window.is_full());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_every_visitor_keeps_the_order(hits in proptest::collection::vec((0u64..5, 0u64..4), 0..60), room in 1usize..20) {
            let mut window = Window::new(room, 200);
            let mut got = Vec::new();
            for (offset, &(visitor, agent)) in hits.iter().enumerate() {
                put(&mut window, 0, hit(offset as u64, visitor, agent), &format!("of {offset}"));
                if window.is_full() {
                    got.extend(take(&mut window));
                    prop_assert!(!window.is_full());
                }
            }
            window.end();
            got.extend(take(&mut window));
            prop_assert_eq!(got.len(), hits.len());
            let is_its_own = |(offset, json): &(u64, String)| *json == format!("of {offset}");
            prop_assert!(got.iter().all(is_its_own));
            for visitor in 0..5 {
                let his = got.iter().map(|(offset, _)| *offset).filter(|offset| hits[*offset as usize].0 == visitor);
                prop_assert!(his.is_sorted());
            }
        }
    }
}
