//! What the journal says, one record a line. The names are part of the file format.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::offsets::Offsets;
use super::spans::Spans;
use crate::discover::{Head, SiteId};
use crate::file::{Hash, Proof};
pub use crate::id::{FileId, IntentId, JournalId, Mark};

/// The version this program writes. It reads version 1 too, whose contents were known by their first 64 KiB.
pub const VERSION: u32 = 2;

/// Lines of one file within a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file.
    pub file: FileId,
    /// Where its lines begin.
    pub lines: Offsets,
    /// What is proven of the file: it reaches behind all of these lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// "These lines leave now": durable before the batch is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its number.
    pub intent: IntentId,
    /// Its visitor id on the ledger site.
    pub mark: Mark,
    /// The Matomo site that its marks went to; without one nobody can ask for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_site: Option<SiteId>,
    /// How many marks it carried: one at its end (version 1), or one first and one last. With two, each hit has a `pv_id` of
    /// its own, see [`Mark::page_view`].
    #[serde(default = "one")]
    pub marks: u8,
    /// When it was about to be sent, milliseconds since 1970.
    pub sent_ms: i64,
    /// The lines of each file.
    pub parts: Vec<Part>,
    /// Date of the newest hit, seconds since 1970.
    pub newest: i64,
    /// Date of the oldest hit; not known in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<i64>,
    /// Days of the site that receive hits, today left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Date>,
    /// Days of the site and how many hits of the batch each receives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_day: Vec<(Date, u64)>,
}

fn one() -> u8 {
    1
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
    /// Where the lines stand that cannot be read.
    #[serde(default, skip_serializing_if = "Spans::is_empty")]
    pub unreadable: Spans,
}

/// A file as it was seen at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its content.
    pub file: FileId,
    /// Where.
    pub path: String,
    /// Bytes, as stored.
    pub size: u64,
    /// When its content last changed, nanoseconds since 1970.
    pub modified_ns: i64,
    /// When anything of it last changed; this and the next two are 0 in version 1.
    #[serde(default)]
    pub changed_ns: i64,
    /// Device.
    #[serde(default)]
    pub device: u64,
    /// Inode.
    #[serde(default)]
    pub inode: u64,
    /// What the content is searched by, see [`crate::discover::Head`].
    #[serde(default)]
    pub line_key: u64,
    /// The same.
    #[serde(default, skip_serializing_if = "is_none_known")]
    pub milestones: Box<[u64]>,
    /// How version 1 knew the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub print: Option<Print>,
}

fn is_none_known(milestones: &[u64]) -> bool {
    milestones.is_empty()
}

/// How version 1 knew a content: by the hash of its first bytes, 64 KiB at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// How many bytes were hashed.
    pub bytes: u32,
    /// Hash of the first line.
    pub first_line: u64,
    /// Hash of all `bytes`.
    #[serde(with = "hex")]
    pub hash: u128,
}

impl Print {
    /// Of a content that somebody else imported.
    pub fn of(head: &Head) -> Self {
        let proof = head.proof();
        Self { bytes: proof.at as u32, first_line: head.line_key(), hash: proof.hash.into() }
    }

    /// The same as a proof: the first block is hashed as it is.
    pub fn proof(&self) -> Proof {
        Proof { at: u64::from(self.bytes), hash: self.hash.into(), block: Hash::default() }
    }
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// First line of every journal, and where a newer version goes on with an older one.
    Opened {
        version: u32,
        site: SiteId,
        #[serde(default)]
        journal: JournalId,
    },
    /// A file was seen at a path, for the first time or changed.
    Seen(Seen),
    /// What was seen of a content of which nothing was booked is forgotten.
    Unseen { file: FileId },
    /// A person decided what is known of a site whose ledger was gone; no mark tells of it.
    Adopted { at_ms: i64 },
    /// A batch leaves.
    Intent(Intent),
    /// A batch arrived.
    Receipt { intent: IntentId, receipt: Receipt },
    /// Of a batch these lines did not arrive and may be sent again; all others arrived.
    Partial { intent: IntentId, missing: Vec<Part> },
    /// A batch certainly did not arrive: its lines may be sent again.
    Undone { intent: IntentId, why: String },
    /// Nobody can tell whether a batch arrived: its lines wait for a person.
    Withheld { intent: IntentId, why: String },
    /// A person decided about withheld lines: send them again, or leave it.
    Decided { intent: IntentId, resend: bool },
    /// A batch that had arrived, as known when the journal was last rewritten: should Matomo's database go back to an earlier
    /// state, its lines can be sent again.
    Sent(Intent),
    /// Matomo lost a batch that had arrived: its lines may be sent again.
    Lost { intent: IntentId },
    /// Matomo knows this journal: its first batch announced it.
    Announced,
    /// All lines before the offset are settled.
    Checkpoint { file: FileId, offset: u64 },
    /// A file was put away at the end of its site's turn; all lines before the offset are settled.
    PutAway {
        file: FileId,
        offset: u64,
        totals: Totals,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proof: Option<Proof>,
    },
    /// A file was read to its end at this path. `cut`: its last line had no terminator and was taken as it was. `rest`: there
    /// is something behind the offset that waits, such as a line without its end.
    Finished {
        file: FileId,
        path: String,
        offset: u64,
        cut: bool,
        totals: Totals,
        at_ms: i64,
        #[serde(default)]
        newest: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begins: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proof: Option<Proof>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rest: bool,
    },
    /// An attempt at a file failed through the file's own fault.
    Failed { file: FileId, why: String, at_ms: i64 },
    /// A file is given up and waits for a person.
    Quarantined { file: FileId, why: String, at_ms: i64 },
    /// A person gave a file another chance.
    Released { file: FileId },
    /// A file went away before all of it was read; this many bytes were left.
    Vanished { file: FileId, bytes: u64 },
    /// A person wants lines of a file sent again: these, or all of them.
    Again {
        file: FileId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lines: Option<Spans>,
    },
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
    /// Version 1: went into its marks.
    Salted { salt: u64 },
    /// The number that the next batch gets, as known when the journal was last rewritten.
    Next { intent: IntentId },
    /// Days whose reports waited for invalidation when the journal was last rewritten.
    Days { days: Vec<Date> },
    /// A file's standing when the journal was last rewritten.
    Kept {
        file: FileId,
        finished: bool,
        cut: bool,
        hits: u64,
        lines: u64,
        #[serde(default)]
        holes: Offsets,
        #[serde(default, skip_serializing_if = "Spans::is_empty")]
        again: Spans,
        #[serde(default, skip_serializing_if = "Spans::is_empty")]
        unreadable: Spans,
        #[serde(default)]
        unreadable_lines: u64,
        done: Vec<String>,
        at_ms: i64,
        #[serde(default)]
        newest: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begins: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proof: Option<Proof>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        believed: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        vanished: bool,
    },
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{hash:032x}"))
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<u128, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
