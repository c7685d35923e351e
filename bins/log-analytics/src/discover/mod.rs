//! Stage 1: which files, of which site, and which content they are.

mod identity;
mod settled;
mod site;
mod twins;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::{DirEntry, WalkDir};

use crate::file::{GiveUp, Stat};
pub use identity::{Head, Identity, Known, Looking, identify};
use settled::SettleRule;
pub use settled::{LogFile, nanoseconds};
pub use site::SiteId;
pub use twins::Beginnings;

/// Endings of files that a copy in progress or an editor leaves behind.
const TEMPORARY_ENDINGS: [&str; 6] = ["~", ".tmp", ".part", ".partial", ".filepart", ".swp"];

/// Which names to take: shell patterns; those that begin with `!` exclude and win.
#[derive(Debug, Clone)]
pub struct Names {
    text: String,
    take: GlobSet,
    leave: GlobSet,
}

impl Names {
    /// Reads a comma-separated list such as `access_log.*,*.log,!*error*`.
    ///
    /// # Errors
    /// The pattern that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut take = GlobSetBuilder::new();
        let mut leave = GlobSetBuilder::new();
        for pattern in text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
            let (set, pattern) = match pattern.strip_prefix('!') {
                Some(rest) => (&mut leave, rest),
                None => (&mut take, pattern),
            };
            set.add(GlobBuilder::new(pattern).build().map_err(|error| format!("`{pattern}`: {}", error.kind()))?);
        }
        let build = |set: GlobSetBuilder| set.build().map_err(|error| error.to_string());
        Ok(Self { text: text.to_owned(), take: build(take)?, leave: build(leave)? })
    }

    /// The list as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn takes(&self, name: &str) -> bool {
        self.take.is_match(name) && !self.leave.is_match(name)
    }
}

/// What lies below the logs folder.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Files to look at, per site, by path.
    pub files: BTreeMap<SiteId, Vec<LogFile>>,
    /// Files of the current hour, to which web servers still write.
    pub being_written: BTreeMap<SiteId, Vec<LogFile>>,
    /// Folders and files that belong to no site: one sentence each.
    pub remarks: Vec<String>,
    /// What could not be listed.
    pub unreadable: Vec<Unlisted>,
    /// How long until the youngest file has settled, if any is young.
    pub longest_rest: Option<Duration>,
}

/// A part of a site's folder that could not be listed.
#[derive(Debug)]
pub struct Unlisted {
    /// The site.
    pub site: SiteId,
    /// The folder or file.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl Discovery {
    /// The files of a site, by path.
    pub fn files_of(&self, site: SiteId) -> &[LogFile] {
        self.files.get(&site).map_or(&[][..], Vec::as_slice)
    }

    /// The files of a site that somebody still writes to.
    pub fn being_written_of(&self, site: SiteId) -> &[LogFile] {
        self.being_written.get(&site).map_or(&[][..], Vec::as_slice)
    }
}

/// Lists the files of every site below `logs`: the folder's name is the site's id, whatever lies deeper is the site's.
///
/// Not all of them, if `give_up` says so meanwhile.
///
/// # Errors
/// When `logs` itself cannot be listed.
pub fn discover(
    logs: &Path,
    names: &Names,
    now: SystemTime,
    settle: Duration,
    give_up: GiveUp<'_>,
) -> io::Result<Discovery> {
    let mut found = Discovery::default();
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(logs)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    folders.sort();
    let rule = SettleRule::at(now, settle);
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.parse() {
            Ok(site) if folder.is_dir() => list_site(&mut found, site, &folder, names, &rule, give_up),
            _ if is_hidden(&name) => {}
            _ => found.remarks.push(format!("{} is not the folder of a site", folder.display())),
        }
    }
    Ok(found)
}

fn list_site(
    found: &mut Discovery,
    site: SiteId,
    folder: &Path,
    names: &Names,
    rule: &SettleRule,
    give_up: GiveUp<'_>,
) {
    let (mut files, mut being_written) = (Vec::new(), Vec::new());
    // Links are not followed: whoever may write logs could lead us to any file of this container, or to another site.
    let entries = WalkDir::new(folder).into_iter();
    for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(&entry.file_name().to_string_lossy())) {
        if give_up() {
            break;
        }
        match entry {
            Ok(entry) => match log_file(&entry, names, rule) {
                Ok(Some(file)) if rule.is_of_this_hour(entry.file_name().as_bytes()) => being_written.push(file),
                Ok(Some(file)) => files.push(file),
                Ok(None) => found.remarks.extend(left_out(&entry, folder, names)),
                Err(error) => found.unlisted(site, entry.path(), error),
            },
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                found.unlisted(site, &path, error.into());
            }
        }
    }
    // Sorted afterwards, as a folder of many files would be held twice otherwise.
    let by_path = |a: &LogFile, b: &LogFile| a.path.as_os_str().cmp(b.path.as_os_str());
    files.sort_unstable_by(by_path);
    being_written.sort_unstable_by(by_path);
    let rests = files.iter().filter_map(|file| rule.rest(&file.stat));
    found.longest_rest = found.longest_rest.max(rests.max());
    found.files.insert(site, files);
    found.being_written.insert(site, being_written);
}

