//! Settings that count: bounded numbers, lengths of time, sizes in bytes.

use std::time::Duration;

use super::value::Value;

/// A whole number between two bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Count<MIN, MAX> {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as a size of something in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Value for Count<MIN, MAX> {
    fn rule() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(String::new()),
        }
    }
}

/// Longer spans are slips of the pen, and moments that far away would not fit a calendar.
const SPAN_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// A length of time: `90s`, `15m`, `2h`, `1d`, `1h30m`, or a bare number of seconds; at most ten years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// The length of time.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(length: Duration) -> Self {
        Self(length)
    }
}

impl Value for Span {
    fn rule() -> String {
        "a length of time such as 90s, 15m, 2h or 1d".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let length = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => sum_of_parts(text)?,
        };
        if length > SPAN_MAX {
            return Err("it is longer than ten years".to_owned());
        }
        Ok(Self(length))
    }
}

/// `1h30m` is an hour and thirty minutes.
fn sum_of_parts(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut length = Duration::ZERO;
    loop {
        let (number, unit, after) = number_and_unit(rest);
        let number: u32 = number.parse().map_err(|_| String::new())?;
        let one = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3_600),
            "d" => Duration::from_secs(86_400),
            _ => return Err(String::new()),
        };
        length = length.saturating_add(one.saturating_mul(number));
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(length);
        }
    }
}

/// A number of bytes: `512`, `64k`, `10M`, `1G`; the units are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Value for Size {
    fn rule() -> String {
        "a size such as 512, 64k, 10M or 1G".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit, after) = number_and_unit(text);
        let number: u64 = number.parse().map_err(|_| String::new())?;
        let one = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            _ => return Err(String::new()),
        };
        if !after.is_empty() {
            return Err(String::new());
        }
        number.checked_mul(one).map(Self).ok_or_else(|| "it is too large".to_owned())
    }
}

/// `1h30m` is `1`, `h`, `30m`.
fn number_and_unit(text: &str) -> (&str, &str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    (number, unit, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        Some(Span::parse(text).ok()?.get().as_secs())
    }

    #[test]
    fn spans_add_up() {
        let cases = [
            ("90s", 90),
            ("15m", 900),
            ("2h", 7_200),
            ("1d", 86_400),
            ("42", 42),
            ("1h30m", 5_400),
            ("1h 30m", 5_400),
            ("0", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in
            ["", "h", "5x", "-5", "1.5h", "5 m", "99999999999999999999", "18446744073709551615", "4294967295d", "s5"]
        {
            assert!(seconds(text).is_none(), "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        let bytes = |text| Some(Size::parse(text).ok()?.bytes());
        assert_eq!(bytes("512"), Some(512));
        assert_eq!(bytes("64k"), Some(65_536));
        assert_eq!(bytes("10MB"), Some(10 << 20));
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        for text in ["", "k", "1x", "1k1", "99999999999999999G"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
