//! What the ledger remembers for people: hits by day, the last turn, the takeover. Nothing is decided by it.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::record::Record;

/// Days that are remembered; of more, the oldest are forgotten.
const DAYS_MAX: usize = 800;

/// Counts of one site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    by_day: BTreeMap<Date, u64>,
    /// The last turn in which hits arrived.
    pub last_turn: Option<TurnEnded>,
    /// What was taken over from the shell image.
    pub takeover: Option<TakeOver>,
}

/// A turn in which hits arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnEnded {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// How many.
    pub hits: u64,
    /// How long it took.
    pub took_ms: u64,
}

/// The takeover of the shell image's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeOver {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Files noted as imported.
    pub imported: u64,
    /// Files that it had given up.
    pub given_up: u64,
}

impl Tally {
    /// Hits that arrived, by the day they are dated in the site's time zone.
    pub fn by_day(&self) -> &BTreeMap<Date, u64> {
        &self.by_day
    }

    pub(super) fn add(&mut self, days: &[(Date, u64)]) {
        for &(day, hits) in days {
            let known = self.by_day.entry(day).or_default();
            *known = known.saturating_add(hits);
        }
        while self.by_day.len() > DAYS_MAX {
            self.by_day.pop_first();
        }
    }

    pub(super) fn take_back(&mut self, days: &[(Date, u64)]) {
        for (day, hits) in days {
            if let Some(known) = self.by_day.get_mut(day) {
                *known = known.saturating_sub(*hits);
            }
        }
    }

    pub(super) fn set(&mut self, days: Vec<(Date, u64)>) {
        self.by_day = days.into_iter().collect();
    }

    pub(super) fn snapshot(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if !self.by_day.is_empty() {
            records.push(Record::ByDay { days: self.by_day.iter().map(|(&day, &hits)| (day, hits)).collect() });
        }
        records.extend(self.last_turn.map(|TurnEnded { at_ms, hits, took_ms }| Record::Turn { at_ms, hits, took_ms }));
        records
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    #[test]
    fn days_add_up_and_the_oldest_are_forgotten() {
        let first: Date = "2020-01-01".parse().unwrap();
        let mut tally = Tally::default();
        for number in 0..DAYS_MAX as i64 + 10 {
            tally.add(&[(first + number.days(), 1), (first + number.days(), 2)]);
        }
        assert_eq!(tally.by_day().len(), DAYS_MAX);
        assert_eq!(tally.by_day().first_key_value(), Some((&(first + 10.days()), &3)));
    }
}
