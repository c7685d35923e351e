//! What the journal says, one record a line. The names are part of the file format.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::offsets::Offsets;
use crate::discover::{Fingerprint, SiteId};

/// The version this program writes; it reads this one only.
pub const VERSION: u32 = 1;

/// Number of a file within its site's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// Number of an intent within its site's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntentId(pub u64);

/// The hash of a batch, by which Matomo can be asked whether it arrived. Written as 16 hexadecimal digits,
/// the shape of a Matomo visitor id (`cid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u64);

/// Lines of one file within a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file.
    pub file: FileId,
    /// Where its lines begin.
    pub lines: Offsets,
}

/// "These lines leave now": durable before the batch is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its number.
    pub intent: IntentId,
    /// The batch's hash.
    pub mark: Mark,
    /// The Matomo site that the mark went to; without one nobody can ask for the mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_site: Option<SiteId>,
    /// When it was about to be sent, milliseconds since 1970.
    pub sent_ms: i64,
    /// The lines of each file.
    pub parts: Vec<Part>,
    /// Every hit carries this `pv_id`, so that Matomo can be asked for one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pv_id: Option<String>,
    /// Date of the newest hit, seconds since 1970.
    pub newest: i64,
    /// Days of the site that receive hits, today left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Date>,
    /// Days of the site and how many hits of the batch each receives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_day: Vec<(Date, u64)>,
}

impl Intent {
    /// How many hits it holds.
    pub fn hits(&self) -> usize {
        self.parts.iter().map(|part| part.lines.as_slice().len()).sum()
    }
}

/// What Matomo answered for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Receipt {
    /// Hits it took.
    pub tracked: u64,
    /// Hits it refused for good.
    #[serde(default)]
    pub invalid: u64,
    /// Hits it stored by half (a lock wait); they must not be sent again.
    #[serde(default)]
    pub short: u64,
    /// How long the answer took; 0 when it was found out later.
    #[serde(default)]
    pub took_ms: u64,
}

/// What one reading of a file amounted to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Lines read.
    pub lines: u64,
    /// Hits among them.
    pub hits: u64,
    /// Lines that are no request.
    #[serde(default)]
    pub invalid: u64,
    /// Lines left out on purpose, by reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub skipped: String,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// First line of every journal.
    Opened { version: u32, site: SiteId },
    /// A file was seen at a path, for the first time or changed.
    Seen { file: FileId, print: Fingerprint, path: String, size: u64, modified_ns: i64 },
    /// A batch leaves.
    Intent(Intent),
    /// A batch arrived.
    Receipt { intent: IntentId, receipt: Receipt },
    /// A batch certainly did not arrive: its lines may be sent again.
    Undone { intent: IntentId, why: String },
    /// Nobody can tell whether a batch arrived: its lines wait for a person.
    Withheld { intent: IntentId, why: String },
    /// A person decided about withheld lines: send them again, or leave it.
    Decided { intent: IntentId, resend: bool },
    /// All lines before the offset are settled.
    Checkpoint { file: FileId, offset: u64 },
    /// A file was put away at the end of its site's turn; all lines before the offset are settled.
    PutAway { file: FileId, offset: u64, totals: Totals },
    /// A file was read to its end at this path. `cut`: its last line had no terminator and was taken as it was.
    Finished {
        file: FileId,
        path: String,
        offset: u64,
        cut: bool,
        totals: Totals,
        at_ms: i64,
        #[serde(default)]
        newest: Option<i64>,
    },
    /// An attempt at a file failed through the file's own fault.
    Failed { file: FileId, why: String, at_ms: i64 },
    /// A file is given up and waits for a person.
    Quarantined { file: FileId, why: String, at_ms: i64 },
    /// A person gave a file another chance.
    Released { file: FileId },
    /// The state of the shell image was taken over: files noted as imported, and files given up.
    TookOver {
        at_ms: i64,
        #[serde(default)]
        imported: u64,
        #[serde(default)]
        given_up: u64,
    },
    /// A turn of the site ended: hits that arrived in it, and how long it took.
    Turn { at_ms: i64, hits: u64, took_ms: u64 },
    /// Hits by the day they are dated, as known when the journal was last rewritten.
    ByDay { days: Vec<(Date, u64)> },
    /// Reports of these days were invalidated.
    Invalidated { days: Vec<Date> },
    /// The slowest answer known when the journal was last rewritten.
    Slowest { ms: u64 },
    /// Marks made from here on differ from earlier ones, although the lines may be the same.
    Salted { salt: u64 },
    /// Days whose reports waited for invalidation when the journal was last rewritten.
    Days { days: Vec<Date> },
    /// A file's standing when the journal was last rewritten.
    Kept {
        file: FileId,
        finished: bool,
        cut: bool,
        hits: u64,
        lines: u64,
        holes: Offsets,
        done: Vec<String>,
        at_ms: i64,
        #[serde(default)]
        newest: Option<i64>,
    },
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'d> Deserialize<'d> for Mark {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(D::Error::custom)
    }
}
