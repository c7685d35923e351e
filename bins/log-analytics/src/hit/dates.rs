//! Dates of lines. Requests come many to the second, so the last answer is kept.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::format::{Date, Moment};

/// Width of `dd/Mon/yyyy:` and of `hh:mm:ss`.
const CLF_DAY_WIDTH: usize = 12;
const CLF_TIME_WIDTH: usize = 8;

/// Within an hour that clocks show twice, a date that is so much earlier than the one before it belongs to the second hour:
/// lines of one log are out of order by seconds, at most by the length of a request.
const BACK_TO_THE_SECOND_HOUR_SECONDS: i64 = 30 * 60;

/// Reads the dates of one file, line by line.
#[derive(Debug, Default)]
pub struct Dates {
    zone: Option<TimeZone>,
    /// The newest date that was read in `zone`, seconds since 1970.
    newest: Option<i64>,
    read: Option<Reading>,
    clf_day: Option<ClfDay>,
}

/// A day as Apache writes it, in a zone, and when it begins: within a day only the digits of the time change.
#[derive(Debug)]
struct ClfDay {
    day: [u8; CLF_DAY_WIDTH],
    zone: [u8; 5],
    midnight: i64,
    /// The time read last, and its second of the day.
    time: [u8; CLF_TIME_WIDTH],
    second: i64,
}

/// The last date read. Its texts are kept in buffers that are used again.
#[derive(Debug)]
struct Reading {
    pattern: String,
    date: Vec<u8>,
    zone: Option<Vec<u8>>,
    moment: Option<Moment>,
}

impl Dates {
    /// Reads dates without a zone in `zone`, or in UTC. `newest` is the date of the newest hit before the first line, seconds
    /// since 1970: it tells the two hours apart that clocks show alike in autumn.
    pub fn new(zone: Option<TimeZone>, newest: Option<i64>) -> Self {
        Self { zone, newest, ..Self::default() }
    }

    /// The moment a date stands for; none if there is no such date.
    pub fn read(&mut self, date: &Date<'_>) -> Option<Moment> {
        match date {
            Date::Clf { date: text, zone } => self.read_clf(text, zone).or_else(|| self.read_new(date)),
            _ => self.read_new(date),
        }
    }

    /// A second of the day read last.
    #[inline]
    fn read_clf(&mut self, text: &[u8], zone: &[u8]) -> Option<Moment> {
        let known = self.clf_day.as_mut()?;
        let (day, time) = text.split_first_chunk()?;
        let time: &[u8; CLF_TIME_WIDTH] = time.try_into().ok()?;
        if *day != known.day || *zone != known.zone {
            return None;
        }
        if *time != known.time {
            known.second = second_of_day(time)?;
            known.time = *time;
        }
        Some(Moment { seconds: known.midnight + known.second, micros: 0 })
    }

    fn read_new(&mut self, date: &Date<'_>) -> Option<Moment> {
        let (pattern, text, zone) = match date {
            Date::Unix { .. } => return date.moment(),
            Date::Clf { date, zone } => ("", date, Some(zone)),
            Date::Pattern { pattern, date, zone } => (&**pattern, date, zone.as_ref()),
        };
        let reading = self.read.get_or_insert_with(|| Reading {
            pattern: "nothing read yet".to_owned(),
            date: Vec::new(),
            zone: None,
            moment: None,
        });
        let known = reading.date == **text && reading.zone.as_deref() == zone.map(|zone| &**zone);
        if !known || reading.pattern != pattern {
            reading.remember(pattern, text, zone.map(|zone| &**zone));
            reading.moment = match (zone, &self.zone) {
                (None, Some(zone)) => date.moment().and_then(|moment| in_zone(moment, zone, self.newest)),
                _ => date.moment(),
            };
            self.newest = self.newest.max(reading.moment.map(|moment| moment.seconds));
            if let Date::Clf { date, zone } = date {
                self.clf_day = reading.moment.and_then(|moment| ClfDay::of(date, zone, moment));
            }
        }
        reading.moment
    }
}

