//! How many hits a batch takes, so that no gateway loses patience with it.

use std::cell::Cell;
use std::time::Duration;

use tracing::info;

/// How long nginx waits for an answer unless it is told otherwise; Apache waits as long or longer.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(60);
/// Each request costs Matomo as much as several hits do.
const HITS_MIN: usize = 20;

/// The size of batches: fewer hits when answers come late, more again when they come soon.
#[derive(Debug)]
pub struct Size {
    most: usize,
    hits: Cell<usize>,
    /// After so long a gateway gives up, as far as is known.
    patience: Cell<Duration>,
}

impl Size {
    /// Batches of so many hits at most, and at first.
    pub fn new(most: usize) -> Self {
        Self { most, hits: Cell::new(most), patience: Cell::new(GATEWAY_PATIENCE) }
    }

    /// Hits in a batch, at present.
    pub fn hits(&self) -> usize {
        self.hits.get()
    }

    /// Matomo answered. Half of the patience is too near to its end; the aim is a quarter.
    pub(super) fn answered(&self, hits: u64, took: Duration) {
        let (hits, patience) = (hits as usize, self.patience.get());
        if took > patience / 2 {
            self.shrink_to((hits as f64 * (patience / 4).div_duration_f64(took)) as usize, took);
        } else if took < patience / 8 && hits >= self.hits() {
            self.hits.set((hits + hits / 4 + 1).min(self.most));
        }
    }

    /// Somebody gave up waiting after so long.
    pub(super) fn timed_out(&self, hits: u64, elapsed: Duration) {
        self.patience.set(self.patience.get().min(elapsed));
        self.shrink_to(hits as usize / 2, elapsed);
    }

    fn shrink_to(&self, hits: usize, took: Duration) {
        let (before, hits) = (self.hits(), hits.max(HITS_MIN));
        if hits < before {
            info!(
                took_ms = took.as_millis() as u64,
                before, hits, "Matomo's answers come late, sending smaller batches"
            );
            self.hits.set(hits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_batch_that_takes_too_long_makes_the_next_ones_smaller_and_quick_ones_larger() {
        let size = Size::new(400);
        size.answered(400, 29 * SECOND);
        assert_eq!(size.hits(), 400);
        size.answered(400, 40 * SECOND);
        assert_eq!(size.hits(), 150, "as many as take a quarter of a minute");
        size.answered(30, SECOND);
        size.answered(150, 15 * SECOND);
        assert_eq!(size.hits(), 150, "a smaller batch tells nothing, and this one took as long as it should");
        for hits in [188, 236, 296, 371, 400, 400] {
            size.answered(size.hits() as u64, SECOND);
            assert_eq!(size.hits(), hits);
        }
    }

    #[test]
    fn an_impatient_gateway_is_remembered() {
        let size = Size::new(400);
        size.timed_out(400, 10 * SECOND);
        assert_eq!(size.hits(), 200);
        size.answered(200, 6 * SECOND);
        assert_eq!(size.hits(), 83, "a quarter of its ten seconds");
        size.answered(83, 100 * SECOND);
        assert_eq!(size.hits(), HITS_MIN);
        let few = Size::new(5);
        few.timed_out(5, SECOND);
        assert_eq!(few.hits(), 5);
    }
}
