//! The date of a line becomes a moment in UTC, by the rules of the reference.

use super::record::{Date, Moment};
use super::strptime;

const SECONDS_PER_DAY: i64 = 86_400;
/// 0001-01-01 00:00:00, the earliest moment the reference can hold.
const EARLIEST: i64 = -62_135_596_800;
/// 9999-12-31 23:59:59, the latest.
const LATEST: i64 = 253_402_300_799;

/// A date and a time of day in no particular zone, not yet known to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub micros: u32,
    /// East of Greenwich, where the pattern itself has the zone.
    pub offset_seconds: i64,
}

impl Date<'_> {
    /// The moment, or `None` if the text is no date: the line counts as invalid.
    ///
    /// A zone is a whole number `hhmm` with an optional sign (`+2` is two minutes, `+2400` a day), colons removed,
    /// and applies to date and time together. Without a zone the date is in UTC.
    pub fn moment(&self) -> Option<Moment> {
        match self {
            Self::Clf { date, zone } => clf(date)?.moment(zone_seconds(zone)?),
            Self::Pattern { pattern, date, zone } => {
                let offset_seconds = zone.as_deref().map_or(Some(0), zone_seconds)?;
                civil(pattern, date)?.moment(offset_seconds)
            }
            Self::Unix { seconds, micros } => in_range(*seconds, *micros),
        }
    }
}

impl Civil {
    /// Midnight of a day.
    pub fn day(year: i64, month: u32, day: u32) -> Self {
        Self { year, month, day, hour: 0, minute: 0, second: 0, micros: 0, offset_seconds: 0 }
    }

