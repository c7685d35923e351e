//! Reads a date by a strptime pattern the way Python does: for formats and widths that `time` has no short way for.
//!
//! Numbers may be one digit shorter than usual, names are English in any case, white space in the pattern stands for
//! any white space.

use super::time::{Civil, days_since_epoch};

/// All directives that are known.
pub const KNOWN: &str = "%a %A %b %B %d %f %H %I %j %m %M %p %S %u %w %y %Y %z %Z %%";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// How many letters the short name of a month or day has.
const SHORT: usize = 3;

/// What has been read so far; a pattern may leave anything out.
#[derive(Clone, Copy)]
struct Reading {
    civil: Civil,
    hour_12: Option<u32>,
    afternoon: bool,
    day_of_year: Option<u32>,
}

/// The date, or `None` if the text does not follow the pattern to its end.
pub fn read(pattern: &str, text: &[u8]) -> Option<Civil> {
    let start = Reading { civil: Civil::day(1900, 1, 1), hour_12: None, afternoon: false, day_of_year: None };
    let (reading, rest) = follow(pattern.as_bytes(), text, start)?;
    rest.is_empty().then(|| reading.finish())?
}

impl Reading {
    fn finish(self) -> Option<Civil> {
        let mut civil = self.civil;
        if let Some(hour) = self.hour_12 {
            civil.hour = hour % 12 + if self.afternoon { 12 } else { 0 };
        }
        if let Some(day) = self.day_of_year {
            let first = days_since_epoch(civil.year, 1, 1);
            let month = (1..=12).rfind(|month| days_since_epoch(civil.year, *month, 1) - first < i64::from(day))?;
            civil.day = day - u32::try_from(days_since_epoch(civil.year, month, 1) - first).ok()?;
            civil.month = month;
        }
        Some(civil)
    }
}

/// A directive that no text follows, as it is not known, or as nothing stands behind its `%`.
pub fn unknown(pattern: &str) -> Option<String> {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            let directive = characters.next().map_or_else(String::new, String::from);
            if !KNOWN.split(' ').any(|known| known[1..] == directive) {
                return Some(directive);
            }
        }
    }
    None
}

/// A directive that a pattern has twice. As in Python there may be none: else what a number means would be decided by the last
/// one, and all the ways to share out the digits among them could take for ever.
pub fn repeated(pattern: &str) -> Option<char> {
    let mut seen = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let directive = if character == '%' { characters.next() } else { None };
        match directive {
            Some(directive) if seen.contains(&directive) => return Some(directive),
            Some(directive) if directive != '%' => seen.push(directive),
            _ => {}
        }
    }
    None
}

/// Follows the pattern from here on; where a number can be read in several widths, the widest that fits the rest wins.
fn follow<'t>(mut pattern: &[u8], mut text: &'t [u8], reading: Reading) -> Option<(Reading, &'t [u8])> {
    loop {
        match pattern {
            [] => return Some((reading, text)),
            [b'%', b'%', rest @ ..] => {
                text = text.strip_prefix(b"%")?;
                pattern = rest;
            }
            [b'%', directive, rest @ ..] => {
                return readings(*directive, text, reading).find_map(|(reading, text)| follow(rest, text, reading));
            }
            [blank, rest @ ..] if blank.is_ascii_whitespace() => {
                let after = text.trim_ascii_start();
                if after.len() == text.len() {
                    return None;
                }
                (pattern, text) = (rest.trim_ascii_start(), after);
            }
            [literal, rest @ ..] => {
                let (first, after) = text.split_first()?;
                if !first.eq_ignore_ascii_case(literal) {
                    return None;
                }
                (pattern, text) = (rest, after);
            }
        }
    }
}

type Reads<'t> = Box<dyn Iterator<Item = (Reading, &'t [u8])> + 't>;

