//! What lies in the folders of the sites, to find out afterwards what a pass changed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use walkdir::{DirEntry, WalkDir};

/// Deeper trees are not logs.
const DEPTH_MAX: usize = 16;

/// A file as far as a change shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    modified_ns: i128,
    inode: u64,
}

/// The files of each site, by the name of its folder.
#[derive(Clone, Debug, Default)]
pub struct Listing(BTreeMap<String, BTreeMap<PathBuf, Seen>>);

/// What happened to the files of a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Files that are new or have another content.
    pub arrived: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are gone.
    pub gone: u64,
    /// When the newest file that arrived was written at its source.
    pub newest: Option<Timestamp>,
}

impl Listing {
    /// Lists the folders with a number for a name. Folders and files that cannot be read are left out: the importer
    /// says so better.
    pub fn of(logs: &Path) -> Self {
        let sites = std::fs::read_dir(logs).into_iter().flatten().filter_map(Result::ok);
        let sites = sites.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_site = name.parse::<u64>().is_ok();
            is_site.then(|| (name, files(&entry.path())))
        });
        Self(sites.collect())
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Seen> {
    // rsync writes to hidden names until a file is whole.
    let is_shown = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.');
    let entries = WalkDir::new(folder).max_depth(DEPTH_MAX).follow_root_links(true).into_iter();
    let entries = entries.filter_entry(is_shown).filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_file()).filter_map(|entry| {
        let found = entry.metadata().ok()?;
        let modified_ns = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
        Some((entry.into_path(), Seen { bytes: found.len(), modified_ns, inode: found.ino() }))
    });
    files.collect()
}

/// What changed from one listing to the next, for each site where something did.
pub fn changes(before: &Listing, after: &Listing) -> BTreeMap<String, Change> {
    let none = BTreeMap::new();
    let mut changes = BTreeMap::new();
    for site in before.0.keys().chain(after.0.keys()) {
        let (old, new) = (before.0.get(site).unwrap_or(&none), after.0.get(site).unwrap_or(&none));
        let change = change(old, new);
        if change != Change::default() {
            changes.insert(site.clone(), change);
        }
    }
    changes
}

fn change(old: &BTreeMap<PathBuf, Seen>, new: &BTreeMap<PathBuf, Seen>) -> Change {
    let arrived = || new.iter().filter(|(path, seen)| old.get(*path) != Some(*seen)).map(|(_, seen)| seen);
    let newest = arrived().map(|seen| seen.modified_ns).max();
    Change {
        arrived: arrived().count() as u64,
        bytes: arrived().map(|seen| seen.bytes).sum(),
        gone: old.keys().filter(|path| !new.contains_key(*path)).count() as u64,
        newest: newest.and_then(|ns| Timestamp::from_nanosecond(ns).ok()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_pass_is_seen_by_what_it_changed() {
        let logs = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = logs.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("4/a.log", "one");
        write("4/b.log", "one");
        write("7/a.log", "one");
        let before = Listing::of(logs.path());
        assert!(changes(&before, &before.clone()).is_empty());
        write("4/a.log", "one two");
        write("4/sub/c.log", "three");
        write("4/.d.log.Ab12Cd", "half");
        write("shop/a.log", "no site");
        fs::remove_file(logs.path().join("4/b.log")).unwrap();
        let changes = changes(&before, &Listing::of(logs.path()));
        assert_eq!(changes.keys().collect::<Vec<_>>(), ["4"]);
        let change = changes["4"];
        assert_eq!((change.arrived, change.bytes, change.gone), (2, 12, 1));
        assert!(change.newest.is_some());
    }
}
