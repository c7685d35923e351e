//! The W3C family: the columns of a line stand in a `#Fields:` line above it.
//!
//! The layout is read anew at every `#Fields:` line and never outlives its file.

mod column;
mod layout;

use std::borrow::Cow;

use self::column::Columns;
use self::layout::{DATE_FORMAT, Layout};
use super::field::Draft;
use super::pattern::Pattern;
use super::{Chosen, Fit, FormatError, FormatOptions, LineParser, LogFormat, Malformed, Parsed, Record};

/// What the line that names the columns starts with.
const FIELDS: &str = "#Fields:";

/// A format of the family.
pub struct W3c {
    name: &'static str,
    columns: Columns,
    finish: for<'l> fn(&mut Record<'l>),
}

/// The columns of the standard.
pub const W3C_EXTENDED: W3c = W3c { name: "w3c_extended", columns: column::W3C_EXTENDED, finish: |_| {} };
/// Microsoft's: the time taken is in milliseconds.
pub const IIS: W3c = W3c { name: "iis", columns: column::IIS, finish: |_| {} };
/// Amazon's: events of streams, and user agents that are percent-encoded twice.
pub const AMAZON_CLOUDFRONT: W3c =
    W3c { name: "amazon_cloudfront", columns: column::AMAZON_CLOUDFRONT, finish: finish_cloudfront };
/// Incapsula's: every column in quotes.
pub const INCAPSULA_W3C: W3c =
    W3c { name: "incapsula_w3c", columns: column::INCAPSULA_W3C, finish: status_200_if_empty };
/// SHOUTcast's: user agents are percent-encoded.
pub const SHOUTCAST: W3c = W3c { name: "shoutcast", columns: column::SHOUTCAST, finish: decode_user_agent };

/// Checks the options that only this family uses.
pub fn check(options: &FormatOptions) -> Result<(), FormatError> {
    for (field, regex) in &options.w3c_field_regexes {
        let refused = |source: Option<regex::Error>| FormatError::W3cFieldRegex {
            field: field.clone(),
            regex: regex.clone(),
            source: source.map(Box::new),
        };
        let pattern = Pattern::new(regex).map_err(|error| refused(Some(error)))?;
        if !pattern.fills_something() {
            return Err(refused(None));
        }
    }
    Ok(())
}

impl LogFormat for W3c {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parser(&self, options: &FormatOptions, chosen: Chosen) -> Box<dyn LineParser + Send> {
        let header = match (chosen, &options.w3c_fields) {
            (Chosen::ByName, None) => Header::Consumed,
            _ => Header::Counted,
        };
        let mut parser =
            Parser { columns: self.columns, options: options.clone(), finish: self.finish, layout: None, header };
        if let Some(fields) = &options.w3c_fields {
            parser.lay_out(fields.strip_prefix(FIELDS).unwrap_or(fields));
        }
        Box::new(parser)
    }
}

struct Parser {
    columns: Columns,
    options: FormatOptions,
    finish: for<'l> fn(&mut Record<'l>),
    layout: Option<Layout>,
    header: Header,
}

/// What becomes of the lines up to the first `#Fields:`.
#[derive(Clone, Copy)]
enum Header {
    Consumed,
    /// Counted as invalid lines, like all later headers.
    Counted,
}

impl Parser {
    fn lay_out(&mut self, fields: &str) {
        self.layout = Some(Layout::new(fields, self.columns, &self.options));
    }

    fn read_header<'l>(&mut self, line: &[u8]) -> Parsed<'l> {
        let header = self.header;
        if let Some(fields) = line.strip_prefix(FIELDS.as_bytes()) {
            self.lay_out(&String::from_utf8_lossy(fields));
            self.header = Header::Counted;
        }
        match header {
            Header::Consumed => Parsed::Header,
            Header::Counted => Parsed::Malformed(Malformed::NoColumns),
        }
    }

    fn is_header(&self, line: &[u8]) -> bool {
        let blank_in_header = matches!(self.header, Header::Consumed) && line.trim_ascii().is_empty();
        line.starts_with(b"#") || blank_in_header
    }
}

impl LineParser for Parser {
    fn parse<'l>(&mut self, line: &'l [u8]) -> Parsed<'l> {
        if self.is_header(line) {
            return self.read_header(line);
        }
        let Some(layout) = self.layout.as_mut().filter(|layout| layout.makes_a_hit()) else {
            return Parsed::Malformed(Malformed::NoColumns);
        };
        let mut draft = Draft::default();
        if layout.read(line, &mut draft).is_none() {
            return Parsed::Malformed(Malformed::of(line));
        }
        (self.finish)(&mut draft.record);
        Parsed::Record(draft.finish(Cow::Borrowed(DATE_FORMAT)))
    }

    fn carries_host(&self) -> bool {
        self.layout.as_ref().is_some_and(Layout::carries_host)
    }

    fn needs_header(&self) -> bool {
        true
    }

    fn awaits_header(&self) -> bool {
        matches!(self.header, Header::Consumed)
    }

    fn fit(&mut self, line: &[u8], rival: usize) -> Option<Fit> {
        if self.is_header(line) {
            self.read_header(line);
            return None;
        }
        let layout = self.layout.as_mut()?;
        let fits =
            layout.recognised() > rival && layout.makes_a_hit() && layout.read(line, &mut Draft::default()).is_some();
        fits.then_some(Fit::Groups(layout.recognised()))
    }
}

