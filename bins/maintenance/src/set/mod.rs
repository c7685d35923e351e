//! A backup set: one folder that holds configuration, plugins, files and database of one moment, bound by a manifest.

mod archive;
mod error;
mod manifest;
mod member;
mod pack;
mod retention;
mod seal;
mod shelf;
mod verify;

pub use archive::{Entry, Kind as EntryKind, Refusal, inspect, judge as judge_entry};
pub use error::SetError;
pub use manifest::{Content, DatabaseFacts, Kind, MANIFEST, Manifest, Member, Rehearsal, SUMS};
pub use member::{pack_program, pack_text, unpack_and_read, unpack_into};
pub use pack::{CHUNK_BYTES, Digest, Unpacked, unpack};
pub use retention::{Rule, Stored, to_remove};
pub use seal::{Seal, SealKey, Unsealed};
pub use shelf::{Draft, Set, Shelf};
pub use verify::{Verified, verify};
