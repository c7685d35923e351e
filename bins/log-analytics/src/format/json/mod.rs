//! The formats that write one JSON object per line: Traefik, nginx (with the reference's log format) and Caddy.

mod caddy;
mod mapped;
mod nginx;
mod raw;
mod simple;
mod traefik;
mod value;

use std::borrow::Cow;

use memchr::memchr;

use self::value::Object;
use super::readable::sweep;
use super::{Chosen, Fit, FormatOptions, LineParser, LogFormat, Malformed, Parsed, Record};

pub use self::caddy::CADDY;
pub use self::mapped::Mapped;
pub use self::nginx::NGINX;
pub use self::traefik::TRAEFIK;

/// A format of the family.
#[derive(Clone, Copy)]
pub struct Json {
    name: &'static str,
    /// A line with these keys is in this format.
    keys: &'static [&'static str],
    /// Whether `\xHH`, which is no JSON, stands for a character.
    hex_escapes: bool,
    /// The request an object tells of, if it has what a hit needs.
    read: for<'v> fn(Object<'v>) -> Option<Record<'v>>,
}

impl LogFormat for Json {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parser(&self, _: &FormatOptions, _: Chosen) -> Box<dyn LineParser + Send> {
        Box::new(*self)
    }
}

impl LineParser for Json {
    fn parse<'l>(&mut self, line: &'l [u8]) -> Parsed<'l> {
        match self.record(line) {
            Some(record) => Parsed::Record(record),
            None if line.trim_ascii().is_empty() => Parsed::Malformed(Malformed::Blank),
            None => Parsed::Malformed(Malformed::Json),
        }
    }

    fn carries_host(&self) -> bool {
        true
    }

    fn fit(&mut self, line: &[u8], _: usize) -> Option<Fit> {
        let text = self.text(line);
        let object = Object::parse(&text)?;
        self.keys.iter().all(|key| object.get(key).is_some()).then_some(Fit::Keys)
    }
}

impl Json {
    /// The request of a line. One whose status is empty was not answered, as far as the line says.
    fn record<'l>(&self, line: &'l [u8]) -> Option<Record<'l>> {
        self.any_record(line).filter(|record| !record.status.is_empty())
    }

    fn any_record<'l>(&self, line: &'l [u8]) -> Option<Record<'l>> {
        let plain = sweep(line, |byte| byte == b' ').plain;
        if plain && let Some(object) = simple::read(line) {
            return (self.read)(object).map(|record| Record { plain, ..record });
        }
        match self.text(line) {
            Cow::Borrowed(text) => (self.read)(Object::parse(text)?),
            // Nothing can be borrowed from a text that was made for this line.
            Cow::Owned(text) => (self.read)(Object::parse(&text)?).map(raw::into_owned),
        }
    }

    /// The line as JSON text.
    fn text<'l>(&self, line: &'l [u8]) -> Cow<'l, str> {
        let text = raw::readable(line);
        if self.hex_escapes && memchr(b'\\', line).is_some() && text.contains(r"\x") {
            text.replace(r"\x", r"\u00").into()
        } else {
            text
        }
    }
}

/// Below this a float holds every whole number exactly.
const MILLISECONDS_EXACT: f64 = 1e15;

/// An empty query column: it keeps a later stage from looking for a query in the path, as the reference never does.
const NO_QUERY: Option<Cow<'static, [u8]>> = Some(Cow::Borrowed(b""));

/// A date as most programs write it: nineteen characters, then perhaps a fraction (dropped), then the zone.
/// No zone and `Z` are UTC.
fn iso_date<'v>(text: &super::Text<'v>) -> super::Date<'v> {
    let end = match text.first_chunk::<19>() {
        Some(date) if date.is_ascii() => date.len(),
        _ => str::from_utf8(text).ok().and_then(|text| text.char_indices().nth(19)).map_or(text.len(), |(at, _)| at),
    };
    let zone = match text[end..].strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(fraction.len());
            text.len() - fraction.len() + digits
        }
        None => end,
    };
    let zone = (!matches!(&text[zone..], b"" | b"Z" | b"z")).then_some(zone);
    super::Date::Pattern {
        pattern: Cow::Borrowed("%Y-%m-%dT%H:%M:%S"),
        zone: zone.map(|zone| part(text, zone..text.len())),
        date: part(text, 0..end),
    }
}

fn part<'v>(text: &super::Text<'v>, range: std::ops::Range<usize>) -> super::Text<'v> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
        Cow::Owned(text) => Cow::Owned(text[range].to_vec()),
    }
}

/// Milliseconds as text, without a fraction of zero.
#[expect(clippy::cast_possible_truncation, reason = "only of numbers that are whole and small")]
fn milliseconds(value: f64) -> Option<super::GenerationTime<'static>> {
    let whole = value as i64;
    let text =
        if value.fract() == 0.0 && value.abs() < MILLISECONDS_EXACT { whole.to_string() } else { value.to_string() };
    value.is_finite().then(|| super::GenerationTime::Milli(Cow::Owned(text.into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::super::Date;
    use super::*;

    fn split(text: &str) -> (String, Option<String>) {
        let Date::Pattern { date, zone, .. } = iso_date(&text.as_bytes().into()) else { panic!("not a pattern") };
        let readable = |bytes: Cow<'_, [u8]>| String::from_utf8(bytes.into_owned()).unwrap();
        (readable(date), zone.map(readable))
    }

    #[test]
    fn a_status_that_is_empty_is_none() {
        let line =
            |status: &str| format!(r#"{{"ip":"192.0.2.1","path":"/","status":{status},"date":"","referrer":""}}"#);
        for (status, is_request) in [(r#""200""#, true), ("200", true), (r#""""#, false), ("null", false)] {
            assert_eq!(NGINX.record(line(status).as_bytes()).is_some(), is_request, "{status}");
        }
    }

    #[test]
    fn a_date_is_split_from_its_zone() {
        let date = "2024-06-05T08:00:00";
        assert_eq!(split(date), (date.into(), None));
        assert_eq!(split(&format!("{date}Z")), (date.into(), None));
        assert_eq!(split(&format!("{date}.123Z")), (date.into(), None));
        assert_eq!(split(&format!("{date}.5-05:30")), (date.into(), Some("-05:30".into())));
        assert_eq!(split("05/Jun/2024:08:00:00+02:00").1, Some("0+02:00".into()));
        assert_eq!(split("é"), ("é".into(), None));
    }
}
