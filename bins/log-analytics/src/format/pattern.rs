//! A regular expression whose named groups are the fields of a record: exact, for lines nothing faster can read.

use regex::{CaptureLocations, Regex, RegexBuilder};

use super::field::{Draft, Field};
use super::readable::Readable;

/// `\s` as Python knows it; the `regex` crate's lacks 0x1C to 0x1F.
const BLANK: &str = r"[\s\x1c-\x1f]";
/// `\S` as Python knows it.
const WORD: &str = r"[^\s\x1c-\x1f]";

/// A pattern reads few lines; it need not keep megabytes ready for them.
const SEARCH_CACHE_BYTES_MAX: usize = 256 * 1024;

/// A compiled pattern with the fields its groups fill.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    fields: Vec<(usize, Field)>,
    groups: usize,
    locations: CaptureLocations,
}

impl Pattern {
    /// Compiles a pattern that has to match at the start of the line. `\s` and `\S` mean what they mean to Python.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        let anchored = format!(r"\A(?:{})", with_python_blanks(pattern));
        let regex = RegexBuilder::new(&anchored).dfa_size_limit(SEARCH_CACHE_BYTES_MAX).build()?;
        let fields =
            regex.capture_names().enumerate().filter_map(|(group, name)| Some((group, Field::named(name?)))).collect();
        let groups = regex.captures_len() - 1;
        let locations = regex.capture_locations();
        Ok(Self { regex, fields, groups, locations })
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
        let readable = Readable::new(line);
        self.regex.captures_read(&mut self.locations, readable.text())?;
        let mut draft = Draft::default();
        for (group, field) in &self.fields {
            if let Some((start, end)) = self.locations.get(*group) {
                draft.fill(field, readable.bytes(start..end));
            }
        }
        Some(draft)
    }
}

/// The names of the groups of a pattern, in order.
pub fn group_names(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split("(?P<").skip(1).filter_map(|group| Some(group.split_once('>')?.0))
}

/// Replaces `\s` and `\S` other escapes are left alone.
fn with_python_blanks(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
        out.push_str(before);
        match &escape[..length] {
            r"\s" => out.push_str(BLANK),
            r"\S" => out.push_str(WORD),
            other => out.push_str(other),
        }
        rest = &escape[length..];
    }
    out.push_str(rest);
    out
}
