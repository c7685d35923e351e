//! Stretches of a file, by offsets, written as short text.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::offsets::Offsets;

/// More stretches than this are not kept apart: what follows is joined with the last one.
const SPANS_MAX: usize = 10_000;

/// Stretches that do not touch, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(BTreeMap<u64, u64>);

impl Spans {
    /// Nothing.
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the first one begins.
    pub fn begin(&self) -> Option<u64> {
        self.0.first_key_value().map(|(begin, _)| *begin)
    }

    /// Adds everything from `begin` to before `end`.
    pub fn add(&mut self, mut begin: u64, mut end: u64) {
        if begin >= end {
            return;
        }
        if let Some((&before, &until)) = self.0.range(..=begin).next_back().filter(|(_, until)| **until >= begin) {
            (begin, end) = (before, end.max(until));
        }
        while let Some((&next, &until)) = self.0.range(begin..=end).next_back() {
            end = end.max(until);
            self.0.remove(&next);
        }
        self.0.insert(begin, end);
    }

    /// Adds a stretch behind all others. If there are too many, it is joined with the last one, and what lies between as well.
    pub fn extend(&mut self, begin: u64, end: u64) {
        if self.0.len() >= SPANS_MAX
            && let Some(mut last) = self.0.last_entry()
        {
            *last.get_mut() = end;
            return;
        }
        self.add(begin, end);
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|(&begin, &end)| self.add(begin, end));
    }

    /// Takes out the line that begins at `offset`.
    pub fn remove(&mut self, offset: u64) {
        let Some((&begin, &end)) = self.0.range(..=offset).next_back().filter(|(_, end)| **end > offset) else {
            return;
        };
        self.0.remove(&begin);
        for (begin, end) in [(begin, offset), (offset + 1, end)] {
            if begin < end {
                self.0.insert(begin, end);
            }
        }
    }

    /// Whether `offset` lies in one of them.
    pub fn contains(&self, offset: u64) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, end)| *end > offset)
    }
}

impl Serialize for Spans {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Offsets::ascending(self.0.iter().flat_map(|(begin, end)| [*begin, *end]).collect()).serialize(serializer)
    }
}

impl<'d> Deserialize<'d> for Spans {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        let bounds = Offsets::deserialize(deserializer)?;
        Ok(Self(bounds.as_slice().chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spans_are_sets_of_offsets(
            steps in prop::collection::vec((0u64..60, 0u64..12, any::<bool>()), 0..40)
        ) {
            let (mut spans, mut set) = (Spans::none(), std::collections::BTreeSet::new());
            for (begin, length, adds) in steps {
                if adds {
                    spans.add(begin, begin + length);
                    set.extend(begin..begin + length);
                } else {
                    spans.remove(begin);
                    set.remove(&begin);
                }
            }
            for offset in 0..80 {
                prop_assert_eq!(spans.contains(offset), set.contains(&offset));
            }
            prop_assert_eq!(spans.begin(), set.first().copied());
            let text = serde_json::to_string(&spans).unwrap();
            let read: Spans = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read, spans);
        }
    }

    #[test]
    fn their_number_is_bounded() {
        let mut spans = Spans::none();
        (0..30_000).for_each(|line| spans.extend(line * 10, line * 10 + 5));
        assert_eq!(spans.0.len(), SPANS_MAX);
        assert!((0..30_000).all(|line| spans.contains(line * 10)));
    }
}
