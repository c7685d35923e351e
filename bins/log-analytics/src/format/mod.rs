//! Stage 3: a line becomes a record. Touches no file, no network and no clock, and cannot fail.
//!
//! [`FORMATS`] is the list of formats, one file per family. A parser is chosen once per file, either by the
//! operator ([`named`]) or by looking at the file's first lines ([`Detector`]), and then reads every line.

pub mod custom;
pub mod detect;
mod exact;
mod fast;
mod field;
mod json;
mod lines;
mod loose;
mod ncsa;
mod pattern;
mod readable;
pub mod record;
mod search;
mod strptime;
mod template;
mod time;
mod w3c;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod golden;

pub use custom::{Choice, FormatError, named};
pub use detect::{Detector, Found, NotFound};
pub use record::{Date, Event, GenerationTime, Moment, Record, Text};

/// Every format, in the order in which they are tried on a file. Yours goes here, and a sample of it in `golden/`.
/// `ovh` stands last: a line of it always looks like `ncsa_extended`, so it is never detected.
pub const FORMATS: &[&dyn LogFormat] = &[
    &ncsa::COMMON,
    &ncsa::COMMON_VHOST,
    &ncsa::NCSA_EXTENDED,
    &ncsa::COMMON_COMPLETE,
    &w3c::W3C_EXTENDED,
    &w3c::AMAZON_CLOUDFRONT,
    &w3c::INCAPSULA_W3C,
    &w3c::IIS,
    &w3c::SHOUTCAST,
    &lines::S3,
    &lines::ICECAST2,
    &lines::ELB,
    &json::TRAEFIK,
    &json::NGINX,
    &json::CADDY,
    &lines::HAPROXY,
    &lines::GANDI,
    &lines::OVH,
];

/// A log format.
pub trait LogFormat: Sync {
    /// Its name for `--log-format-name`.
    fn name(&self) -> &'static str;

    /// A parser for one file in this format. The options have been checked by [`named`].
    fn parser(&self, options: &FormatOptions, chosen: Chosen) -> Box<dyn LineParser + Send>;
}

/// How a format came to read a file. A W3C header is consumed when the operator named the format;
/// a detected format counts its lines as invalid, as the reference does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// With `--log-format-name`.
    ByName,
    /// By looking at the file.
    ByDetection,
}

/// Reads the lines of one file, in order.
pub trait LineParser {
    /// What a line says. The line comes without its terminator, the first one without a byte order mark.
    fn parse<'l>(&mut self, line: &'l [u8]) -> Parsed<'l>;

    /// Whether a line names the host it was for. A W3C file says so in its header: before that, no.
    fn carries_host(&self) -> bool;

    /// Whether the layout of a line stands in earlier lines of the file:
    /// a reader that resumes in mid-file has to show the parser the lines that start with `#` first.
    fn needs_header(&self) -> bool {
        false
    }

    /// Whether the header that lays out the lines is still to come: it is consumed and counted nowhere.
    fn awaits_header(&self) -> bool {
        false
    }

    /// How well a line fits, if it does and outweighs a rival match of so many groups.
    fn fit(&mut self, line: &[u8], rival: usize) -> Option<Fit>;
}

/// How a line fits a format, when formats are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It matches a pattern with so many capturing groups: more is better.
    Groups(usize),
    /// It is a JSON object with the format's keys: better than what was found before it.
    Keys,
}

/// Which format to read, in the words of the reference importer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormatOptions {
    /// `--log-format-name`.
    pub name: Option<String>,
    /// `--log-format-regex`; wins over `name`.
    pub regex: Option<String>,
    /// `--log-format`: a format as nginx or Apache write it; wins over all others.
    pub template: Option<String>,
    /// `--json-fields`: field, keys of the JSON object joined by dots; wins over `name` and `regex`.
    pub json_fields: Vec<(String, String)>,
    /// `--log-date-format`, used only with `regex` and `json_fields`.
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
#[expect(clippy::large_enum_variant, reason = "nearly every line is a record; a box would cost each an allocation")]
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
    /// Not JSON, or not an object with the fields of the format.
    Json,
    /// A `#` line, or a line before any `#Fields:` line has named the columns.
    NoColumns,
}

impl Malformed {
    /// The reason for a line that a pattern refused.
    fn of(line: &[u8]) -> Self {
        if line.trim_ascii().is_empty() { Self::Blank } else { Self::Shape }
    }
}
