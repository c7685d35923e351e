//! What old images did at their start, on demand and with less force: plugins and configuration that are mounted beside
//! the sources are linked into them. No file is copied, no owner and no mode is changed.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What became of one mounted entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linked {
    /// It is linked now.
    New(PathBuf),
    /// It was linked before.
    Before(PathBuf),
    /// Something else has its name; it stays.
    InTheWay(PathBuf),
}

/// Links every entry of the mounted folder into Matomo's folder; a folder that is not mounted is no entry.
///
/// # Errors
/// When a folder cannot be listed or a link cannot be made; the path says which.
pub fn link(mounted: &Path, into: &Path) -> Result<Vec<Linked>, (PathBuf, io::Error)> {
    let entries = match fs::read_dir(mounted) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| (mounted.to_owned(), error))?,
    };
    let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    entries
        .iter()
        .filter_map(|entry| Some((entry, into.join(entry.file_name()?))))
        .map(|(entry, link)| one(entry, link))
        .collect()
}

fn one(entry: &Path, link: PathBuf) -> Result<Linked, (PathBuf, io::Error)> {
    match symlink(entry, &link) {
        Ok(()) => Ok(Linked::New(link)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let ours = fs::read_link(&link).is_ok_and(|target| target == entry);
            Ok(if ours { Linked::Before(link) } else { Linked::InTheWay(link) })
        }
        Err(error) => Err((link, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_entries_are_linked_once_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (mounted, into) = (folder.path().join("plugins"), folder.path().join("matomo"));
        assert_eq!(link(&mounted, &into).unwrap(), [], "nothing is mounted");
        fs::create_dir_all(mounted.join("New")).unwrap();
        fs::create_dir_all(mounted.join("Shipped")).unwrap();
        fs::create_dir_all(into.join("Shipped")).unwrap();
        let (new, shipped) = (into.join("New"), into.join("Shipped"));
        assert_eq!(link(&mounted, &into).unwrap(), [Linked::New(new.clone()), Linked::InTheWay(shipped.clone())]);
        assert_eq!(link(&mounted, &into).unwrap(), [Linked::Before(new.clone()), Linked::InTheWay(shipped)]);
        assert!(new.is_dir());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        let (path, _) = link(folder.path(), Path::new("/proc/self/net")).unwrap_err();
        assert!(path.starts_with("/proc/self/net"));
    }
}
