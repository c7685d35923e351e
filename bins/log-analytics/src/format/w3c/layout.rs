//! The columns of one `#Fields:` line, and how a line is cut into them.

use memchr::{memchr, memchr2};

use super::super::FormatOptions;
use super::super::exact::Exact;
use super::super::field::{Draft, Field};
use super::super::pattern::group_names;
use super::super::readable::sweep;
use super::column::{Accepts, Column, Columns, TIME_TAKEN_MILLISECONDS, UNKNOWN};

/// Date and time, when both columns are there. The blank in it stands for any white space.
pub const DATE_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// A header with more columns names none: reading a line by a pattern of a thousand columns takes half a second, and anybody
/// can write a header. Formats in use have up to sixty.
pub const COLUMNS_MAX: usize = 128;

/// Longer than most columns are.
const WORD_BYTES_USUAL: usize = 12;

/// How to read the lines below a header.
pub struct Layout {
    exact: Exact,
    /// The same columns for lines of bare words.
    steps: Vec<Step>,
    fields: Vec<String>,
    recognised: usize,
    makes_a_hit: bool,
}

/// One column of a line of bare words.
struct Step {
    accepts: Accepts,
    field: Option<Field>,
    /// A time right after its date: with a blank between them both are one text, nothing has to be copied.
    completes_date: bool,
}

impl Layout {
    /// Reads the names of the columns, as they stand after `#Fields:`.
    pub fn new(names: &str, columns: Columns, options: &FormatOptions) -> Self {
        let mut layout =
            Self { exact: Exact::new(""), steps: Vec::new(), fields: Vec::new(), recognised: 0, makes_a_hit: false };
        if names.split_whitespace().nth(COLUMNS_MAX).is_some() {
            return layout;
        }
        let add = |name| {
            if is_replaced(name, names, options) { layout.pass_over() } else { layout.add(name, columns, options) }
        };
        let patterns: Vec<&str> = names.split_whitespace().map(add).collect();
        layout.exact = Exact::new(joined(&patterns));
        let status = columns.status_optional || layout.has("status");
        layout.makes_a_hit = status && layout.has("date") && layout.has("path") && layout.has("ip");
        layout
    }

    /// Adds the column of this name and tells its pattern.
    fn add<'o>(&mut self, name: &str, columns: Columns, options: &'o FormatOptions) -> &'o str {
        let mapped = options.w3c_map_fields.iter().find(|(own, _)| own == name);
        let name = mapped.map_or(name, |(_, known)| known);
        let custom = options.w3c_field_regexes.iter().find(|(field, _)| field == name);
        let known = known(name, columns, options);
        let (pattern, accepts) = match custom {
            Some((_, regex)) => (&**regex, Accepts::Nothing),
            None => (known.unwrap_or(&UNKNOWN).pattern, known.unwrap_or(&UNKNOWN).accepts),
        };
        // A name may stand in the header twice, a group in a pattern may not: the second one is passed over.
        if group_names(pattern).any(|group| self.has(group)) {
            return self.pass_over();
        }
        self.recognised += usize::from(custom.is_some() || known.is_some());
        self.step(accepts, group_names(pattern).next().map(Field::named));
        self.fields.extend(group_names(pattern).map(str::to_owned));
        pattern
    }

    /// Adds a column that fills nothing.
    fn pass_over(&mut self) -> &'static str {
        self.step(UNKNOWN.accepts, None);
        UNKNOWN.pattern
    }

    fn step(&mut self, accepts: Accepts, field: Option<Field>) {
        let after_date = self.steps.last().is_some_and(|before| before.field == Some(Field::Date));
        let completes_date = after_date && field == Some(Field::Time);
        self.steps.push(Step { accepts, field, completes_date });
    }

    /// How many columns the format recognises: the weight of a match when formats are detected.
    pub fn recognised(&self) -> usize {
        self.recognised
    }

    /// Whether all that a hit needs has a column.
    pub fn makes_a_hit(&self) -> bool {
        self.makes_a_hit
    }

    /// Whether a column names the host.
    pub fn carries_host(&self) -> bool {
        self.has("host")
    }

    fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|known| known == field)
    }

    /// Fills a draft with the fields of a line, if it fits the columns; its date is to be read as [`DATE_FORMAT`].
    pub fn read<'l>(&mut self, line: &'l [u8], draft: &mut Draft<'l>) -> Option<()> {
        if self.read_words(line, draft).is_none() {
            *draft = self.exact.read(line)?;
        }
        Some(())
    }

    /// The short way: no quotes, one blank or tab between words. A strict subset of what the pattern accepts.
    fn read_words<'l>(&self, line: &'l [u8], draft: &mut Draft<'l>) -> Option<()> {
        let swept = sweep(line, |byte| byte == b' ' || byte == b'\t');
        if !swept.only_blanks || memchr(b'"', line).is_some() {
            return None;
        }
        draft.record.plain = swept.plain;
        let mut rest = Some(line);
        let mut before = 0;
        for step in &self.steps {
            let from = rest?;
            let end = word_end(from);
            let word = step.accepts.part_of(&from[..end]).filter(|word| !word.is_empty())?;
            let start = line.len() - from.len();
            match &step.field {
                Some(_) if step.completes_date && line[start - 1] == b' ' => {
                    draft.fill(&Field::Date, &line[before..start + word.len()]);
                }
                Some(field) => draft.fill(field, word),
                None => {}
            }
            before = start;
            rest = from.get(end + 1..);
        }
        Some(())
    }
}

