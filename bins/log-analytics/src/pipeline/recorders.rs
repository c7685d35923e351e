//! Which recorder sends a visitor's hits.
//!
//! Matomo orders a visit by arrival, and two requests that hold the same visitor wait for each other in its database. So a
//! visitor stays with one recorder as long as a hit of his is on its way. Then he is free again, and goes where the next
//! batch is being filled: recorders are kept equally busy, and one batch is filled after another, so that hits of the same
//! user agent, which come together, also leave together.

use std::cmp::Reverse;
use std::collections::VecDeque;

use crate::interleave::Waiting;
use crate::matomo::{Batch, Filling};

/// Visitors are told apart by so many bits of their hash; those who share them are treated as one.
const PLACE_BITS: u32 = 13;

/// All recorders of a site.
pub struct Recorders {
    all: Vec<Recorder>,
    places: Box<[Place]>,
    /// The recorder whose batch takes the visitors that are free.
    open: usize,
}

/// A connection, and what it is to send.
#[derive(Default)]
struct Recorder {
    filling: Option<(Filling, Vec<u16>)>,
    ready: VecDeque<Load>,
    busy: bool,
}

/// Where some visitors are bound, as long as hits of theirs are on their way.
#[derive(Clone, Copy, Default)]
struct Place {
    recorder: u32,
    under_way: u32,
}

/// A batch to send, and the places of its visitors.
pub struct Load {
    /// The batch.
    pub batch: Batch,
    places: Vec<u16>,
}

impl Recorder {
    fn is_starving(&self) -> bool {
        !self.busy && self.ready.is_empty()
    }

    /// How soon it is due: batches that stand before a hit that comes to it now, then how much of the next one is there.
    /// Of two that wait, the one whose batch is begun goes first, or its hits could wait for ever, and with them the
    /// checkpoint of their file.
    fn due(&self) -> (usize, Reverse<usize>) {
        let filled = self.filling.as_ref().map_or(0, |(filling, _)| filling.hits());
        (self.ready.len() + usize::from(self.busy), Reverse(filled))
    }
}

