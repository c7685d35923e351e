//! One line kept as an example of a reason.

use std::fmt;

/// Bytes of a line that are kept.
const SAMPLE_BYTES_MAX: usize = 200;

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the line in its file, from 1.
    pub line: u64,
    /// Offset of its first byte in the unpacked file.
    pub offset: u64,
}

/// A line, cut and escaped so that it can stand in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Where it stands.
    pub place: Place,
    /// Its beginning in printable ASCII.
    pub text: String,
}

impl Sample {
    pub(super) fn new(place: Place, line: &[u8]) -> Self {
        let kept = &line[..line.len().min(SAMPLE_BYTES_MAX)];
        let more = if kept.len() < line.len() { "..." } else { "" };
        Self { place, text: format!("{}{more}", kept.escape_ascii()) }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {} at byte {}: {}", self.place.line, self.place.offset, self.text)
    }
}