/// Where a word ends. Most words are so short that a plain loop finds their end sooner than a wide search would.
#[inline]
fn word_end(text: &[u8]) -> usize {
    let (near, far) = text.split_at(text.len().min(WORD_BYTES_USUAL));
    let in_near = near.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    in_near.unwrap_or_else(|| near.len() + memchr2(b' ', b'\t', far).unwrap_or(far.len()))
}

/// Whether another column of the header is mapped to this name. Behind a balancer `c-ip` is the balancer, and the operator
/// said which column has the client.
fn is_replaced(name: &str, names: &str, options: &FormatOptions) -> bool {
    let stands_for_it = |(own, known): &(String, String)| known == name && own != name;
    let mut mapped = options.w3c_map_fields.iter().filter(|pair| stands_for_it(pair));
    mapped.any(|(own, _)| names.split_whitespace().any(|other| other == own))
}

fn known(name: &str, columns: Columns, options: &FormatOptions) -> Option<&'static Column> {
    let milliseconds = options.w3c_time_taken_millisecs && name == TIME_TAKEN_MILLISECONDS.name;
    let column = columns.find(name)?;
    Some(if milliseconds { &TIME_TAKEN_MILLISECONDS } else { column })
}

/// The pattern of a line: columns with white space between them.
fn joined(patterns: &[&str]) -> String {
    let columns: Vec<String> = patterns.iter().map(|pattern| format!("(?:{pattern})")).collect();
    // The reference sees the line's end as white space, so an empty last column needs nothing in front of it.
    match columns.split_last() {
        Some((last, rest)) if !rest.is_empty() && may_be_empty(last) => {
            format!(r"{}(?:\s+{last}|\z)", rest.join(r"\s+"))
        }
        _ => columns.join(r"\s+"),
    }
}

fn may_be_empty(pattern: &str) -> bool {
    regex::Regex::new(&format!(r"\A{pattern}\z")).is_ok_and(|column| column.is_match(""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::Date;
    use super::super::super::record::Record;
    use super::super::super::record::tests::json_takes_it;
    use super::super::column;
    use super::*;

    const NAMES: &str =
        "date time c-ip cs-method cs-uri-stem cs-uri-query sc-status sc-bytes time-taken cs(User-Agent)";
    const LINE: &str = "2024-06-05 08:00:00.5 192.0.2.1 GET /a x=1 200 100 1.5 UA/1";

    fn layout(names: &str) -> Layout {
        Layout::new(names, column::W3C_EXTENDED, &FormatOptions::default())
    }

    fn both_ways<'l>(layout: &mut Layout, line: &'l [u8]) -> (Option<Record<'l>>, Option<Record<'l>>) {
        let mut draft = Draft::default();
        let words = layout.read_words(line, &mut draft);
        let words = words.map(|()| draft.finish("".into()));
        assert!(words.as_ref().is_none_or(|record| !record.plain || json_takes_it(record)));
        // Only the short way looks whether it is plain.
        let words = words.map(|record| Record { plain: false, ..record });
        (words, layout.exact.read(line).map(|draft| draft.finish("".into())))
    }

    #[test]
    fn bare_words_take_the_short_way() {
        let (words, exact) = both_ways(&mut layout(NAMES), LINE.as_bytes());
        assert!(words.is_some());
        assert_eq!(words, exact);
    }

    #[test]
    fn only_a_line_that_json_takes_as_it_is_is_plain() {
        let mut layout = layout(NAMES);
        for (path, plain) in [("/a", true), ("/a\\", false), ("/\u{e9}", false), ("/%E9", true)] {
            let line = LINE.replace("/a", path);
            let mut draft = Draft::default();
            layout.read(line.as_bytes(), &mut draft).unwrap();
            assert_eq!(draft.record.plain, plain, "{line}");
        }
    }

    #[test]
    fn a_date_and_its_time_are_joined_by_a_blank_whatever_stood_between() {
        let mut layout = layout("date time c-ip cs-uri-stem sc-status");
        for line in ["2024-06-05 08:00:00 192.0.2.1 / 200", "2024-06-05\t08:00:00\t192.0.2.1\t/\t200"] {
            let mut draft = Draft::default();
            layout.read(line.as_bytes(), &mut draft).unwrap();
            let record = draft.finish(DATE_FORMAT.into());
            assert!(matches!(&record.date, Date::Pattern { date, .. } if **date == *b"2024-06-05 08:00:00"), "{line}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_read_once() {
        let mut draft = Draft::default();
        layout("date c-ip c-ip cs-uri-stem sc-status").read(b"2024-06-05 192.0.2.1 192.0.2.2 / 200", &mut draft);
        assert_eq!(&*draft.record.ip, b"192.0.2.1");
    }

    #[test]
    fn an_empty_last_column_may_be_missing() {
        let mut layout = layout("date time c-ip sc-status cs-uri-stem cs-uri-query");
        let mut draft = Draft::default();
        assert!(layout.read(b"2024-06-05 08:00:00 192.0.2.1 200 /a", &mut draft).is_some());
        assert!(layout.read(b"2024-06-05 08:00:00 192.0.2.1 200", &mut draft).is_none());
    }

    proptest! {
        #[test]
        fn what_the_short_way_accepts_the_pattern_reads_alike(
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, prop::sample::select(b" \t-.:/\"0a\x1c\xe9".to_vec())), 0..4)
        ) {
            let mut line = LINE.as_bytes().to_vec();
            for (at, kind, byte) in edits {
                let at = at.index(line.len());
                match kind {
                    0 => line.insert(at, byte),
                    1 => line[at] = byte,
                    _ => drop(line.remove(at)),
                }
            }
            let mut layout = layout(NAMES);
            let (words, exact) = both_ways(&mut layout, &line);
            if let Some(words) = words {
                prop_assert_eq!(Some(words), exact);
            }
        }
    }
}
