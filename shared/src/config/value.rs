//! The types a setting may have, each with the rule that a person reads when a value does not fit.

use std::{fmt, path::PathBuf, time::Duration};

use crate::secret::{HIDDEN, Secret};

/// Something that can be read from the text of a variable.
pub trait Value: Sized {
    /// Whether the text is never shown.
    const SECRET: bool = false;

    /// What texts are accepted, to be read after "must be": `a whole number from 1 to 64`.
    fn rule() -> String;

    /// Reads a text that is not empty. The error says what is wrong without repeating the text or the
    /// rule; it may be empty when the rule says it all.
    fn parse(text: &str) -> Result<Self, String>;

    /// The value of a variable that is not set and has no default; `None` means it must be set.
    fn absent() -> Option<Self> {
        None
    }

    /// The text as it may be shown to anybody who reads the log.
    fn shown(text: &str) -> String {
        text.to_owned()
    }
}

impl<T: Value> Value for Option<T> {
    const SECRET: bool = T::SECRET;

    fn rule() -> String {
        T::rule()
    }

    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn shown(text: &str) -> String {
        T::shown(text)
    }
}

/// A comma list; blanks around and empty places between the commas are dropped.
impl<T: Value> Value for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn rule() -> String {
        format!("a comma list, each {}", T::rule())
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(T::parse)
            .collect()
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }

    fn shown(text: &str) -> String {
        text.split(',').map(T::shown).collect::<Vec<_>>().join(",")
    }
}

impl Value for String {
    fn rule() -> String {
        "text".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Value for Secret {
    const SECRET: bool = true;

    fn rule() -> String {
        "text (kept secret)".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Secret::new(text))
    }

    fn shown(_: &str) -> String {
        HIDDEN.to_owned()
    }
}

impl Value for PathBuf {
    fn rule() -> String {
        "a path".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(PathBuf::from(text))
    }
}

impl Value for bool {
    fn rule() -> String {
        "yes or no (also 1/0, true/false, on/off)".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(String::new()),
        }
    }
}

macro_rules! whole_numbers {
    ($($Number:ty),*) => { $(
        impl Value for $Number {
            fn rule() -> String {
                format!("a whole number from {} to {}", <$Number>::MIN, <$Number>::MAX)
            }

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| String::new())
            }
        }
    )* };
}
whole_numbers!(u16, u32, u64, i32, i64);

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
    while !rest.is_empty() {
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
    }
    Ok(length)
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
        number
            .checked_mul(one)
            .map(Self)
            .ok_or_else(|| "it is too large".to_owned())
    }
}

/// `1h30m` is `1`, `h`, `30m`.
fn number_and_unit(text: &str) -> (&str, &str, &str) {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let letters = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    (number, unit, after)
}

/// An address on the web: `http://` is added when no scheme is given, trailing slashes are removed.
/// Printing it hides a user, a password and the query; [`Address::as_str`] has them all.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The whole address, ready to have `/path` appended.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Address {
    fn rule() -> String {
        "an http:// or https:// address".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err("its scheme is another one".to_owned());
        }
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("it contains a blank".to_owned());
        }
        let rest = rest.trim_end_matches('/');
        check_host(rest.split(['/', '?', '#']).next().unwrap_or_default())?;
        Ok(Self(format!("{scheme}://{rest}")))
    }

    fn shown(text: &str) -> String {
        let (scheme, rest) = text
            .split_once("://")
            .map_or(("", text), |(scheme, rest)| (scheme, rest));
        let separator = if scheme.is_empty() { "" } else { "://" };
        let (rest, query) = rest
            .split_once('?')
            .map_or((rest, ""), |(rest, _)| (rest, "?(hidden)"));
        match rest.rsplit_once('@') {
            Some((_, place)) => format!("{scheme}{separator}{HIDDEN}@{place}{query}"),
            None => format!("{scheme}{separator}{rest}{query}"),
        }
    }
}

/// `user:password@host:port`, `[::1]:8080`: there must be a host, and a port must be a number.
fn check_host(authority: &str) -> Result<(), String> {
    let place = authority
        .rsplit_once('@')
        .map_or(authority, |(_, place)| place);
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    match port.map(str::parse::<u16>) {
        Some(Err(_) | Ok(0)) => Err("its port is not a number from 1 to 65535".to_owned()),
        _ => Ok(()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::shown(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
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
        for text in [
            "",
            "h",
            "5x",
            "-5",
            "1.5h",
            "5 m",
            "99999999999999999999",
            "18446744073709551615",
            "4294967295d",
            "s5",
        ] {
            assert!(text.is_empty() || seconds(text).is_none(), "{text}");
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

    #[test]
    fn addresses_get_a_scheme_and_lose_trailing_slashes() {
        let whole = |text| Some(Address::parse(text).ok()?.as_str().to_owned());
        assert_eq!(whole("matomo").as_deref(), Some("http://matomo"));
        assert_eq!(
            whole("matomo:8080/piwik//").as_deref(),
            Some("http://matomo:8080/piwik")
        );
        assert_eq!(
            whole("HTTPS://[::1]:8443").as_deref(),
            Some("https://[::1]:8443")
        );
        assert_eq!(
            whole("http://user:pass@matomo").as_deref(),
            Some("http://user:pass@matomo")
        );
        for text in [
            "http://",
            "://matomo",
            "ftp://matomo",
            "http://a b",
            "http://matomo:http",
            "http://matomo:0",
            "http:///path",
            "http://:80",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_printed_without_its_secrets() {
        let address = Address::parse("http://user:pass@matomo/a?token_auth=x").unwrap();
        assert_eq!(
            format!("{address} {address:?}"),
            "http://(hidden)@matomo/a?(hidden) http://(hidden)@matomo/a?(hidden)"
        );
    }

    #[test]
    fn yes_has_many_words() {
        for (text, expected) in [
            ("1", true),
            ("True", true),
            ("YES", true),
            ("on", true),
            ("0", false),
            ("false", false),
            ("no", false),
            ("Off", false),
        ] {
            assert_eq!(bool::parse(text), Ok(expected));
        }
        assert!(bool::parse("2").is_err());
    }
}