/// The moment at which clocks of a zone show what `moment` shows in UTC. Of an hour that comes twice it is the first, until a
/// date jumps back within it; of an hour that is left out it is as much later as was left out.
fn in_zone(moment: Moment, zone: &TimeZone, newest: Option<i64>) -> Option<Moment> {
    let shown: DateTime = Timestamp::from_second(moment.seconds).ok()?.to_zoned(TimeZone::UTC).datetime();
    let either = zone.to_ambiguous_timestamp(shown);
    let mut seconds = either.compatible().ok()?.as_second();
    if let AmbiguousOffset::Fold { after, .. } = either.offset() {
        let second = either.later().ok()?.as_second();
        let has_begun = |newest: i64| {
            let is_after = Timestamp::from_second(newest).is_ok_and(|newest| zone.to_offset(newest) == after);
            newest < second + (second - seconds) && (is_after || newest - seconds >= BACK_TO_THE_SECOND_HOUR_SECONDS)
        };
        if newest.is_some_and(has_begun) {
            seconds = second;
        }
    }
    Some(Moment { seconds, ..moment })
}

impl ClfDay {
    /// The day of a date of the usual width that stands for `moment`; the ends of the calendar are left out.
    fn of(date: &[u8], zone: &[u8], moment: Moment) -> Option<Self> {
        let (day, time) = date.split_first_chunk()?;
        let time = time.try_into().ok()?;
        let second = second_of_day(&time)?;
        let midnight = moment.seconds - second;
        let common_era = 0..i64::from(u32::MAX);
        common_era.contains(&midnight).then_some(Self {
            day: *day,
            zone: zone.try_into().ok()?,
            midnight,
            time,
            second,
        })
    }
}

