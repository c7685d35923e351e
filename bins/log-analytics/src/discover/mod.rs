//! Stage 1: which files, of which site. Reads folder listings, and of files nothing beyond the fingerprint.

mod fingerprint;
mod settled;
mod site;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::{DirEntry, WalkDir};

use crate::file::GiveUp;
pub use fingerprint::{Fingerprint, HEAD_BYTES_MAX, Head};
use settled::{Judged, SettleRule};
pub use settled::{LogFile, Settled, Unsettled, nanoseconds};
pub use site::SiteId;

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
    pub settled: BTreeMap<SiteId, Vec<Settled>>,
    /// Files somebody may still write to.
    pub unsettled: BTreeMap<SiteId, Vec<(LogFile, Unsettled)>>,
    /// Folders and files that belong to no site, and what could not be read: one sentence each.
    pub remarks: Vec<String>,
}

impl Discovery {
    /// How long until the youngest file has settled, if any is merely young.
    pub fn longest_rest(&self) -> Option<Duration> {
        let rests = self.unsettled.values().flatten().filter_map(|(_, why)| match why {
            Unsettled::Young { remaining } => Some(*remaining),
            Unsettled::CurrentHour => None,
        });
        rests.max()
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
    let settled = found.settled.entry(site).or_default();
    let unsettled = found.unsettled.entry(site).or_default();
    // By name: what is compared lies in the same folder, and names are found slowly in paths.
    let by_name = |a: &DirEntry, b: &DirEntry| a.path().as_os_str().cmp(b.path().as_os_str());
    let entries = WalkDir::new(folder).follow_links(true).sort_by(by_name).into_iter();
    for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(&entry.file_name().to_string_lossy())) {
        if give_up() {
            return;
        }
        match entry.map_err(io::Error::from).and_then(|entry| log_file(entry, names, rule)) {
            Ok(Some(Ok(file))) => settled.push(file),
            Ok(Some(Err(waiting))) => unsettled.push(waiting),
            Ok(None) => {}
            // It went away between the listing and the look: rotation at work.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => found.remarks.push(format!("site {site}: {error}")),
        }
    }
}

fn log_file(entry: DirEntry, names: &Names, rule: &SettleRule) -> io::Result<Option<Judged>> {
    let name = entry.file_name().to_owned();
    let text = name.to_string_lossy();
    if !entry.file_type().is_file() || is_temporary(&text) || !names.takes(&text) {
        return Ok(None);
    }
    let about = entry.metadata().map_err(io::Error::from)?;
    let modified_ns = nanoseconds(about.modified()?);
    let file = LogFile { path: entry.into_path(), size: about.len(), modified_ns };
    Ok(Some(rule.judge(name.as_bytes(), file)))
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

    use super::*;

    #[test]
    fn folders_are_sites_and_what_is_being_written_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        for path in ["4/access_log.1", "4/web1/deep/access_log.2", "4/.access_log.1.Xy12ab", "4/.~tmp~/access_log.9"] {
            write(path);
        }
        for path in ["4/error_log.1", "4/access_log.3.part", "7/x.log.1.gz", "lost+found/access_log.1", "0/x.log"] {
            write(path);
        }
        let names = Names::parse("*access*,*.log,*.log.*,!*error*").unwrap();
        let found =
            discover(folder.path(), &names, SystemTime::now() + Duration::from_secs(60), Duration::ZERO, &|| false)
                .unwrap();
        let paths = |site| {
            let files = found.settled[&SiteId(site)].iter();
            files
                .map(|file| file.file().path.strip_prefix(folder.path()).unwrap().display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(paths(4), ["4/access_log.1", "4/web1/deep/access_log.2"]);
        assert_eq!(paths(7), ["7/x.log.1.gz"]);
        assert_eq!(found.remarks.len(), 2, "{:?}", found.remarks);
    }
}