    fn moment(self, offset_seconds: i64) -> Option<Moment> {
        let exists = (1..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        let time_of_day = i64::from(self.hour * 3600 + self.minute * 60 + self.second);
        let seconds = days_since_epoch(self.year, self.month, self.day) * SECONDS_PER_DAY + time_of_day;
        let offset_seconds = offset_seconds.checked_add(self.offset_seconds)?;
        exists.then(|| in_range(seconds.checked_sub(offset_seconds)?, self.micros))?
    }
}

fn in_range(seconds: i64, micros: u32) -> Option<Moment> {
    (EARLIEST..=LATEST).contains(&seconds).then_some(Moment { seconds, micros })
}

/// Reads a date; the patterns of our formats by hand, when the date has their usual width.
fn civil(pattern: &str, date: &[u8]) -> Option<Civil> {
    match pattern {
        "%d/%b/%Y:%H:%M:%S" => clf(date),
        "%Y-%m-%d %H:%M:%S" => iso(date, u8::is_ascii_whitespace).or_else(|| strptime::read(pattern, date)),
        "%Y-%m-%dT%H:%M:%S" => iso(date, |byte| *byte == b'T').or_else(|| strptime::read(pattern, date)),
        _ => strptime::read(pattern, date),
    }
}

/// `dd/Mon/yyyy:hh:mm:ss`
#[inline]
fn clf(date: &[u8]) -> Option<Civil> {
    clf_fixed(date).or_else(|| strptime::read("%d/%b/%Y:%H:%M:%S", date))
}

#[inline]
fn clf_fixed(date: &[u8]) -> Option<Civil> {
    let date: &[u8; 20] = date.try_into().ok()?;
    let shaped = is_between(date, b"00/AAA/0000:00:00:00", b"99/zzz/9999:99:99:99");
    let month = month(&[date[3], date[4], date[5]]).filter(|_| shaped)?;
    let year = two(date[7], date[8]) * 100 + two(date[9], date[10]);
    Some(Civil {
        hour: two(date[12], date[13]),
        minute: two(date[15], date[16]),
        second: two(date[18], date[19]),
        ..Civil::day(i64::from(year), month, two(date[0], date[1]))
    })
}

/// `yyyy-mm-dd hh:mm:ss`, with an expected byte between date and time.
fn iso(date: &[u8], between: impl Fn(&u8) -> bool) -> Option<Civil> {
    let date: &[u8; 19] = date.try_into().ok()?;
    let shaped = is_between(date, b"0000-00-00\t00:00:00", b"9999-99-99T99:99:99");
    let year = two(date[0], date[1]) * 100 + two(date[2], date[3]);
    (shaped && between(&date[10])).then(|| Civil {
        hour: two(date[11], date[12]),
        minute: two(date[14], date[15]),
        second: two(date[17], date[18]),
        ..Civil::day(i64::from(year), two(date[5], date[6]), two(date[8], date[9]))
    })
}

/// Whether every byte lies between two others. No early exit: all bytes are compared at once.
#[inline]
fn is_between<const N: usize>(text: &[u8; N], lowest: &[u8; N], highest: &[u8; N]) -> bool {
    let bounds = lowest.iter().zip(highest);
    text.iter().zip(bounds).fold(true, |so_far, (byte, (low, high))| so_far & (low <= byte) & (byte <= high))
}

/// The number of two digits that are known to be digits.
#[inline]
fn two(tens: u8, ones: u8) -> u32 {
    u32::from(tens.wrapping_sub(b'0')) * 10 + u32::from(ones.wrapping_sub(b'0'))
}

/// The number of a month from its English name of three letters, in any case.
#[inline]
fn month(name: &[u8; 3]) -> Option<u32> {
    Some(match &name.map(|letter| letter | 0x20) {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => 3,
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    })
}

/// Seconds east of Greenwich from `hhmm` with an optional sign; colons do not count.
fn zone_seconds(zone: &[u8]) -> Option<i64> {
    // The usual zone first: a sign and four digits.
    if let [sign @ (b'+' | b'-'), hhmm @ ..] = zone
        && let Ok(hhmm) = <&[u8; 4]>::try_from(hhmm)
        && is_between(hhmm, b"0000", b"9999")
    {
        let seconds = i64::from(two(hhmm[0], hhmm[1]) * 3600 + two(hhmm[2], hhmm[3]) * 60);
        return Some(if *sign == b'-' { -seconds } else { seconds });
    }
    let (west, digits) = match zone.trim_ascii() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut hhmm: Option<i64> = None;
    for digit in digits.iter().filter(|byte| **byte != b':') {
        let digit = char::from(*digit).to_digit(10)?;
        hhmm = Some(hhmm.unwrap_or(0).checked_mul(10)?.checked_add(i64::from(digit))?);
    }
    let seconds = (hhmm? / 100).checked_mul(3600)?.checked_add(hhmm? % 100 * 60)?;
    Some(if west { -seconds } else { seconds })
}

/// Days from 1970-01-01 in the Gregorian calendar (the algorithm of Howard Hinnant's `days_from_civil`).
#[inline]
pub fn days_since_epoch(year: i64, month: u32, day: u32) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[inline]
fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clf_moment(date: &str, zone: &str) -> Option<String> {
        let date = Date::Clf { date: date.as_bytes().into(), zone: zone.as_bytes().into() };
        date.moment().map(readable)
    }

    fn pattern_moment(pattern: &str, date: &str) -> Option<String> {
        let date = Date::Pattern { pattern: pattern.into(), date: date.as_bytes().into(), zone: None };
        date.moment().map(readable)
    }

    fn readable(moment: Moment) -> String {
        let nanoseconds = i32::try_from(moment.micros * 1000).unwrap();
        jiff::Timestamp::new(moment.seconds, nanoseconds).unwrap().to_string()
    }

    #[test]
    fn the_zone_moves_date_and_time_together() {
        let at = |date, zone| clf_moment(date, zone).unwrap();
        assert_eq!(at("29/Feb/2024:23:59:59", "-0330"), "2024-03-01T03:29:59Z");
        assert_eq!(at("01/Jan/2024:00:10:00", "+0545"), "2023-12-31T18:25:00Z");
        assert_eq!(at("12/Mar/2024:11:00:14", "+01:00"), "2024-03-12T10:00:14Z");
        assert_eq!(at("12/Mar/2024:00:02:00", "+2"), "2024-03-12T00:00:00Z");
        assert_eq!(at("12/Mar/2024:00:00:00", "+2400"), "2024-03-11T00:00:00Z");
        assert_eq!(at("12/Mar/2024:00:00:00", "0000"), "2024-03-12T00:00:00Z");
    }

