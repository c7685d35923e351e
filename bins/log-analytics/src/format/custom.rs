//! The format an operator asks for: one of ours by name, or a pattern of their own.

use std::borrow::Cow;
use std::sync::Arc;

use super::field::Field;
use super::json::Mapped;
use super::pattern::Pattern;
use super::strptime;
use super::template::{self, TemplateError};
use super::{Chosen, FORMATS, Fit, FormatOptions, LineParser, LogFormat, Malformed, Parsed};

/// The date format of `--log-format-regex` when `--log-date-format` says nothing.
const DATE_FORMAT: &str = "%d/%b/%Y:%H:%M:%S";
/// A hit needs these fields, so the pattern has to have groups of these names.
const REQUIRED: [(&str, Field); 4] =
    [("date", Field::Date), ("path", Field::Path), ("ip", Field::Ip), ("status", Field::Status)];

/// The format options cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// `--log-format-name` names nothing we know.
    #[error("there is no log format named {name:?}; the formats are: {}", names())]
    UnknownName {
        /// The name as given.
        name: String,
    },
    /// `--log-format-regex` is no pattern.
    #[error("the log format regex cannot be read: {regex}")]
    Regex {
        /// The pattern as given.
        regex: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// `--log-format-regex` leaves out a field that every hit needs.
    #[error("the log format regex has no group (?P<{group}>...): {regex}")]
    MissingGroup {
        /// The pattern as given.
        regex: String,
        /// The name of the first missing group.
        group: &'static str,
    },
    /// `--log-format` cannot be read back from a log.
    #[error("--log-format={template} cannot be used")]
    Template {
        /// The format as given.
        template: String,
        /// Why.
        source: TemplateError,
    },
    /// A format of the operator's own leaves out a field that every hit needs.
    #[error("{option} names no {field}, and every hit needs one")]
    MissingField {
        /// The option.
        option: &'static str,
        /// The field.
        field: &'static str,
    },
    /// `--log-date-format` says the same thing twice.
    #[error("--log-date-format={date_format} has %{directive} twice")]
    RepeatedDirective {
        /// The format as given.
        date_format: String,
        /// The letter behind the `%`.
        directive: char,
    },
    /// `--log-date-format` says something that is not known.
    #[error("--log-date-format={date_format} has %{directive}, which is none of {}", strptime::KNOWN)]
    UnknownDirective {
        /// The format as given.
        date_format: String,
        /// What stands behind the `%`.
        directive: String,
    },
    /// A pattern of `--w3c-field-regex` is none, or names no group.
    #[error("the pattern of the W3C field {field:?} is no pattern with a group (?P<name>...): {regex}")]
    W3cFieldRegex {
        /// The field's name.
        field: String,
        /// The pattern as given.
        regex: String,
        /// What is wrong with it; nothing if it only lacks a named group.
        source: Option<Box<regex::Error>>,
    },
}

fn names() -> String {
    FORMATS.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ")
}

/// A format the operator chose, checked once; every file gets a parser of its own.
#[derive(Clone)]
pub struct Choice(Wish);

#[derive(Clone)]
enum Wish {
    Format { format: &'static dyn LogFormat, options: FormatOptions },
    Regex { pattern: Pattern, date_format: Arc<str> },
    Json(Mapped),
}

/// The format the options ask for; `None` means that it has to be detected for every file.
/// Also checks the options that only detection uses.
///
/// # Errors
/// An unknown name, a pattern that cannot be read, a pattern without a required group.
pub fn named(options: &FormatOptions) -> Result<Option<Choice>, FormatError> {
    if let Some(template) = &options.template {
        return template_choice(template).map(Some);
    }
    check_date_format(options.date_format.as_deref())?;
    if !options.json_fields.is_empty() {
        let mapped = Mapped::new(&options.json_fields, options.date_format.as_deref());
        needed("--json-fields", |field| mapped.has(field))?;
        return Ok(Some(Choice(Wish::Json(mapped))));
    }
    if let Some(regex) = &options.regex {
        return regex_choice(regex, options).map(Some);
    }
    super::w3c::check(options)?;
    let Some(name) = &options.name else {
        return Ok(None);
    };
    let format = FORMATS.iter().find(|format| format.name() == name);
    let format = *format.ok_or_else(|| FormatError::UnknownName { name: name.clone() })?;
    Ok(Some(Choice(Wish::Format { format, options: options.clone() })))
}

fn check_date_format(date_format: Option<&str>) -> Result<(), FormatError> {
    let Some(format) = date_format else { return Ok(()) };
    let date_format = || format.to_owned();
    if let Some(directive) = strptime::unknown(format) {
        return Err(FormatError::UnknownDirective { date_format: date_format(), directive });
    }
    match strptime::repeated(format) {
        Some(directive) => Err(FormatError::RepeatedDirective { date_format: date_format(), directive }),
        None => Ok(()),
    }
}

fn template_choice(template: &str) -> Result<Choice, FormatError> {
    let failed = |source| FormatError::Template { template: template.to_owned(), source };
    let template::Compiled { regex, date_format } = template::compile(template).map_err(failed)?;
    let pattern = Pattern::new(&regex).map_err(|source| FormatError::Regex { regex, source: Box::new(source) })?;
    needed("--log-format", |field| pattern.has(field))?;
    Ok(Choice(Wish::Regex { pattern, date_format: date_format.into() }))
}

fn needed(option: &'static str, has: impl Fn(&Field) -> bool) -> Result<(), FormatError> {
    match REQUIRED.iter().find(|(_, field)| !has(field)) {
        Some((field, _)) => Err(FormatError::MissingField { option, field }),
        None => Ok(()),
    }
}

fn regex_choice(regex: &str, options: &FormatOptions) -> Result<Choice, FormatError> {
    let pattern = Pattern::new(regex)
        .map_err(|source| FormatError::Regex { regex: regex.to_owned(), source: Box::new(source) })?;
    if let Some((group, _)) = REQUIRED.iter().find(|(_, field)| !pattern.has(field)) {
        return Err(FormatError::MissingGroup { regex: regex.to_owned(), group });
    }
    let date_format = options.date_format.as_deref().unwrap_or(DATE_FORMAT).into();
    Ok(Choice(Wish::Regex { pattern, date_format }))
}

impl Choice {
    /// The format's name; `custom` for a pattern of the operator's own.
    pub fn name(&self) -> &'static str {
        match &self.0 {
            Wish::Format { format, .. } => format.name(),
            Wish::Regex { .. } => "custom",
            Wish::Json(_) => "custom_json",
        }
    }