/// All ways to read one directive, the preferred first.
fn readings(directive: u8, text: &[u8], before: Reading) -> Reads<'_> {
    match directive {
        b'Y' => number(text, 4..=4, 0..=9999, before, |reading, year| {
            reading.civil.year = i64::from(year);
        }),
        b'y' => number(text, 2..=2, 0..=99, before, |reading, year| {
            reading.civil.year = i64::from(if year < 69 { 2000 + year } else { 1900 + year });
        }),
        b'm' => number(text, 1..=2, 1..=12, before, |reading, month| {
            reading.civil.month = month;
        }),
        // A day below ten may have a blank in place of its zero.
        b'd' if text.starts_with(b" ") => number(&text[1..], 1..=1, 1..=9, before, |reading, day| {
            reading.civil.day = day;
        }),
        b'd' => number(text, 1..=2, 1..=31, before, |reading, day| {
            reading.civil.day = day;
        }),
        b'j' => number(text, 1..=3, 1..=366, before, |reading, day| {
            reading.day_of_year = Some(day);
        }),
        b'H' => number(text, 1..=2, 0..=23, before, |reading, hour| {
            reading.civil.hour = hour;
        }),
        b'I' => number(text, 1..=2, 1..=12, before, |reading, hour| {
            reading.hour_12 = Some(hour);
        }),
        b'M' => number(text, 1..=2, 0..=59, before, |reading, minute| {
            reading.civil.minute = minute;
        }),
        b'S' => number(text, 1..=2, 0..=61, before, |reading, second| {
            reading.civil.second = second;
        }),
        b'u' => number(text, 1..=1, 1..=7, before, |_, _| {}),
        b'w' => number(text, 1..=1, 0..=6, before, |_, _| {}),
        b'f' => fraction(text, before),
        b'b' => name(text, MONTHS.map(|month| &month[..SHORT]), before, |reading, month| reading.civil.month = month),
        b'B' => name(text, MONTHS, before, |reading, month| {
            reading.civil.month = month;
        }),
        b'a' => name(text, DAYS.map(|day| &day[..SHORT]), before, |_, _| {}),
        b'A' => name(text, DAYS, before, |_, _| {}),
        b'p' => name(text, ["AM", "PM"], before, |reading, half| {
            reading.afternoon = half == 2;
        }),
        b'Z' => name(text, ["UTC", "GMT"], before, |_, _| {}),
        b'z' => zone(text, before),
        _ => Box::new(std::iter::empty()),
    }
}

type Set<T> = fn(&mut Reading, T);

fn number(
    text: &[u8],
    widths: std::ops::RangeInclusive<usize>,
    range: std::ops::RangeInclusive<u32>,
    before: Reading,
    set: Set<u32>,
) -> Reads<'_> {
    Box::new(widths.rev().filter_map(move |width| {
        let (digits, rest) = text.split_at_checked(width)?;
        let value = decimal(digits).filter(|value| range.contains(value))?;
        let mut reading = before;
        set(&mut reading, value);
        Some((reading, rest))
    }))
}

/// One to six digits after the second: they are tenths, hundredths and so on.
fn fraction(text: &[u8], before: Reading) -> Reads<'_> {
    Box::new((1..=6).rev().filter_map(move |width| {
        let (digits, rest) = text.split_at_checked(width)?;
        let mut reading = before;
        reading.civil.micros = decimal(digits)? * [0, 100_000, 10_000, 1_000, 100, 10, 1].get(width)?;
        Some((reading, rest))
    }))
}

