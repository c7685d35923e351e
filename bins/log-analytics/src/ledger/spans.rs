//! Stretches of a file, by offsets, written as short text.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::offsets::Offsets;

/// More stretches than this are not kept apart: what follows is joined with the last one.
const SPANS_MAX: usize = 10_000;

/// Stretches that do not touch, ascending: where each begins and ends. Few files have any, so an empty set is one pointer.
#[expect(clippy::box_collection, reason = "a third of the room, where there is none")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(Option<Box<BTreeMap<u64, u64>>>);

impl Spans {
    /// Nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().flat_map(|spans| spans.iter()).map(|(begin, end)| (*begin, *end))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Where the first one begins.
    pub fn begin(&self) -> Option<u64> {
        self.iter().next().map(|(begin, _)| begin)
    }

    /// The one that holds `offset`.
    fn around(&self, offset: u64) -> Option<(u64, u64)> {
        let (&begin, &end) = self.0.as_ref()?.range(..=offset).next_back()?;
        (end > offset).then_some((begin, end))
    }

    /// Adds everything from `begin` to before `end`.
    pub fn add(&mut self, mut begin: u64, mut end: u64) {
        if begin >= end {
            return;
        }
        let spans = self.0.get_or_insert_default();
        if let Some((&before, &until)) = spans.range(..=begin).next_back().filter(|(_, until)| **until >= begin) {
            (begin, end) = (before, end.max(until));
        }
        while let Some((&next, &until)) = spans.range(begin..=end).next_back() {
            end = end.max(until);
            spans.remove(&next);
        }
        spans.insert(begin, end);
    }

    /// Adds a stretch behind all others. If there are too many, it is joined with the last one, and what lies between as well.
    pub fn extend(&mut self, begin: u64, end: u64) {
        if let Some(mut last) =
            self.0.as_mut().filter(|spans| spans.len() >= SPANS_MAX).and_then(|spans| spans.last_entry())
        {
            *last.get_mut() = end;
            return;
        }
        self.add(begin, end);
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Self) {
        other.iter().for_each(|(begin, end)| self.add(begin, end));
    }

    /// Takes out the line that begins at `offset`.
    pub fn remove(&mut self, offset: u64) {
        let Some((begin, end)) = self.around(offset) else { return };
        let Some(spans) = &mut self.0 else { return };
        spans.remove(&begin);
        spans.extend([(begin, offset), (offset + 1, end)].into_iter().filter(|(begin, end)| begin < end));
        self.0.take_if(|spans| spans.is_empty());
    }

    /// Whether `offset` lies in one of them.
    pub fn contains(&self, offset: u64) -> bool {
        self.around(offset).is_some()
    }
}

impl Serialize for Spans {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Offsets::ascending(self.iter().flat_map(|(begin, end)| [begin, end]).collect()).serialize(serializer)
    }
}

impl<'d> Deserialize<'d> for Spans {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        let bounds = Offsets::deserialize(deserializer)?;
        let spans: BTreeMap<u64, u64> = bounds.as_slice().chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Ok(Self((!spans.is_empty()).then(|| Box::new(spans))))
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
        assert_eq!(spans.iter().count(), SPANS_MAX);
        assert!((0..30_000).all(|line| spans.contains(line * 10)));
    }
}
