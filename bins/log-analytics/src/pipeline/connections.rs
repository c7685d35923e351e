//! Which connection sends a visitor's hits.
//!
//! Matomo orders a visit by arrival, and two requests that hold the same visitor wait for each other in its database. So a
//! visitor stays on one connection while a hit of theirs is in flight or waits to be; after that any batch may take them.
//! Connections are kept equally busy, and one batch is filled after another.

use std::cmp::Reverse;
use std::collections::VecDeque;

use jiff::civil::Date;

use crate::id::FileId;
use crate::matomo::BatchBuilder;
use crate::merge::Queued;

/// Visitors are told apart by so many bits of their hash; those who share them are treated as one.
const SLOT_BITS: u32 = 13;

/// All connections of a site.
pub struct Connections {
    all: Vec<Connection>,
    slots: Box<[Slot]>,
    /// The connection whose batch takes the visitors that are free.
    open: usize,
}

/// A connection, and what it is to send.
#[derive(Default)]
struct Connection {
    filling: Option<BatchBuilder>,
    ready: VecDeque<BatchBuilder>,
    busy: bool,
}

/// Where some visitors are bound, as long as hits of theirs are in flight or wait.
#[derive(Clone, Copy, Default)]
struct Slot {
    connection: u32,
    in_flight: u32,
}

impl Connection {
    fn is_starving(&self) -> bool {
        !self.busy && self.ready.is_empty()
    }

    /// How soon it is due: batches that stand before a hit that comes to it now, then how much of the next one is there.
    /// Of two that wait, the one whose batch is begun goes first, or its hits could wait for ever, and with them the
    /// checkpoint of their file.
    fn due(&self) -> (usize, Reverse<usize>) {
        let filled = self.filling.as_ref().map_or(0, BatchBuilder::len);
        (self.ready.len() + usize::from(self.busy), Reverse(filled))
    }
}

