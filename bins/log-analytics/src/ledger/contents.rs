//! All contents of a site, by their numbers.

use super::content::Content;
use super::record::FileId;

/// Contents in one piece. A vector of all of them would need three times its room while it grows, and there may be very many.
const PIECE: usize = 256;

/// Contents by their numbers, which begin anywhere and ascend.
#[derive(Debug, Clone, Default)]
pub struct Contents(Vec<Vec<Content>>);

impl Contents {
    /// Where a number stands: its piece, and its place in that. Or where it would stand.
    fn find(&self, id: FileId) -> Result<(usize, usize), (usize, usize)> {
        let piece = self.0.partition_point(|piece| piece.last().is_some_and(|last| last.id < id));
        let Some(contents) = self.0.get(piece) else { return Err((piece, 0)) };
        let place = contents.binary_search_by_key(&id, |content| content.id);
        place.map(|place| (piece, place)).map_err(|place| (piece, place))
    }

    /// One of them.
    pub fn get(&self, id: FileId) -> Option<&Content> {
        self.find(id).ok().map(|(piece, place)| &self.0[piece][place])
    }

    /// One of them, to be changed.
    pub fn get_mut(&mut self, id: FileId) -> Option<&mut Content> {
        self.find(id).ok().map(|(piece, place)| &mut self.0[piece][place])
    }

    /// One of them, which is made if it is not there.
    pub fn get_or_insert_with(&mut self, id: FileId, make: impl FnOnce() -> Content) -> &mut Content {
        let (piece, place) = self.find(id).unwrap_or_else(|(mut piece, mut place)| {
            if piece == self.0.len() {
                if self.0.last().is_none_or(|last| last.len() >= PIECE) {
                    self.0.push(Vec::with_capacity(PIECE));
                }
                piece = self.0.len() - 1;
                place = self.0[piece].len();
            }
            self.0[piece].insert(place, make());
            (piece, place)
        });
        &mut self.0[piece][place]
    }

    /// Takes one away; answers whether it was there.
    pub fn remove(&mut self, id: FileId) -> bool {
        let Ok((piece, place)) = self.find(id) else { return false };
        self.0[piece].remove(place);
        if self.0[piece].is_empty() {
            self.0.remove(piece);
        }
        true
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &Content> {
        self.0.iter().flatten()
    }

    /// The one with the greatest number.
    pub fn last(&self) -> Option<&Content> {
        self.0.last()?.last()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_a_map_in_whatever_order_they_come(
            steps in prop::collection::vec((0u32..900, any::<bool>()), 0..600), begin in 0u32..600
        ) {
            let (mut contents, mut set) = (Contents::default(), BTreeSet::new());
            let ascending = (begin..begin + 600).map(|id| (id, true));
            for (id, adds) in ascending.chain(steps) {
                if adds {
                    let made = contents.get_or_insert_with(FileId(id), || Content::new(FileId(id), "x".into()));
                    prop_assert_eq!(made.id, FileId(id));
                    set.insert(id);
                } else {
                    prop_assert_eq!(contents.remove(FileId(id)), set.remove(&id));
                }
            }
            prop_assert_eq!(contents.iter().map(|content| content.id.0).collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(contents.last().map(|content| content.id.0), set.last().copied());
            prop_assert_eq!(contents.len(), set.len());
            for id in 0..1_300 {
                prop_assert_eq!(contents.get(FileId(id)).is_some(), set.contains(&id));
            }
        }
    }
}
