//! Dates in and out. Requests come many to the second, so the last answer is kept in both directions.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::format::{Date, Moment};

const SECONDS_PER_DAY: i64 = 86_400;

/// Width of `YYYY-MM-DD`.
const DAY_WIDTH: usize = 10;
/// What stands before the date of a hit, and behind the second.
const OPENING: &[u8; 9] = br#"","cdt":""#;
const CLOSING: &[u8; 2] = br#"","#;
/// Width of `dd/Mon/yyyy:` and of `hh:mm:ss`.
const CLF_DAY_WIDTH: usize = 12;
const CLF_TIME_WIDTH: usize = 8;
/// Width of ` HH:MM:SS`.
const TIME_WIDTH: usize = 9;

/// Reads dates of records and writes dates of hits.
#[derive(Debug, Default)]
pub struct Clock {
    zone: Option<TimeZone>,
    read: Option<Reading>,
    clf_day: Option<ClfDay>,
    written: Option<Written>,
}

/// The date of a hit between the fields around it.
type WrittenText = [u8; OPENING.len() + DAY_WIDTH + TIME_WIDTH];

/// The second written last.
#[derive(Debug)]
struct Written {
    second: i64,
    text: WrittenText,
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

impl Clock {
    /// A clock that reads dates without a zone in `zone`, or in UTC.
    pub fn new(zone: Option<TimeZone>) -> Self {
        Self { zone, ..Self::default() }
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
                (None, Some(zone)) => date.moment().and_then(|moment| in_zone(moment, zone)),
                _ => date.moment(),
            };
            if let Date::Clf { date, zone } = date {
                self.clf_day = reading.moment.and_then(|moment| ClfDay::of(date, zone, moment));
            }
        }
        reading.moment
    }

    /// Appends `cdt` between the fields around it: `YYYY-MM-DD HH:MM:SS`, and `.ffffff` if there is a fraction, in UTC.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, moment: Moment) {
        let written = match &mut self.written {
            Some(written) if written.second == moment.seconds => written,
            written => {
                let text = written_text(moment.seconds, written.as_ref());
                written.insert(Written { second: moment.seconds, text })
            }
        };
        out.extend_from_slice(&written.text);
        if moment.micros != 0 {
            let mut fraction = *b".000000";
            put(&mut fraction[1..], i64::from(moment.micros));
            out.extend_from_slice(&fraction);
        }
        out.extend_from_slice(CLOSING);
    }
}

/// The moment at which clocks of a zone show what `moment` shows in UTC. Of an hour that comes twice it is the first,
/// of one that is left out as much later as was left out.
fn in_zone(moment: Moment, zone: &TimeZone) -> Option<Moment> {
    let shown: DateTime = jiff::Timestamp::from_second(moment.seconds).ok()?.to_zoned(TimeZone::UTC).datetime();
    let seconds = zone.to_ambiguous_timestamp(shown).compatible().ok()?.as_second();
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

/// Only the time is new, where the day is that of the second `before`.
fn written_text(second: i64, before: Option<&Written>) -> WrittenText {
    let day = second.div_euclid(SECONDS_PER_DAY);
    let mut text = match before {
        Some(before) if before.second.div_euclid(SECONDS_PER_DAY) == day => before.text,
        _ => {
            let mut text = [0; _];
            text[..OPENING.len()].copy_from_slice(OPENING);
            text[OPENING.len()..][..DAY_WIDTH].copy_from_slice(&day_text(day));
            text
        }
    };
    text[OPENING.len() + DAY_WIDTH..].copy_from_slice(&time_text(second.rem_euclid(SECONDS_PER_DAY)));
    text
}

fn day_text(days: i64) -> [u8; DAY_WIDTH] {
    let mut text = *b"0000-00-00";
    let (year, month, day) = civil(days);
    put(&mut text[..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..], day);
    text
}

/// ` HH:MM:SS` of a second of a day.
fn time_text(second: i64) -> [u8; TIME_WIDTH] {
    let [h, m, s] = [second / 3600, second / 60 % 60, second % 60].map(|number| number as u8);
    let (tens, units) = (|number| b'0' + number / 10, |number| b'0' + number % 10);
    [b' ', tens(h), units(h), b':', tens(m), units(m), b':', tens(s), units(s)]
}

/// Fills `digits` from the right.
fn put(digits: &mut [u8], mut number: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + number.rem_euclid(10) as u8;
        number = number.div_euclid(10);
    }
}