impl Connections {
    /// So many, at least one, with nothing to do.
    pub fn new(count: usize) -> Self {
        Self {
            all: (0..count.max(1)).map(|_| Connection::default()).collect(),
            slots: vec![Slot::default(); 1 << SLOT_BITS].into(),
            open: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether one has nothing to do and nothing to do next, while the others' batches do not pile up.
    pub fn want_more(&self) -> bool {
        let waiting: usize = self.all.iter().map(|connection| connection.ready.len()).sum();
        waiting < self.len().div_ceil(2) && self.all.iter().any(Connection::is_starving)
    }

    /// Whether closed batches wait to be sent.
    pub fn have_ready(&self) -> bool {
        self.all.iter().any(|connection| !connection.ready.is_empty())
    }

    /// The batch for a hit, a fresh one if its connection has none; the hit has to be put in.
    #[inline]
    pub fn batch_for(&mut self, hit: &Queued, fresh: impl FnOnce() -> BatchBuilder) -> (usize, &mut BatchBuilder) {
        let open = self.open;
        let index = self.bind(hit, |_| open);
        (index, self.all[index].filling.get_or_insert_with(fresh))
    }

    /// Puts a hit in a batch of its own, behind what is there of its visitor and before anything else.
    pub fn alone(&mut self, hit: &Queued, batch: BatchBuilder) {
        let index = self.bind(hit, |all| {
            let is_idle = |connection: &Connection| connection.is_starving() && connection.filling.is_none();
            let soonest = || all.iter().enumerate().min_by_key(|(_, connection)| connection.due().0);
            all.iter().position(is_idle).or_else(|| soonest().map(|(index, _)| index)).unwrap_or_default()
        });
        let slot = Self::slot(hit.visitor);
        let connection = &mut self.all[index];
        if let Some(filling) = connection.filling.take() {
            if filling.visitors().any(|visitor| Self::slot(visitor) == slot) {
                connection.ready.push_back(filling);
            } else {
                connection.filling = Some(filling);
            }
        }
        connection.ready.push_back(batch);
    }

    fn slot(visitor: u64) -> usize {
        visitor as usize & ((1 << SLOT_BITS) - 1)
    }

    /// Binds a hit's visitor to a connection, if they are not bound already.
    #[inline]
    fn bind(&mut self, hit: &Queued, choose: impl FnOnce(&[Connection]) -> usize) -> usize {
        let slot = &mut self.slots[Self::slot(hit.visitor)];
        if slot.in_flight == 0 {
            slot.connection = choose(&self.all) as u32;
        }
        slot.in_flight += 1;
        slot.connection as usize
    }

    /// Closes a connection's batch, if it has one; then it is another's turn to be filled.
    pub fn close(&mut self, index: usize) {
        let connection = &mut self.all[index];
        connection.ready.extend(connection.filling.take());
        self.choose();
    }

    /// Takes the next batch of every connection that is free to send it.
    pub fn send_off(&mut self) -> Vec<(usize, BatchBuilder)> {
        let free = self.all.iter_mut().enumerate().filter(|(_, connection)| !connection.busy);
        free.filter_map(|(index, connection)| {
            let batch = connection.ready.pop_front()?;
            connection.busy = true;
            Some((index, batch))
        })
        .collect()
    }

    /// A connection's batch came back, whatever became of it; its visitors are free where nothing else of theirs waits.
    pub fn come_back(&mut self, index: usize, visitors: impl Iterator<Item = u64>) {
        self.all[index].busy = false;
        self.free(visitors);
        self.choose();
    }

    fn free(&mut self, visitors: impl Iterator<Item = u64>) {
        for visitor in visitors {
            self.slots[Self::slot(visitor)].in_flight -= 1;
        }
    }

    /// Takes the hits of a file out of all batches that are not sent yet.
    pub fn remove(&mut self, file: FileId, mut day: impl FnMut(i64) -> Option<(Date, bool)>) {
        let mut freed = Vec::new();
        for connection in &mut self.all {
            for batch in connection.ready.iter_mut().chain(&mut connection.filling) {
                freed.extend(batch.visitors_of(file));
                batch.remove(file, &mut day);
            }
            connection.ready.retain(|batch| !batch.is_empty());
            connection.filling.take_if(|batch| batch.is_empty());
        }
        self.free(freed.into_iter());
        self.choose();
    }

    fn choose(&mut self) {
        let next = self.all.iter().enumerate().min_by_key(|(_, connection)| connection.due());
        self.open = next.map_or(0, |(index, _)| index);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merge::Origin;

    const HITS_MAX: usize = 4;

    fn queued(offset: u64, visitor: u64) -> Queued {
        Queued { origin: Origin { file: FileId(1), number: offset as u32, offset }, seconds: offset as i64, visitor }
    }

    fn put(connections: &mut Connections, offset: u64, visitor: u64) {
        let hit = queued(offset, visitor);
        let (index, batch) = connections.batch_for(&hit, BatchBuilder::default);
        batch.push(&hit, b"{}", None);
        if batch.len() == HITS_MAX {
            connections.close(index);
        }
    }

    fn offsets(batch: &BatchBuilder) -> Vec<u64> {
        batch.origins().iter().map(|origin| origin.offset).collect()
    }

    #[test]
    fn free_visitors_fill_one_batch_after_another() {
        let mut connections = Connections::new(3);
        (0..3 * HITS_MAX as u64).for_each(|offset| put(&mut connections, offset, offset));
        let mut sent: Vec<_> = connections.send_off().iter().map(|(_, batch)| offsets(batch)).collect();
        sent.sort();
        assert_eq!(sent, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]);
    }

    #[test]
    fn a_batch_that_is_begun_is_filled_before_a_fresh_one() {
        let mut connections = Connections::new(2);
        (0..=HITS_MAX as u64).for_each(|offset| put(&mut connections, offset, 7));
        let (index, batch) = connections.send_off().pop().unwrap();
        connections.come_back(index, batch.visitors());
        (5..8).for_each(|offset| put(&mut connections, offset, offset));
        assert_eq!(connections.send_off().iter().map(|(_, batch)| offsets(batch)).collect::<Vec<_>>(), [[4, 5, 6, 7]]);
    }

    #[test]
    fn a_hit_that_goes_alone_goes_behind_its_visitor_and_leaves_other_batches_as_they_are() {
        let mut connections = Connections::new(2);
        put(&mut connections, 0, 7);
        let alone = |connections: &mut Connections, offset, visitor| {
            let mut batch = BatchBuilder::default();
            batch.push(&queued(offset, visitor), b"{}", None);
            connections.alone(&queued(offset, visitor), batch);
        };
        alone(&mut connections, 1, 8);
        let sent: Vec<_> = connections.send_off().iter().map(|(_, batch)| offsets(batch)).collect();
        assert_eq!(sent, [[1]], "the batch of the other visitor is still being filled");
        alone(&mut connections, 2, 7);
        let sent: Vec<_> = connections.send_off().iter().map(|(_, batch)| offsets(batch)).collect();
        assert_eq!(sent, [[0]], "what is there of the visitor goes first");
    }

    #[test]
    fn the_hits_of_a_file_leave_every_batch_and_set_their_visitors_free() {
        let mut connections = Connections::new(2);
        (0..6).for_each(|offset| put(&mut connections, offset, offset));
        connections.remove(FileId(1), |_| None);
        assert!(connections.send_off().is_empty() && connections.slots.iter().all(|slot| slot.in_flight == 0));
    }

    proptest! {
        /// Each event is a visitor's next hit, or the end of a delivery.
        #[test]
        fn a_visitor_is_in_one_request_at_a_time_and_in_order(
            count in 1usize..6, events in prop::collection::vec(prop_oneof![5 => (0u64..12, prop::bool::weighted(0.1)).prop_map(Some), 1 => Just(None)], 0..300)
        ) {
            let mut connections = Connections::new(count);
            let mut visitors = Vec::new();
            let mut in_flight: Vec<(usize, BatchBuilder)> = Vec::new();
            let mut sent: Vec<u64> = Vec::new();
            let ends = events.len() * 2;
            for event in events.into_iter().chain(std::iter::repeat_n(None, ends)) {
                match event {
                    Some((visitor, alone)) => {
                        let hit = queued(visitors.len() as u64, visitor);
                        if alone {
                            let mut batch = BatchBuilder::default();
                            batch.push(&hit, b"{}", None);
                            connections.alone(&hit, batch);
                        } else {
                            put(&mut connections, hit.origin.offset, visitor);
                        }
                        visitors.push(visitor);
                    }
                    None if in_flight.is_empty() => (0..count).for_each(|index| connections.close(index)),
                    None => {
                        let (index, batch) = in_flight.remove(visitors.len() % in_flight.len());
                        connections.come_back(index, batch.visitors());
                    }
                }
                for (index, batch) in connections.send_off() {
                    let of = |batch: &BatchBuilder| batch.visitors().collect::<Vec<_>>();
                    prop_assert!(in_flight.iter().all(|(_, other)| of(other).iter().all(|visitor| !of(&batch).contains(visitor))));
                    sent.extend(offsets(&batch));
                    in_flight.push((index, batch));
                }
            }
            prop_assert_eq!(sent.len(), visitors.len(), "all came off");
            for visitor in 0..12 {
                let of_one: Vec<_> = sent.iter().filter(|&&offset| visitors[offset as usize] == visitor).collect();
                prop_assert!(of_one.is_sorted());
            }
            prop_assert!(connections.slots.iter().all(|slot| slot.in_flight == 0));
        }
    }
}
