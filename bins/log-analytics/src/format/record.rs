//! A parsed request, in no particular format.

use std::borrow::Cow;

/// Text of a field as it stands in the line; it need not be valid UTF-8.
pub type Text<'l> = Cow<'l, [u8]>;

/// One request as a line tells it. Fields a format does not have are `None` or empty;
/// nothing is decoded, cut or judged here. Source of the meanings: the reference importer's named groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record<'l> {
    /// Client address, as in the log.
    pub ip: Text<'l>,
    /// When it happened; parsed only once the line has passed the filters.
    pub date: Date<'l>,
    /// Path, with its query when the format has no column of its own for the query.
    pub path: Text<'l>,
    /// The format's own query column.
    pub query: Option<Text<'l>>,
    /// HTTP status as text.
    pub status: Text<'l>,
    /// Bytes sent, as text (`-` when unknown).
    pub length: Option<Text<'l>>,
    /// Referrer, quotes included when the format left them.
    pub referrer: Option<Text<'l>>,
    /// User agent, quotes included when the format left them.
    pub user_agent: Option<Text<'l>>,
    /// Host (virtual host) the request was for.
    pub host: Option<Text<'l>>,
    /// Authenticated user.
    pub userid: Option<Text<'l>>,
    /// HTTP method.
    pub method: Option<Text<'l>>,
    /// Time the server took.
    pub generation_time: Option<GenerationTime<'l>>,
    /// Event of a streaming server.
    pub event: Option<Box<Event<'l>>>,
    /// Every other named field, for custom variables.
    pub extra: Vec<(Cow<'l, str>, Text<'l>)>,
    /// JSON takes address, host, path, query, status and referrer as they are: printable ASCII without quote and backslash.
    /// False also where nobody looked.
    pub plain: bool,
}

/// The moment of a request, in the shape its format writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Date<'l> {
    /// `dd/Mon/yyyy:hh:mm:ss` and a zone such as `+0200`, apart.
    Clf {
        /// The date without its zone.
        date: Text<'l>,
        /// The zone's text.
        zone: Text<'l>,
    },
    /// A date in a strptime pattern; no zone means UTC.
    Pattern {
        /// strptime pattern, as the reference's formats name it.
        pattern: Cow<'l, str>,
        /// The date's text.
        date: Text<'l>,
        /// The zone's text, where the format has one.
        zone: Option<Text<'l>>,
    },
    /// Seconds and microseconds since 1970-01-01 UTC.
    Unix {
        /// Whole seconds.
        seconds: i64,
        /// Microseconds below the second.
        micros: u32,
    },
}

impl Default for Date<'_> {
    fn default() -> Self {
        Self::Unix { seconds: 0, micros: 0 }
    }
}

/// Time the server took, with the unit of the field it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GenerationTime<'l> {
    /// Milliseconds.
    Milli(Text<'l>),
    /// Microseconds.
    Micro(Text<'l>),
    /// Seconds.
    Seconds(Text<'l>),
}

/// Event fields (CloudFront RTMP).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event<'l> {
    /// Category.
    pub category: Text<'l>,
    /// Action.
    pub action: Text<'l>,
    /// Name.
    pub name: Text<'l>,
}

/// A moment in UTC: seconds since 1970-01-01 and microseconds below the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment {
    /// Whole seconds.
    pub seconds: i64,
    /// Microseconds, 0..1_000_000.
    pub micros: u32,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Whether what [`Record::plain`] says is true.
    pub fn json_takes_it(record: &Record<'_>) -> bool {
        let plain = |byte: &u8| matches!(byte, b' '..=b'\x7f') && !matches!(byte, b'"' | b'\\');
        let others = [&record.host, &record.query, &record.referrer].map(|text| text.as_deref().unwrap_or_default());
        [&*record.ip, &*record.path, &*record.status].iter().chain(&others).all(|text| text.iter().all(plain))
    }
}
