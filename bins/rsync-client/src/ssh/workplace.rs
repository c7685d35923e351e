//! Where we write what ssh needs: beside the keys, or in a folder of our own where those lie on a read-only mount.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A folder that cannot be made or used.
pub(super) type Failed = (PathBuf, io::Error);

/// Our folder below `SSH_DIR`; where nothing can be written there, one among the temporary files that only we may use.
pub(super) fn workplace(ssh_folder: &Path) -> Result<PathBuf, Failed> {
    let beside = ssh_folder.join("rsync-client");
    let Err(error) = try_out(&beside) else { return Ok(beside) };
    let owner = fs::metadata("/proc/self").map(|found| found.uid()).unwrap_or_default();
    let elsewhere = std::env::temp_dir().join(format!("rsync-client-{owner}"));
    match DirBuilder::new().mode(0o700).create(&elsewhere) {
        // The first reason is the one to tell.
        Err(other) if other.kind() != io::ErrorKind::AlreadyExists => return Err((beside, error)),
        _ => {}
    }
    let ours = fs::symlink_metadata(&elsewhere).is_ok_and(|found| found.is_dir() && found.uid() == owner);
    if !ours {
        let why = "it belongs to somebody else";
        return Err((elsewhere, io::Error::new(io::ErrorKind::PermissionDenied, why)));
    }
    let failed = |error| (elsewhere.clone(), error);
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o700))
        .and_then(|()| try_out(&elsewhere))
        .map_err(failed)?;
    Ok(elsewhere)
}

fn try_out(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = folder.join(format!(".try.{}", std::process::id()));
    fs::write(&file, "").and_then(|()| fs::remove_file(&file))
}