    #[test]
    fn short_numbers_and_any_case_are_dates() {
        assert_eq!(clf_moment("1/mar/2024:1:2:3", "+0100").unwrap(), "2024-03-01T00:02:03Z");
        assert_eq!(clf_moment("12/MAR/2024:11:00:13", "+0100").unwrap(), "2024-03-12T10:00:13Z");
    }

    #[test]
    fn what_no_calendar_has_is_no_date() {
        for date in [
            "30/Feb/2024:00:00:00",
            "29/Feb/2023:00:00:00",
            "32/Mar/2024:00:00:00",
            "00/Mar/2024:00:00:00",
            "12/Mrz/2024:00:00:00",
            "12/Mar/2024:24:00:00",
            "12/Mar/2024:23:60:00",
            "12/Mar/2024:23:59:60",
            "12/Mar/0000:00:00:00",
            "12/Mar/2024:00:00:00 ",
            "",
        ] {
            assert_eq!(clf_moment(date, "+0000"), None, "{date}");
        }
    }

    #[test]
    fn a_zone_that_is_no_number_or_leads_out_of_the_calendar_is_no_date() {
        for zone in ["CET", "", "+", "+-100", "99999999999999999999", "9999999999999999"] {
            assert_eq!(clf_moment("12/Mar/2024:00:00:00", zone), None, "{zone}");
        }
        assert_eq!(clf_moment("01/Jan/0001:00:00:00", "+0100"), None);
        assert_eq!(clf_moment("31/Dec/9999:23:59:59", "-0100"), None);
        assert_eq!(Date::Unix { seconds: i64::MAX, micros: 0 }.moment(), None);
    }

    #[test]
    fn each_format_has_its_pattern() {
        let at = |pattern, date| pattern_moment(pattern, date).unwrap();
        assert_eq!(at("%Y-%m-%d %H:%M:%S", "2024-06-05\t08:00:00"), "2024-06-05T08:00:00Z");
        assert_eq!(at("%Y-%m-%d %H:%M:%S", "2024-6-5  8:0:0"), "2024-06-05T08:00:00Z");
        assert_eq!(at("%Y-%m-%dT%H:%M:%S", "2024-06-05T08:00:00"), "2024-06-05T08:00:00Z");
        assert_eq!(at("%d/%b/%Y:%H:%M:%S.%f", "05/Jun/2024:08:00:00.584"), "2024-06-05T08:00:00.584Z");
        assert_eq!(pattern_moment("%Y-%m-%dT%H:%M:%S", "2024-06-05 08:00:00"), None);
        assert_eq!(pattern_moment("%Y-%m-%d %H:%M:%S", "2024-13-05 08:00:00"), None);
    }

    proptest! {
        #[test]
        fn every_second_comes_back(seconds in EARLIEST..=LATEST) {
            let stamp = jiff::Timestamp::from_second(seconds).unwrap();
            let date = format!("{}", stamp.strftime("%d/%b/%Y:%H:%M:%S"));
            let date = Date::Clf { date: date.as_bytes().into(), zone: b"+0000".into() };
            prop_assert_eq!(date.moment(), Some(Moment { seconds, micros: 0 }));
        }

        #[test]
        fn no_text_makes_it_panic(date: Vec<u8>, zone: Vec<u8>, pattern in "(%[a-zA-Z%]|[ :/-]){0,8}") {
            let _ = Date::Clf { date: (&*date).into(), zone: (&*zone).into() }.moment();
            let _ = Date::Pattern { pattern: pattern.into(), date: date.into(), zone: Some(zone.into()) }.moment();
        }
    }
}
