//! A regular expression whose named groups are the fields of a record: exact, for lines nothing faster can read.

use regex::{CaptureLocations, Regex, RegexBuilder, bytes};

use super::field::{Draft, Field};
use super::readable::Readable;

/// `\s` and `\S` as Python knows them; the `regex` crate's lack 0x1C to 0x1F.
const BLANK: [&str; 2] = [r"[\s\x1c-\x1f]", r"[^\s\x1c-\x1f]"];
/// The same where all is ASCII.
const ASCII_BLANK: [&str; 2] = [r"[\t-\r\x1c-\x1f ]", r"[^\t-\r\x1c-\x1f ]"];

/// A pattern reads few lines; it need not keep megabytes ready for them.
const SEARCH_CACHE_BYTES_MAX: usize = 256 * 1024;

/// A compiled pattern with the fields its groups fill.
#[derive(Debug, Clone)]
pub struct Pattern {
    fields: Vec<(usize, Field)>,
    groups: usize,
    /// None only if there is one for ASCII; then that reads all lines.
    any: Option<Any>,
    ascii: Option<Ascii>,
}

/// The pattern for lines of any text.
#[derive(Debug, Clone)]
struct Any {
    regex: Regex,
    locations: CaptureLocations,
}

/// The same pattern for lines of nothing but ASCII, as nearly all are: without the thousands of letters and the blanks of
/// other scripts it takes a fifth less time. There is none if the pattern itself speaks of other scripts.
#[derive(Debug, Clone)]
struct Ascii {
    regex: bytes::Regex,
    locations: bytes::CaptureLocations,
}

impl Ascii {
    fn new(pattern: &str) -> Option<Self> {
        let mut builder = bytes::RegexBuilder::new(&anchored(pattern, ASCII_BLANK));
        let regex = builder.unicode(false).dfa_size_limit(SEARCH_CACHE_BYTES_MAX).build().ok()?;
        let locations = regex.capture_locations();
        Some(Self { regex, locations })
    }
}

impl Pattern {
    /// Compiles a pattern that has to match at the start of the line. `\s`, `\S` and `\Z` mean what they mean to Python.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        let any = RegexBuilder::new(&anchored(pattern, BLANK)).dfa_size_limit(SEARCH_CACHE_BYTES_MAX).build();
        match (any, Ascii::new(pattern)) {
            (Ok(regex), ascii) => {
                let (fields, groups) = fields(regex.capture_names());
                let any = Some(Any { locations: regex.capture_locations(), regex });
                Ok(Self { fields, groups, any, ascii })
            }
            // It passes over case, and which letters of all scripts are alike would take a table of 70 KB; or it is too large
            // with the letters of all scripts.
            (Err(_), Some(ascii)) => {
                let (fields, groups) = fields(ascii.regex.capture_names());
                Ok(Self { fields, groups, any: None, ascii: Some(ascii) })
            }
            // What is wrong is shown in the words of whoever wrote it, if it is his.
            (Err(error), None) => Err(Regex::new(pattern).err().unwrap_or(error)),
        }
    }

    /// How many capturing groups it has: the weight of a match when formats are detected.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether any group has a name.
    pub fn fills_something(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Whether a group of this meaning exists.
    pub fn has(&self, field: &Field) -> bool {
        self.fields.iter().any(|(_, known)| known == field)
    }

    /// The fields of a line, if it matches. A group that took no part stays unfilled.
    pub fn read<'l>(&mut self, line: &'l [u8]) -> Option<Draft<'l>> {
        match &mut self.ascii {
            Some(ascii) if line.is_ascii() || self.any.is_none() => {
                ascii.regex.captures_read(&mut ascii.locations, line)?;
                let bytes_of = |group| ascii.locations.get(group).map(|(start, end)| &line[start..end]);
                Some(drafted(&self.fields, bytes_of))
            }
            _ => self.read_any(line),
        }
    }

    fn read_any<'l>(&mut self, line: &'l [u8]) -> Option<Draft<'l>> {
        let any = self.any.as_mut()?;
        let readable = Readable::new(line);
        any.regex.captures_read(&mut any.locations, readable.text())?;
        let bytes_of = |group| any.locations.get(group).map(|(start, end)| readable.bytes(start..end));
        Some(drafted(&self.fields, bytes_of))
    }
}