impl Recorders {
    /// So many, at least one, with nothing to do.
    pub fn new(count: usize) -> Self {
        Self {
            all: (0..count.max(1)).map(|_| Recorder::default()).collect(),
            places: vec![Place::default(); 1 << PLACE_BITS].into(),
            open: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether one has nothing to do and nothing to do next, while the others' batches do not pile up.
    pub fn want_more(&self) -> bool {
        let waiting: usize = self.all.iter().map(|recorder| recorder.ready.len()).sum();
        waiting < self.len().div_ceil(2) && self.all.iter().any(Recorder::is_starving)
    }

    /// Whether closed batches wait to be sent.
    pub fn have_ready(&self) -> bool {
        self.all.iter().any(|recorder| !recorder.ready.is_empty())
    }

    /// The recorder for a hit, and its batch, a fresh one if it has none; the hit has to be put in.
    #[inline]
    pub fn batch_for(&mut self, hit: &Waiting, fresh: impl FnOnce() -> Filling) -> (usize, &mut Filling) {
        let number = hit.visitor as u16 & ((1 << PLACE_BITS) - 1);
        let place = &mut self.places[usize::from(number)];
        if place.under_way == 0 {
            place.recorder = self.open as u32;
        }
        place.under_way += 1;
        let index = place.recorder as usize;
        let (filling, places) = self.all[index].filling.get_or_insert_with(|| (fresh(), Vec::new()));
        places.push(number);
        (index, filling)
    }

    /// Closes a recorder's batch by `end`, if it has one; then it is another's turn to be filled.
    pub fn close(&mut self, index: usize, end: impl FnOnce(Filling) -> Batch) {
        let recorder = &mut self.all[index];
        if let Some((filling, places)) = recorder.filling.take() {
            recorder.ready.push_back(Load { batch: end(filling), places });
        }
        self.choose();
    }

    /// Takes the next batch of every recorder that is free to send it.
    pub fn send_off(&mut self) -> Vec<(usize, Load)> {
        let free = self.all.iter_mut().enumerate().filter(|(_, recorder)| !recorder.busy);
        free.filter_map(|(index, recorder)| {
            let load = recorder.ready.pop_front()?;
            recorder.busy = true;
            Some((index, load))
        })
        .collect()
    }

    /// A recorder's batch came back, whatever became of it; its visitors are free where nothing else of theirs is on its way.
    pub fn come_back(&mut self, index: usize, load: Load) -> Batch {
        self.all[index].busy = false;
        for &number in &load.places {
            self.places[usize::from(number)].under_way -= 1;
        }
        self.choose();
        load.batch
    }

    fn choose(&mut self) {
        let next = self.all.iter().enumerate().min_by_key(|(_, recorder)| recorder.due());
        self.open = next.map_or(0, |(index, _)| index);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::discover::SiteId;
    use crate::hit::Written;
    use crate::interleave::Origin;
    use crate::ledger::FileId;

    const HITS_MAX: usize = 4;

    fn put(recorders: &mut Recorders, offset: u64, visitor: u64) {
        let hit = Waiting {
            origin: Origin { file: FileId(1), number: offset as u32, offset },
            seconds: 0,
            visitor,
            agent: 0,
        };
        let (index, filling) = recorders.batch_for(&hit, || Filling::new(SiteId(4), None, 0, Vec::new(), HITS_MAX));
        filling.push(&hit, 0, Written { own: b"{}", common: None }, false);
        if filling.hits() == HITS_MAX {
            recorders.close(index, |filling| filling.close(|_| String::new()));
        }
    }

    fn offsets(load: &Load) -> Vec<u64> {
        let mut offsets: Vec<_> = load.batch.origins.iter().map(|origin| origin.offset).collect();
        offsets.sort_unstable();
        offsets
    }

    #[test]
    fn free_visitors_fill_one_batch_after_another() {
        let mut recorders = Recorders::new(3);
        (0..3 * HITS_MAX as u64).for_each(|offset| put(&mut recorders, offset, offset));
        let mut sent: Vec<_> = recorders.send_off().iter().map(|(_, load)| offsets(load)).collect();
        sent.sort();
        assert_eq!(sent, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]);
    }

    #[test]
    fn a_batch_that_is_begun_is_filled_before_a_fresh_one() {
        let mut recorders = Recorders::new(2);
        (0..=HITS_MAX as u64).for_each(|offset| put(&mut recorders, offset, 7));
        let (index, load) = recorders.send_off().pop().unwrap();
        recorders.come_back(index, load);
        (5..8).for_each(|offset| put(&mut recorders, offset, offset));
        assert_eq!(recorders.send_off().iter().map(|(_, load)| offsets(load)).collect::<Vec<_>>(), [[4, 5, 6, 7]]);
    }

    proptest! {
        /// Each event is a visitor's next hit, or the end of a delivery.
        #[test]
        fn a_visitor_is_in_one_request_at_a_time_and_in_order(
            count in 1usize..6, events in prop::collection::vec(prop_oneof![5 => (0u64..12).prop_map(Some), 1 => Just(None)], 0..300)
        ) {
            let mut recorders = Recorders::new(count);
            let mut visitors = Vec::new();
            let mut under_way: Vec<(usize, Load)> = Vec::new();
            let mut sent: Vec<u64> = Vec::new();
            let ends = events.len() * 2;
            for event in events.into_iter().chain(std::iter::repeat_n(None, ends)) {
                match event {
                    Some(visitor) => {
                        put(&mut recorders, visitors.len() as u64, visitor);
                        visitors.push(visitor);
                    }
                    None if under_way.is_empty() => (0..count).for_each(|index| recorders.close(index, |filling| filling.close(|_| String::new()))),
                    None => {
                        let (index, load) = under_way.remove(visitors.len() % under_way.len());
                        recorders.come_back(index, load);
                    }
                }
                for (index, load) in recorders.send_off() {
                    let of = |load: &Load| offsets(load).into_iter().map(|offset| visitors[offset as usize]).collect::<Vec<_>>();
                    prop_assert!(under_way.iter().all(|(_, other)| of(other).iter().all(|visitor| !of(&load).contains(visitor))));
                    sent.extend(offsets(&load));
                    under_way.push((index, load));
                }
            }
            prop_assert_eq!(sent.len(), visitors.len(), "all came off");
            for visitor in 0..12 {
                let of_one: Vec<_> = sent.iter().filter(|&&offset| visitors[offset as usize] == visitor).collect();
                prop_assert!(of_one.is_sorted());
            }
            prop_assert!(recorders.places.iter().all(|place| place.under_way == 0));
        }
    }
}
