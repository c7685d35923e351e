//! Who owns the queue: another image knew Postfix by another number, and Postfix dies without a word over it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown, lchown};
use std::path::{Path, PathBuf};

use shared::process::User;

/// Folders of the queue that belong to Postfix, with all that is in them.
const OWNED: [&str; 13] = [
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "private", "public",
    "saved", "trace",
];
/// Folders whose group may hand in mail.
const SHARED: [&str; 2] = ["maildrop", "public"];

/// The queue or the data folder cannot be used or repaired.
#[derive(Debug, thiserror::Error)]
pub enum OwnershipError {
    /// A name is missing in `/etc/passwd` or `/etc/group`.
    #[error("this image knows no {kind} {name}")]
    Unknown {
        /// User or group.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// The system refuses.
    #[error("cannot {action} {}", path.display())]
    Refused {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The numbers by which this image knows Postfix.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    uid: u32,
    gid: u32,
    shared_gid: u32,
}

impl Owner {
    /// Looks them up.
    ///
    /// # Errors
    /// When Postfix is not installed.
    pub fn of_image() -> Result<Self, OwnershipError> {
        let user = User::from_name("postfix").ok_or(OwnershipError::Unknown { kind: "user", name: "postfix" })?;
        let shared_gid = gid_of("postdrop").ok_or(OwnershipError::Unknown { kind: "group", name: "postdrop" })?;
        Ok(Self { uid: user.uid, gid: user.gid, shared_gid })
    }
}

fn gid_of(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// Makes the folder if it is missing, and gives it to Postfix if it is somebody else's.
///
/// # Errors
/// When the system refuses.
pub fn give_data_folder(folder: &Path, owner: Owner) -> Result<bool, OwnershipError> {
    make(folder)?;
    let given = give(folder, owner.uid, owner.gid)?;
    for entry in entries(folder)? {
        give(&entry, owner.uid, owner.gid)?;
    }
    Ok(given)
}

/// Makes the folder of the queue if it is missing, and gives back to Postfix what is somebody else's: the numbers of
/// owners whose files were found. Walks through the queue only when one of its folders is not Postfix's.
///
/// # Errors
/// When the system refuses.
pub fn give_queue(queue: &Path, owner: Owner) -> Result<Vec<u32>, OwnershipError> {
    make(queue)?;
    let mut strangers = Vec::new();
    give_to_root(queue, &mut strangers)?;
    give_to_root(&queue.join("pid"), &mut strangers)?;
    for name in OWNED {
        let folder = queue.join(name);
        match fs::symlink_metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(OwnershipError::Refused { action: "look at", path: folder, source }),
            Ok(found) if found.uid() == owner.uid && !holds_strangers(&folder, owner)? => {}
            Ok(found) => {
                strangers.push(found.uid());
                let gid = if SHARED.contains(&name) { owner.shared_gid } else { found.gid() };
                give_tree(&folder, owner.uid, gid)?;
            }
        }
    }
    strangers.retain(|uid| *uid != owner.uid);
    strangers.sort_unstable();
    strangers.dedup();
    Ok(strangers)
}

/// One look at the first level: a queue is foreign as a whole or not at all.
fn holds_strangers(folder: &Path, owner: Owner) -> Result<bool, OwnershipError> {
    let strange =
        |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.uid() != owner.uid && found.uid() != 0);
    Ok(entries(folder)?.iter().any(strange))
}

/// Postfix demands that root owns what it must not change itself.
fn give_to_root(path: &Path, strangers: &mut Vec<u32>) -> Result<(), OwnershipError> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if found.uid() != 0 {
        strangers.push(found.uid());
        give(path, 0, 0)?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), OwnershipError> {
    fs::create_dir_all(folder).map_err(|source| OwnershipError::Refused {
        action: "make",
        path: folder.to_owned(),
        source,
    })
}

fn give(path: &Path, uid: u32, gid: u32) -> Result<bool, OwnershipError> {
    let refused = |action| move |source| OwnershipError::Refused { action, path: path.to_owned(), source };
    let found = fs::symlink_metadata(path).map_err(refused("look at"))?;
    if found.uid() == uid {
        return Ok(false);
    }
    let changed =
        if found.is_symlink() { lchown(path, Some(uid), Some(gid)) } else { chown(path, Some(uid), Some(gid)) };
    changed.map(|()| true).map_err(refused("change the owner of"))
}

fn give_tree(path: &Path, uid: u32, gid: u32) -> Result<(), OwnershipError> {
    let refused = |source| OwnershipError::Refused { action: "change the owner of", path: path.to_owned(), source };
    lchown(path, Some(uid), Some(gid)).map_err(refused)?;
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        for entry in entries(path)? {
            give_tree(&entry, uid, gid)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, OwnershipError> {
    let refused = |source| OwnershipError::Refused { action: "list", path: folder.to_owned(), source };
    fs::read_dir(folder).map_err(refused)?.map(|entry| entry.map(|entry| entry.path()).map_err(refused)).collect()
}