/// The name of a month, a day or a half of the day; `set` gets its number, 1 for the first.
fn name<'t, const N: usize>(text: &'t [u8], names: [&'static str; N], before: Reading, set: Set<u32>) -> Reads<'t> {
    Box::new((1..).zip(names).filter_map(move |(number, name)| {
        let (word, rest) = text.split_at_checked(name.len())?;
        let mut reading = before;
        set(&mut reading, number);
        word.eq_ignore_ascii_case(name.as_bytes()).then_some((reading, rest))
    }))
}

/// `Z`, `+hhmm` or `+hh:mm`, minutes below 60.
fn zone(text: &[u8], before: Reading) -> Reads<'_> {
    let read = || {
        if let Some(rest) = text.strip_prefix(b"Z") {
            return Some((0, rest));
        }
        let (sign, rest) = text.split_first().filter(|(sign, _)| matches!(sign, b'+' | b'-'))?;
        let (hours, rest) = rest.split_at_checked(2)?;
        let (minutes, rest) = rest.strip_prefix(b":").unwrap_or(rest).split_at_checked(2)?;
        let minutes = decimal(minutes).filter(|minutes| *minutes < 60)?;
        let seconds = i64::from(decimal(hours)? * 3600 + minutes * 60);
        Some((if *sign == b'-' { -seconds } else { seconds }, rest))
    };
    let mut reading = before;
    Box::new(read().into_iter().map(move |(seconds, rest)| {
        reading.civil.offset_seconds = seconds;
        (reading, rest)
    }))
}

fn decimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value * 10 + char::from(*digit).to_digit(10)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_english_in_any_case_and_whole() {
        let pattern = "%B - %d, %Y:%H:%M:%S";
        let expected = Civil { hour: 8, second: 1, ..Civil::day(2024, 6, 5) };
        assert_eq!(read(pattern, b"June - 05, 2024:08:00:01"), Some(expected));
        assert_eq!(read(pattern, b"june - 5, 2024:08:00:01"), Some(expected));
        assert_eq!(read(pattern, b"Jun - 05, 2024:08:00:01"), None);
        assert_eq!(read(pattern, b"05/Jun/2024:08:00:01"), None);
    }

    #[test]
    fn numbers_give_way_to_what_follows() {
        assert_eq!(read("%d%m%Y", b"1122024"), Some(Civil::day(2024, 2, 11)));
        assert_eq!(read("%Y%m%d%H%M%S", b"20240605080001"), read("%Y-%m-%d %H:%M:%S", b"2024-06-05 08:00:01"));
    }

    #[test]
    fn all_directives_have_their_meaning() {
        let civil = read("%a, %d %b %y %I:%M:%S.%f %p %Z", b"Wed, 05 Jun 24 12:30:00.25 am utc").unwrap();
        assert_eq!(civil, Civil { minute: 30, micros: 250_000, ..Civil::day(2024, 6, 5) });
        assert_eq!(read("%I %p", b"12 PM").unwrap().hour, 12);
        assert_eq!(read("%Y %j", b"2024 060"), Some(Civil::day(2024, 2, 29)));
        assert_eq!(read("%Y %j", b"2024 366"), Some(Civil::day(2024, 12, 31)));
        assert_eq!(read("%A %u %w %%", b"monday 1 1 %"), Some(Civil::day(1900, 1, 1)));
        assert_eq!(read("%z", b"-03:30").unwrap().offset_seconds, -12_600);
        assert_eq!(read("%z", b"Z").unwrap().offset_seconds, 0);
        assert_eq!(read("%z", b"+0260"), None);
        assert_eq!(read("%Q", b"1"), None);
    }

    #[test]
    fn a_directive_may_stand_in_a_pattern_once() {
        assert_eq!(repeated("%d/%b/%Y:%H:%M:%S %% 100%% %z"), None);
        assert_eq!(repeated("%d%m%d"), Some('d'));
        assert_eq!(repeated("%é%é%"), Some('é'));
    }

    #[test]
    fn a_long_pattern_needs_no_deep_stack() {
        let text = "x%%\t".repeat(100_000);
        assert!(read(&text, text.replace("%%", "%").as_bytes()).is_some());
    }

    #[test]
    fn text_behind_the_pattern_is_no_date() {
        assert_eq!(read("%Y", b"2024 "), None);
        assert_eq!(read("%Y ", b"2024"), None);
    }
}
