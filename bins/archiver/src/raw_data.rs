//! Which raw data is old: dates computed here, because an end date that comes out empty deletes what must stay.

use std::fmt;

use jiff::{Span, civil::Date};

/// No raw data is older: Matomo takes hits back to just under twenty years, and did not exist before.
const EARLIEST: Date = Date::constant(2000, 1, 1);

/// How many days of raw data stay.
pub type DaysToKeep = shared::config::Count<1, 36_500>;

/// A range of dates in the words of `core:delete-logs-data`; never empty, never without an end, never up to today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    from: Date,
    to: Date,
}

impl Range {
    /// Everything older than the days to keep, counted back from today; none when nothing can be that old.
    pub fn older_than(days: u64, today: Date) -> Option<Self> {
        // A span that the calendar cannot take leads before all data.
        let span = i64::try_from(days).ok().and_then(|days| Span::new().try_days(days).ok())?;
        let to = today.checked_sub(span).ok()?;
        (days >= 1 && to >= EARLIEST).then_some(Self { from: EARLIEST, to })
    }

    /// The first day.
    pub fn from(self) -> Date {
        self.from
    }

    /// The last day.
    pub fn to(self) -> Date {
        self.to
    }
}

/// `2000-01-01,2025-11-24`
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::{prop_assert, prop_assert_eq, proptest};
    use shared::config::Value as _;

    use super::*;

    #[test]
    fn c_148_leap_years_and_the_ends_of_months_come_out_right() {
        for (today, days, to) in [
            (date(2024, 3, 1), 1, date(2024, 2, 29)),
            (date(2023, 3, 1), 1, date(2023, 2, 28)),
            (date(2025, 2, 28), 365, date(2024, 2, 29)),
            (date(2024, 2, 29), 365, date(2023, 3, 1)),
            (date(2024, 2, 29), 366, date(2023, 2, 28)),
            (date(2100, 3, 1), 1, date(2100, 2, 28)),
            (date(2000, 3, 1), 1, date(2000, 2, 29)),
            (date(2026, 1, 1), 1, date(2025, 12, 31)),
            (date(2026, 11, 24), 730, date(2024, 11, 24)),
        ] {
            assert_eq!(Range::older_than(days, today).map(Range::to), Some(to), "{today} - {days}");
        }
    }

    #[test]
    fn c_148_no_days_negative_days_and_too_many_days_delete_nothing() {
        for days in [0, 9_500, 36_500, 1_000_000, u64::MAX] {
            assert_eq!(Range::older_than(days, date(2026, 1, 1)), None, "{days}");
        }
        for text in ["0", "-1", "-365", "36501", "99999999999999999999", "1.5", "one", "365 days"] {
            assert!(DaysToKeep::parse(text).is_err(), "{text}");
        }
        assert_eq!(DaysToKeep::parse("365").unwrap().get(), 365);
    }

    proptest! {
        #[test]
        fn c_148_the_range_is_whole_and_leaves_exactly_the_days_to_keep(
            year in 2001_i16..2400, day_of_year in 0_i64..366, days in 1_u64..40_000,
        ) {
            let today = date(year, 1, 1).checked_add(Span::new().days(day_of_year)).unwrap();
            match Range::older_than(days, today) {
                Some(range) => {
                    let kept = range.to().until(today).unwrap().get_days();
                    prop_assert_eq!(u64::try_from(kept).unwrap(), days);
                    prop_assert!(range.from() <= range.to() && range.to() < today);
                    let text = range.to_string();
                    let (from, to) = text.split_once(',').unwrap();
                    prop_assert_eq!((from.len(), to.len()), (10, 10));
                    prop_assert_eq!(to.parse::<Date>().unwrap(), range.to());
                }
                None => prop_assert!(today.checked_sub(Span::new().days(days as i64)).unwrap() < EARLIEST),
            }
        }
    }
}