impl Discovery {
    fn unlisted(&mut self, site: SiteId, path: &Path, error: io::Error) {
        // It went away between the listing and the look: rotation at work.
        if error.kind() != io::ErrorKind::NotFound {
            self.unreadable.push(Unlisted { site, path: path.to_owned(), error });
        }
    }
}

fn is_taken(entry: &DirEntry, names: &Names) -> bool {
    let name = entry.file_name().to_string_lossy();
    !is_temporary(&name) && names.takes(&name)
}

fn log_file(entry: &DirEntry, names: &Names, rule: &SettleRule) -> io::Result<Option<LogFile>> {
    if !entry.file_type().is_file() || !is_taken(entry, names) {
        return Ok(None);
    }
    let stat = Stat::of(&entry.metadata().map_err(io::Error::from)?);
    Ok(Some(LogFile { path: entry.path().into(), is_young: rule.rest(&stat).is_some(), stat }))
}

/// What to say of something with the name of a log that is none: a link out of the site's folder, a pipe, a device.
fn left_out(entry: &DirEntry, folder: &Path, names: &Names) -> Option<String> {
    let kind = entry.file_type();
    let path = entry.path();
    if kind.is_symlink() {
        // What a link within the folder leads to is found there by itself.
        let inside = || Some(std::fs::canonicalize(path).ok()?.starts_with(std::fs::canonicalize(folder).ok()?));
        let target = std::fs::read_link(path).unwrap_or_default();
        let leads_out = inside() != Some(true);
        return leads_out
            .then(|| format!("{} is a link out of the site's folder, to {}", path.display(), target.display()));
    }
    (!kind.is_dir() && !kind.is_file() && is_taken(entry, names))
        .then(|| format!("{} is not a regular file", path.display()))
}

/// Hidden names are nobody's logs; rsync writes into `.name.XXXXXX` and `.~tmp~/` before it renames.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

fn is_temporary(name: &str) -> bool {
    TEMPORARY_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn listed(folder: &Path) -> Discovery {
        let names = Names::parse("*access*,*.log,*.log.*,!*error*").unwrap();
        discover(folder, &names, SystemTime::now() + Duration::from_secs(60), Duration::ZERO, &|| false).unwrap()
    }

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    fn paths(found: &Discovery, folder: &Path, site: u32) -> Vec<String> {
        let files = found.files[&SiteId(site)].iter();
        files.map(|file| file.path.strip_prefix(folder).unwrap().display().to_string()).collect()
    }

    #[test]
    fn folders_are_sites_and_what_is_being_written_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["4/access_log.1", "4/web1/deep/access_log.2", "4/.access_log.1.Xy12ab", "4/.~tmp~/access_log.9"] {
            write(&folder.path().join(path));
        }
        for path in ["4/error_log.1", "4/access_log.3.part", "7/x.log.1.gz", "lost+found/access_log.1", "0/x.log"] {
            write(&folder.path().join(path));
        }
        let found = listed(folder.path());
        assert_eq!(paths(&found, folder.path(), 4), ["4/access_log.1", "4/web1/deep/access_log.2"]);
        assert_eq!(paths(&found, folder.path(), 7), ["7/x.log.1.gz"]);
        assert_eq!(found.remarks.len(), 2, "{:?}", found.remarks);
    }

    #[test]
    fn links_and_pipes_are_not_followed_and_those_that_lead_out_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["4/web1/access_log.1", "7/access_log.1", "secret"] {
            write(&folder.path().join(path));
        }
        let link = |target: &str, name: &str| symlink(target, folder.path().join(name)).unwrap();
        link("web1/access_log.1", "4/access_log.current");
        link("web1", "4/web2");
        link("../secret", "4/secret.log");
        link("../7", "4/others");
        link("/proc/kmsg", "4/kmsg.log");
        link("nowhere", "4/dangling.log");
        make_pipe(&folder.path().join("4/pipe.log"));
        let found = listed(folder.path());
        assert_eq!(paths(&found, folder.path(), 4), ["4/web1/access_log.1"]);
        let said = found.remarks.join("\n");
        for name in ["secret.log", "others", "kmsg.log", "dangling.log", "pipe.log"] {
            assert!(said.contains(name), "{name} in {said}");
        }
        assert!(!said.contains("access_log.current") && !said.contains("web2"), "{said}");
    }

    fn make_pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }
}
