//! `manifest.json`: what belongs to a set, and of what it is a copy. Written last, so a set without it is none.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::database::{Numbers, Tables};
use crate::place::Plugin;

/// Its file name.
pub const MANIFEST: &str = "manifest.json";
/// The file that `sha256sum --check` understands; it covers every member and the manifest.
pub const SUMS: &str = "SHA256SUMS";
/// Raised when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// Why a set was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// By a person or the schedule.
    Backup,
    /// By `restore`, of what it was about to replace.
    Safety,
    /// By `upgrade-guard`, of the version before.
    Upgrade,
}

/// What a member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// The dump of the database.
    Database,
    /// Matomo's configuration, as it is.
    Config,
    /// Plugins that do not come with Matomo.
    Plugins,
    /// The operator's files.
    Files,
}

/// A file of the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its file name.
    pub name: String,
    /// What it holds.
    pub content: Content,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Bytes of the content before compression.
    pub plain_bytes: u64,
    /// SHA-256 of the content before compression.
    pub plain_sha256: String,
}

/// What the dump is a copy of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// Name of the database.
    pub name: String,
    /// What the tables begin with.
    pub prefix: String,
    /// Version of the server.
    pub server: String,
    /// Version of the program that wrote the dump.
    pub client: String,
    /// Matomo's version as the database has it: the version of the schema.
    pub matomo: Option<String>,
    /// Rows of each table in the dump.
    pub tables: Tables,
    /// The highest number in the first column of each table in the dump, where it holds whole numbers.
    #[serde(default)]
    pub highest: Numbers,
    /// The server's own time when the dump was about to begin, in seconds since 1970.
    #[serde(default)]
    pub at: Option<i64>,
}

/// The whole set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's own format.
    pub format: u32,
    /// Version of the program that made the set.
    pub made_by: String,
    /// Why it was made.
    pub kind: Kind,
    /// Counts the sets of a folder, so that their order does not depend on the clock.
    pub sequence: u64,
    /// When the set was begun.
    pub began: Timestamp,
    /// When its last member was complete.
    pub ended: Timestamp,
    /// Version of Matomo's code.
    pub matomo: Option<String>,
    /// Whether tracking and user interface were switched off meanwhile.
    pub locked: bool,
    /// The database.
    pub database: DatabaseFacts,
    /// Plugins in the set.
    pub plugins: Vec<Plugin>,
    /// Plugins that came with the release, which the set does not hold.
    #[serde(default)]
    pub release_plugins: Vec<String>,
    /// Names of the keys in the configuration, by section; never a value.
    pub config_keys: BTreeMap<String, Vec<String>>,
    /// The files.
    pub members: Vec<Member>,
}

impl Manifest {
    /// The member of this kind.
    pub fn member(&self, content: Content) -> Option<&Member> {
        self.members.iter().find(|member| member.content == content)
    }

    /// Bytes of all members.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.bytes).sum()
    }

    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.database.tables.values().sum()
    }
}

/// What a rehearsal found; kept beside the members, and no part of the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// When it ended.
    pub at: Timestamp,
    /// Whether everything was equal.
    pub good: bool,
    /// What was compared, or what differed.
    pub found: String,
    /// How long the load took, in seconds.
    pub seconds: u64,
}