/// The fields that groups of these names fill, and how many groups there are.
fn fields<'n>(names: impl Iterator<Item = Option<&'n str>>) -> (Vec<(usize, Field)>, usize) {
    let names: Vec<_> = names.collect();
    // The first group is the whole match.
    let groups = names.len() - 1;
    (names.into_iter().enumerate().filter_map(|(group, name)| Some((group, Field::named(name?)))).collect(), groups)
}

fn drafted<'l>(fields: &[(usize, Field)], bytes_of: impl Fn(usize) -> Option<&'l [u8]>) -> Draft<'l> {
    let mut draft = Draft::default();
    for (group, field) in fields {
        if let Some(bytes) = bytes_of(*group) {
            draft.fill(field, bytes);
        }
    }
    draft
}

fn anchored(pattern: &str, blank: [&str; 2]) -> String {
    format!(r"\A(?:{})", with_blanks(pattern, blank))
}

/// The names of the groups of a pattern, in order.
pub fn group_names(pattern: &str) -> impl Iterator<Item = &str> {
    let opened =
        pattern.split("(?").skip(1).filter_map(|group| group.strip_prefix('P').unwrap_or(group).strip_prefix('<'));
    opened.filter_map(|group| Some(group.split_once('>')?.0))
}

/// Replaces `\s`, `\S` and Python's word for the end; other escapes are left alone.
fn with_blanks(pattern: &str, [blank, word]: [&str; 2]) -> String {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
        out.push_str(before);
        match &escape[..length] {
            r"\s" => out.push_str(blank),
            r"\S" => out.push_str(word),
            r"\Z" => out.push_str(r"\z"),
            other => out.push_str(other),
        }
        rest = &escape[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::ncsa::COMMON_COMPLETE;
    use super::*;

    /// Everything that the two forms could read differently.
    const ODD: &str = r#"(?P<ip>[\w*.:-]+)\s+(?i:(?P<method>[^\s\d]\W\S*k))\b(?P<path>.*?)[\s\]](?P<length>\d{2,3}|$)"#;

    static PATTERNS: LazyLock<[Pattern; 2]> =
        LazyLock::new(|| [ODD, COMMON_COMPLETE.pattern].map(|source| Pattern::new(source).unwrap()));

    fn lines() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            6 => prop::sample::select(vec!["192.0.2.1", "GET", "/a?x=1", "200", "-", "k", "K", "!", "[05/Jun/2024:08:00:05", "+0200]", "\"-\"", "\""]),
            4 => Just(" "),
            1 => prop::sample::select(vec!["\t", "\x0b", "\x1c", "\x1f", "\r"]),
            1 => prop::char::range('\0', '\x7f').prop_map(|byte| &*Box::leak(byte.to_string().into_boxed_str())),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn ascii_is_read_alike_by_both_forms(line in lines()) {
            for mut pattern in PATTERNS.clone() {
                let any = pattern.read_any(line.as_bytes()).map(Draft::finish_clf);
                prop_assert!(pattern.ascii.is_some());
                prop_assert_eq!(pattern.read(line.as_bytes()).map(Draft::finish_clf), any);
            }
        }
    }

    #[test]
    fn a_pattern_that_passes_over_case_reads_all_lines_by_its_form_for_ascii() {
        let mut pattern = Pattern::new(r"(?i)(?P<method>get) (?P<path>\S+) (?P<status>\d+)\Z").unwrap();
        assert_eq!(pattern.groups(), 3);
        let mut path = |line: &[u8]| pattern.read(line).map(|draft| draft.record.path.into_owned());
        assert_eq!(path(b"GeT /a 200").as_deref(), Some(&b"/a"[..]));
        assert_eq!(path("get /é 200".as_bytes()).as_deref(), Some("/é".as_bytes()));
        assert_eq!(path(b"get /\xff 200").as_deref(), Some(&b"/\xff"[..]));
        assert_eq!(path(b"put /a 200"), None);
    }

    #[test]
    fn a_pattern_that_speaks_of_other_scripts_reads_all_lines_as_they_are() {
        let mut pattern = Pattern::new(r"(?P<method>\p{Lu}+) (?P<path>[^é]+)").unwrap();
        assert!(pattern.ascii.is_none());
        assert!(pattern.read(b"GET /a").is_some());
    }
}
