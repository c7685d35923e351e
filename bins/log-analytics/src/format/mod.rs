//! Stage 3: a line becomes a record. Touches no file, no network and no clock, and cannot fail.

pub mod record;
mod time;

pub use record::{Date, Event, GenerationTime, Moment, Record, Text};

/// Which format to read, in the words of the reference importer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormatOptions {
    /// `--log-format-name`.
    pub name: Option<String>,
    /// `--log-format-regex`.
    pub regex: Option<String>,
    /// `--log-date-format`, used only with `regex`.
    pub date_format: Option<String>,
    /// `--w3c-fields`: the `#Fields:` line for files without one.
    pub w3c_fields: Option<String>,
    /// `--w3c-map-field`: own name, known name.
    pub w3c_map_fields: Vec<(String, String)>,
    /// `--w3c-field-regex`: field, regex.
    pub w3c_field_regexes: Vec<(String, String)>,
    /// `--w3c-time-taken-millisecs`.
    pub w3c_time_taken_millisecs: bool,
}

/// What a line turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'l> {
    /// A request.
    Record(Record<'l>),
    /// Not a request; counted as invalid.
    Malformed(Malformed),
    /// A header that an explicitly named format consumes without counting it.
    Header,
}

/// Why a line is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Nothing on it.
    Blank,
    /// Does not have the shape of the file's format.
    Shape,
    /// JSON, but not an object with the fields of the format.
    Json,
}