fn finish_cloudfront(record: &mut Record<'_>) {
    decode_user_agent(record);
    decode_user_agent(record);
    status_200_if_empty(record);
    if let Some(event) = &mut record.event {
        event.category = Cow::Borrowed(b"cloudfront_rtmp");
    }
}

fn status_200_if_empty(record: &mut Record<'_>) {
    if record.status.is_empty() {
        record.status = Cow::Borrowed(b"200");
    }
}

fn decode_user_agent(record: &mut Record<'_>) {
    if let Some(agent) = &mut record.user_agent
        && memchr::memchr(b'%', agent).is_some()
    {
        *agent = Cow::Owned(percent_decoded(agent));
    }
}

/// Replaces `%` and two hexadecimal digits by their byte; any other `%` stays.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| hex_byte(after)).flatten();
        out.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    out
}

fn hex_byte(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::GenerationTime;
    use super::*;

    #[test]
    fn percent_signs_are_decoded_like_python_does() {
        assert_eq!(percent_decoded(b"a%20b%2"), b"a b%2");
        assert_eq!(percent_decoded(b"%zz%E9%"), b"%zz\xE9%");
        assert_eq!(percent_decoded(b"%2520"), b"%20");
    }

    const LINE: &[u8] = b"2024-06-05 08:00:00 192.0.2.1 /a 200 109";

    fn read(options: &FormatOptions, lines: &[&'static [u8]]) -> Record<'static> {
        check(options).unwrap();
        let mut parser = W3C_EXTENDED.parser(options, Chosen::ByName);
        match lines.iter().map(|line| parser.parse(line)).last() {
            Some(Parsed::Record(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    fn pair(a: &str, b: &str) -> Vec<(String, String)> {
        vec![(a.to_owned(), b.to_owned())]
    }

    #[test]
    fn a_file_without_header_is_read_with_the_fields_of_the_options() {
        let fields = "#Fields: date time c-ip cs-uri-stem sc-status time-taken".to_owned();
        let options = FormatOptions { w3c_fields: Some(fields), ..FormatOptions::default() };
        let seconds = GenerationTime::Seconds(b"109".into());
        assert_eq!(read(&options, &[LINE]).generation_time, Some(seconds));
        let options = FormatOptions { w3c_time_taken_millisecs: true, ..options };
        let milliseconds = GenerationTime::Milli(b"109".into());
        assert_eq!(read(&options, &[LINE]).generation_time, Some(milliseconds));
    }

    #[test]
    fn columns_can_have_other_names_and_patterns_of_their_own() {
        let header = b"#Fields: date time client cs-uri-stem sc-status sub";
        let options = FormatOptions {
            w3c_map_fields: pair("client", "c-ip"),
            w3c_field_regexes: pair("sub", r"(?P<sub>x|\d+)"),
            ..FormatOptions::default()
        };
        let record = read(&options, &[header, LINE]);
        assert_eq!(&*record.ip, b"192.0.2.1");
        assert_eq!(record.extra, [("sub".into(), b"109"[..].into())]);
    }

    #[test]
    fn a_group_may_be_named_in_both_ways() {
        let header = b"#Fields: date time c-ip cs-uri-stem sc-status sub";
        let options = FormatOptions { w3c_field_regexes: pair("sub", r"(?<status>x|\d+)"), ..FormatOptions::default() };
        assert_eq!(&*read(&options, &[header, LINE]).status, b"200");
    }

    #[test]
    fn a_field_pattern_without_a_name_is_refused() {
        for regex in ["(", r"\d+"] {
            let w3c_field_regexes = pair("sub", regex);
            let options = FormatOptions { w3c_field_regexes, ..FormatOptions::default() };
            assert!(matches!(check(&options), Err(FormatError::W3cFieldRegex { .. })), "{regex}");
        }
    }

    #[test]
    fn a_header_with_a_thousand_columns_names_none() {
        let read = |columns: usize| {
            let header = format!("#Fields: date time c-ip cs-uri-stem sc-status{}", " a".repeat(columns - 5));
            let line = format!("2024-06-05 08:00:00 192.0.2.1 /a 200{}", " \"b c\"".repeat(columns - 5));
            let mut parser = W3C_EXTENDED.parser(&FormatOptions::default(), Chosen::ByName);
            assert_eq!(parser.parse(header.as_bytes()), Parsed::Header);
            matches!(parser.parse(line.as_bytes()), Parsed::Record(_))
        };
        assert!(read(layout::COLUMNS_MAX));
        assert!(!read(layout::COLUMNS_MAX + 1));
    }

    #[test]
    fn lines_before_the_columns_are_named_are_invalid() {
        let mut parser = IIS.parser(&FormatOptions::default(), Chosen::ByName);
        assert_eq!(parser.parse(LINE), Parsed::Malformed(Malformed::NoColumns));
        assert_eq!(parser.parse(b"#Fields: date time c-ip"), Parsed::Header);
        assert_eq!(parser.parse(LINE), Parsed::Malformed(Malformed::NoColumns));
    }
}