/// The second of a day from `hh:mm:ss`; none if it is not of this very shape.
#[inline]
fn second_of_day(time: &[u8; CLF_TIME_WIDTH]) -> Option<i64> {
    // All eight bytes at once: less the smallest that fits, none may be above the largest, nor have been below.
    const SMALLEST: u64 = u64::from_le_bytes(*b"00:00:00");
    const ROOM: u64 = u64::from_le_bytes([0x76, 0x76, 0x7f, 0x76, 0x76, 0x7f, 0x76, 0x76]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let text = u64::from_le_bytes(*time);
    let digits = text.wrapping_sub(SMALLEST);
    let shaped = (text | digits | digits.wrapping_add(ROOM)) & HIGH == 0;
    let [h, hh, _, m, mm, _, s, ss] = digits.to_le_bytes().map(i64::from);
    let (hour, minute, second) = (h * 10 + hh, m * 10 + mm, s * 10 + ss);
    (shaped && hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
}

impl Reading {
    fn remember(&mut self, pattern: &str, date: &[u8], zone: Option<&[u8]>) {
        self.pattern.clear();
        self.pattern.push_str(pattern);
        self.date.clear();
        self.date.extend_from_slice(date);
        match (&mut self.zone, zone) {
            (Some(known), Some(zone)) => {
                known.clear();
                known.extend_from_slice(zone);
            }
            (known, zone) => *known = zone.map(<[u8]>::to_vec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use std::str::FromStr as _;

    #[test]
    fn a_date_without_a_zone_is_read_in_the_zone_that_was_named() {
        let mut dates = Dates::new(TimeZone::get("Europe/Copenhagen").ok(), None);
        let mut read = |date: &'static str, zone: Option<&'static str>| {
            let date = Date::Pattern {
                pattern: Cow::Borrowed("%Y-%m-%d %H:%M:%S"),
                date: Cow::Borrowed(date.as_bytes()),
                zone: zone.map(|zone| Cow::Borrowed(zone.as_bytes())),
            };
            let moment = dates.read(&date).unwrap();
            Timestamp::from_second(moment.seconds).unwrap().to_string()
        };
        assert_eq!(read("2026-01-05 12:00:00", None), "2026-01-05T11:00:00Z");
        assert_eq!(read("2026-07-05 12:00:00", None), "2026-07-05T10:00:00Z");
        // Clocks go from 02:00 to 03:00 in March and show 02:30 twice in October.
        assert_eq!(read("2026-03-29 02:30:00", None), "2026-03-29T01:30:00Z");
        assert_eq!(read("2026-10-25 02:30:00", None), "2026-10-25T00:30:00Z");
        assert_eq!(read("2026-07-05 12:00:00", Some("+0000")), "2026-07-05T12:00:00Z");
    }

    #[test]
    fn an_hour_that_clocks_show_twice_is_told_by_the_lines_before() {
        fn read(dates: &mut Dates, time: &str) -> String {
            let text = format!("2026-10-25 {time}");
            let date = Date::Pattern {
                pattern: Cow::Borrowed("%Y-%m-%d %H:%M:%S"),
                date: Cow::Owned(text.into()),
                zone: None,
            };
            Timestamp::from_second(dates.read(&date).unwrap().seconds).unwrap().strftime("%H:%M:%S").to_string()
        }
        let zone = || TimeZone::get("Europe/Copenhagen").ok();
        let mut dates = Dates::new(zone(), None);
        let shown = ["01:59:50", "02:00:10", "02:59:50", "02:59:45", "02:00:05", "02:00:03", "02:59:55", "03:00:05"];
        let meant = ["23:59:50", "00:00:10", "00:59:50", "00:59:45", "01:00:05", "01:00:03", "01:59:55", "02:00:05"];
        assert_eq!(shown.map(|time| read(&mut dates, time)), meant);
        // Read on where an earlier pass ended.
        let second_hour = Timestamp::from_str("2026-10-25T01:20:00Z").unwrap().as_second();
        assert_eq!(read(&mut Dates::new(zone(), Some(second_hour)), "02:20:01"), "01:20:01");
        assert_eq!(read(&mut Dates::new(zone(), Some(second_hour - 3600)), "02:20:01"), "00:20:01");
        // What is far ahead says nothing.
        assert_eq!(read(&mut Dates::new(zone(), Some(second_hour + 86_400)), "02:20:01"), "00:20:01");
    }

    #[test]
    fn a_known_day_makes_no_difference() {
        let mut dates = Dates::default();
        for day in ["12/Mar/2024", "1/Mar/2024", "31/Dec/1969", "12/mar/2024", "30/Feb/2024"] {
            for time in ["09:00:00", "23:59:59", "24:00:00", "09:60:00", "9:0:0", "09:00:0x", "09-00-00", "00:00:00"] {
                for zone in ["+0000", "-0330", "+01:00", "CET"] {
                    let text = format!("{day}:{time}");
                    let date = Date::Clf { date: Cow::Borrowed(text.as_bytes()), zone: Cow::Borrowed(zone.as_bytes()) };
                    assert_eq!(dates.read(&date), date.moment(), "{text} {zone}");
                    assert_eq!(dates.read(&date), date.moment(), "{text} {zone}, again");
                }
            }
        }
    }

    #[test]
    fn every_byte_of_a_time_is_looked_at() {
        let digit = |byte: u8, most: u8| (b'0'..=most).contains(&byte).then(|| i64::from(byte - b'0'));
        for (place, usual) in (0..8).flat_map(|place| [(place, b"12:34:56"), (place, b"01:02:03")]) {
            for byte in 0..=u8::MAX {
                let mut time = *usual;
                time[place] = byte;
                let two = |at: usize, most: u8| Some(digit(time[at], most)? * 10 + digit(time[at + 1], b'9')?);
                let parts = || Some((two(0, b'9').filter(|hour| *hour < 24)?, two(3, b'5')?, two(6, b'5')?));
                let parted = time[2] == b':' && time[5] == b':';
                let expected =
                    parts().filter(|_| parted).map(|(hour, minute, second)| (hour * 60 + minute) * 60 + second);
                assert_eq!(second_of_day(&time), expected, "{}", time.escape_ascii());
            }
        }
    }

    #[test]
    fn another_zone_is_another_moment() {
        let mut dates = Dates::default();
        let mut read = |zone: &'static str| {
            dates
                .read(&Date::Clf { date: Cow::Borrowed(b"12/Mar/2024:09:00:00"), zone: Cow::Borrowed(zone.as_bytes()) })
        };
        let first = read("+0000").unwrap();
        assert_eq!(read("+0000"), Some(first));
        assert_eq!(read("+0100").unwrap().seconds, first.seconds - 3600);
        assert_eq!(read("CET"), None);
        assert_eq!(read("+0000"), Some(first));
    }
}