/// Year, month and day of a number of days since 1970-01-01, by counting in cycles of 400 years that begin in March,
/// so that the leap day is the last day of a year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day_of_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (cycle * 400 + year_of_cycle + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn text(seconds: i64, micros: u32) -> String {
        let mut out = Vec::new();
        Clock::default().push(&mut out, Moment { seconds, micros });
        let text = out.strip_prefix(OPENING).unwrap().strip_suffix(CLOSING).unwrap();
        str::from_utf8(text).unwrap().to_owned()
    }

    #[test]
    fn moments_are_written_as_jiff_writes_them() {
        for seconds in (-2_000_000_000..4_000_000_000).step_by(12_345_677).chain([0, -1, 951_782_400, 1_709_164_800]) {
            let expected = jiff::Timestamp::from_second(seconds).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
            assert_eq!(text(seconds, 0), expected);
        }
        assert_eq!(text(0, 584_000), "1970-01-01 00:00:00.584000");
        assert_eq!(text(0, 1), "1970-01-01 00:00:00.000001");
    }

    #[test]
    fn a_date_without_a_zone_is_read_in_the_zone_that_was_named() {
        let mut clock = Clock::new(TimeZone::get("Europe/Copenhagen").ok());
        let mut read = |date: &'static str, zone: Option<&'static str>| {
            let date = Date::Pattern {
                pattern: Cow::Borrowed("%Y-%m-%d %H:%M:%S"),
                date: Cow::Borrowed(date.as_bytes()),
                zone: zone.map(|zone| Cow::Borrowed(zone.as_bytes())),
            };
            let moment = clock.read(&date).unwrap();
            jiff::Timestamp::from_second(moment.seconds).unwrap().to_string()
        };
        assert_eq!(read("2026-01-05 12:00:00", None), "2026-01-05T11:00:00Z");
        assert_eq!(read("2026-07-05 12:00:00", None), "2026-07-05T10:00:00Z");
        // Clocks go from 02:00 to 03:00 in March and show 02:30 twice in October.
        assert_eq!(read("2026-03-29 02:30:00", None), "2026-03-29T01:30:00Z");
        assert_eq!(read("2026-10-25 02:30:00", None), "2026-10-25T00:30:00Z");
        assert_eq!(read("2026-07-05 12:00:00", Some("+0000")), "2026-07-05T12:00:00Z");
    }

    #[test]
    fn a_known_day_makes_no_difference() {
        let mut clock = Clock::default();
        for day in ["12/Mar/2024", "1/Mar/2024", "31/Dec/1969", "12/mar/2024", "30/Feb/2024"] {
            for time in ["09:00:00", "23:59:59", "24:00:00", "09:60:00", "9:0:0", "09:00:0x", "09-00-00", "00:00:00"] {
                for zone in ["+0000", "-0330", "+01:00", "CET"] {
                    let text = format!("{day}:{time}");
                    let date = Date::Clf { date: Cow::Borrowed(text.as_bytes()), zone: Cow::Borrowed(zone.as_bytes()) };
                    assert_eq!(clock.read(&date), date.moment(), "{text} {zone}");
                    assert_eq!(clock.read(&date), date.moment(), "{text} {zone}, again");
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
        let mut clock = Clock::default();
        let mut read = |zone: &'static str| {
            clock
                .read(&Date::Clf { date: Cow::Borrowed(b"12/Mar/2024:09:00:00"), zone: Cow::Borrowed(zone.as_bytes()) })
        };
        let first = read("+0000").unwrap();
        assert_eq!(read("+0000"), Some(first));
        assert_eq!(read("+0100").unwrap().seconds, first.seconds - 3600);
        assert_eq!(read("CET"), None);
        assert_eq!(read("+0000"), Some(first));
    }
}
