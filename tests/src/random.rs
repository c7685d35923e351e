//! Numbers that look random and are the same in every run: what a journey did can be done again from its seed.

use std::time::Duration;

/// A small generator (SplitMix64). Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.number() % end }
    }

    /// True in `share` of all cases, `share` from 0.0 to 1.0.
    pub fn chance(&mut self, share: f64) -> bool {
        const STEPS: u32 = 1 << 24;
        f64::from(self.below(u64::from(STEPS)) as u32) < share * f64::from(STEPS)
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// Low numbers far more often than high ones, as with the pages of a site.
    pub fn mostly_low(&mut self, end: u64) -> u64 {
        let first = self.below(end);
        let second = self.below(end);
        first.min(second).min(self.below(end))
    }

    /// A time between `shortest` and `longest`, to the microsecond.
    pub fn duration(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let span = longest.saturating_sub(shortest).as_micros() as u64;
        shortest + Duration::from_micros(self.below(span + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_seed_others() {
        let numbers = |seed| {
            let mut random = Random::seeded(seed);
            (0..50).map(|_| random.number()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn a_chance_comes_about_as_often_as_it_says() {
        let mut random = Random::seeded(1);
        let hits = (0..10_000).filter(|_| random.chance(0.2)).count();
        assert!((1_800..2_200).contains(&hits), "{hits} of 10000");
        assert!(!random.chance(0.0));
        assert!(random.chance(1.0));
    }
}
