//! The day a hit belongs to, in the site's time zone, at the price of a comparison.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Days of one site.
#[derive(Debug)]
pub struct Days {
    zone: TimeZone,
    today: Option<Date>,
    known: Option<(i64, i64, Date)>,
}

impl Days {
    /// Days in `zone`, seen at `now`.
    pub fn new(zone: TimeZone, now: Timestamp) -> Self {
        let today = Some(now.to_zoned(zone.clone()).date());
        Self { zone, today, known: None }
    }

    /// The day of a moment (seconds since 1970), and whether it is over: the reports of today are computed anyway.
    #[inline(always)]
    pub fn of(&mut self, seconds: i64) -> Option<(Date, bool)> {
        let day = match self.known {
            Some((from, to, day)) if (from..to).contains(&seconds) => day,
            _ => self.look_up(seconds)?,
        };
        Some((day, Some(day) != self.today))
    }

    #[cold]
    fn look_up(&mut self, seconds: i64) -> Option<Date> {
        let day = Timestamp::from_second(seconds).ok()?.to_zoned(self.zone.clone()).date();
        let begin = |day: Date| Some(day.to_zoned(self.zone.clone()).ok()?.timestamp().as_second());
        let (from, to) = (begin(day)?, begin(day.checked_add(1.day()).ok()?)?);
        self.known = Some((from, to, day));
        Some(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_where_the_site_is() {
        let zone = TimeZone::get("Europe/Copenhagen").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut days = Days::new(zone, at("2026-03-30T12:00:00Z"));
        let mut day = |text| days.of(at(text).as_second()).map(|(day, past)| format!("{day} {past}"));
        assert_eq!(day("2026-03-28T22:59:59Z").as_deref(), Some("2026-03-28 true"));
        assert_eq!(day("2026-03-28T23:00:00Z").as_deref(), Some("2026-03-29 true"));
        // The day on which the clocks change has 23 hours.
        assert_eq!(day("2026-03-29T21:59:59Z").as_deref(), Some("2026-03-29 true"));
        assert_eq!(day("2026-03-29T22:00:00Z").as_deref(), Some("2026-03-30 false"));
    }
}
