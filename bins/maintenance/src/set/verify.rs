//! Is a set what it says it is? Every byte is read again: hashes, compression, the end of the dump, its rows.

use std::path::Path;

use serde::Serialize;
use shared::shutdown::Shutdown;

use super::error::SetError;
use super::manifest::{Content, Member};
use super::pack::{Digest, digest_of, unpack};
use super::shelf::Set;
use crate::database::DumpScan;

/// A set that was read to its last byte and found whole.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// Its name.
    pub set: String,
    /// How many members were read.
    pub members: usize,
    /// Bytes of all members.
    pub bytes: u64,
    /// Tables in the dump.
    pub tables: usize,
    /// Rows in the dump.
    pub rows: u64,
}

/// Reads all of a set, and names the first member that is not as it should be.
///
/// # Errors
/// When a member is missing, altered or cut off, or the dump is not what the manifest says.
pub fn verify(set: &Set, shutdown: &Shutdown) -> Result<Verified, SetError> {
    for member in &set.manifest.members {
        verify_member(set, member, shutdown)?;
    }
    let dump = set.manifest.member(Content::Database);
    let config = set.manifest.member(Content::Config);
    if dump.is_none() || config.is_none() {
        return Err(damaged(set, "it has no database or no configuration".to_owned()));
    }
    Ok(Verified {
        set: set.name.clone(),
        members: set.manifest.members.len(),
        bytes: set.manifest.bytes(),
        tables: set.manifest.database.tables.len(),
        rows: set.manifest.rows(),
    })
}

fn verify_member(set: &Set, member: &Member, shutdown: &Shutdown) -> Result<(), SetError> {
    let path = set.path(member);
    let named = |what: String| damaged(set, format!("{}: {what}", member.name));
    match member.content {
        Content::Config => {
            let digest = digest_of(&path).map_err(|error| named(error.to_string()))?;
            compare(&digest, member.bytes, &member.sha256).map_err(named)
        }
        Content::Database => verify_packed(&path, member, shutdown, named, Some(set)),
        Content::Plugins | Content::Files => verify_packed(&path, member, shutdown, named, None),
    }
}

fn verify_packed(
    path: &Path,
    member: &Member,
    shutdown: &Shutdown,
    named: impl Fn(String) -> SetError,
    dump_of: Option<&Set>,
) -> Result<(), SetError> {
    let mut scan = DumpScan::default();
    let unpacked = unpack(path, |bytes| {
        if dump_of.is_some() {
            scan.feed(bytes);
        }
        !shutdown.requested()
    });
    let unpacked =
        unpacked.map_err(|error| named(format!("it cannot be decompressed: {error}")))?.ok_or(SetError::Stopped)?;
    compare(&unpacked.file, member.bytes, &member.sha256).map_err(&named)?;
    compare(&unpacked.plain, member.plain_bytes, &member.plain_sha256).map_err(&named)?;
    let Some(set) = dump_of else { return Ok(()) };
    let scanned = scan.finish().map_err(|fault| named(fault.to_string()))?;
    if scanned.tables != set.manifest.database.tables {
        return Err(named("its tables and rows are not those of the manifest".to_owned()));
    }
    Ok(())
}

fn compare(found: &Digest, bytes: u64, sha256: &str) -> Result<(), String> {
    if found.bytes != bytes {
        return Err(format!("{} bytes instead of {bytes}", found.bytes));
    }
    if found.sha256 != sha256 { Err("its SHA-256 is another one".to_owned()) } else { Ok(()) }
}

fn damaged(set: &Set, what: String) -> SetError {
    SetError::Damaged { set: set.name.clone(), what }
}