    /// A parser for one file.
    pub fn parser(&self) -> Box<dyn LineParser + Send> {
        match &self.0 {
            Wish::Format { format, options } => format.parser(options, Chosen::ByName),
            Wish::Regex { pattern, date_format } => {
                Box::new(RegexLines { pattern: pattern.clone(), date_format: Arc::clone(date_format) })
            }
            Wish::Json(mapped) => Box::new(mapped.clone()),
        }
    }
}

/// Lines in a pattern of the operator's own.
struct RegexLines {
    pattern: Pattern,
    date_format: Arc<str>,
}

impl LineParser for RegexLines {
    fn parse<'l>(&mut self, line: &'l [u8]) -> Parsed<'l> {
        match self.pattern.read(line) {
            Some(draft) => Parsed::Record(draft.finish(Cow::Owned(self.date_format.to_string()))),
            None => Parsed::Malformed(Malformed::of(line)),
        }
    }

    fn carries_host(&self) -> bool {
        self.pattern.has(&Field::Host)
    }

    fn fit(&mut self, line: &[u8], rival: usize) -> Option<Fit> {
        let groups = self.pattern.groups();
        (groups > rival && self.pattern.read(line).is_some()).then_some(Fit::Groups(groups))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Date, Record};
    use super::*;

    fn with_regex(regex: &str) -> FormatOptions {
        FormatOptions { regex: Some(regex.to_owned()), ..FormatOptions::default() }
    }

    #[test]
    fn nothing_asked_for_means_detection() {
        assert!(named(&FormatOptions::default()).unwrap().is_none());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let options = FormatOptions { name: Some("apache".to_owned()), ..FormatOptions::default() };
        let error = named(&options).err().unwrap().to_string();
        assert!(error.contains("\"apache\"") && error.contains("ncsa_extended") && error.contains("ovh"), "{error}");
    }

    #[test]
    fn a_pattern_that_cannot_work_is_refused_before_the_first_line() {
        let error = named(&with_regex("(?P<ip>")).err().unwrap();
        assert!(matches!(error, FormatError::Regex { .. }), "{error}");
        let error = named(&with_regex(r"(?P<ip>\S+) (?P<date>\S+) (?P<path>\S+)")).err().unwrap();
        assert!(matches!(error, FormatError::MissingGroup { group: "status", .. }), "{error}");
    }

    #[test]
    fn a_date_format_that_says_the_same_twice_is_refused() {
        let regex = r"(?P<ip>\S+) (?P<path>\S+) (?P<status>\S+) (?P<date>.+)";
        for fields in
            [vec![], ["ip", "path", "status", "date"].map(|field| (field.to_owned(), field.to_owned())).into()]
        {
            let options =
                FormatOptions { date_format: Some("%d".repeat(40)), json_fields: fields, ..with_regex(regex) };
            let error = named(&options).err().unwrap();
            assert!(matches!(error, FormatError::RepeatedDirective { directive: 'd', .. }), "{error}");
        }
    }

    #[test]
    fn named_groups_become_fields_and_unknown_names_extras() {
        let regex = r"(?P<ip>\S+) (?P<date>\S+) (?P<path>\S+)\s(?P<status>\d+)(?: (?P<length>\d+))? (?P<color>\S+)";
        let choice = named(&with_regex(regex)).unwrap().unwrap();
        let mut parser = choice.parser();
        assert!(!parser.carries_host());
        let expected = Record {
            ip: b"192.0.2.1".into(),
            date: Date::Pattern { pattern: DATE_FORMAT.into(), date: b"d".into(), zone: None },
            path: b"/\xFF".into(),
            status: b"200".into(),
            extra: vec![("color".into(), b"r\xE9d".into())],
            ..Record::default()
        };
        assert_eq!(parser.parse(b"192.0.2.1 d /\xFF\x1C200 r\xE9d"), Parsed::Record(expected));
        assert_eq!(parser.parse(b" 192.0.2.1"), Parsed::Malformed(Malformed::Shape));
        assert_eq!(parser.parse(b"  "), Parsed::Malformed(Malformed::Blank));
    }
}
