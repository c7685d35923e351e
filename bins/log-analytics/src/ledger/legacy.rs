//! What the shell image left behind: which files it imported, which it gave up, which days wait for invalidation.
//! Only read, never changed, so that going back to it stays possible.
//!
//! ```text
//! processed/<SITE_ID>/log.YYYY-MM     paths, one a line: imported, or given up after two failures
//! processed/<SITE_ID>/error*          paths, one a line for each failure
//! processed/<SITE_ID>/invalidate*     days, one a line
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use jiff::civil::Date;

use crate::discover::SiteId;

/// The shell image marked a file as done after so many failures.
const FAILURES_UNTIL_GIVEN_UP: u32 = 2;

/// The shell image's state of one site. Files are named by their path below the site's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShellState {
    /// Files that it imported.
    pub imported: BTreeSet<String>,
    /// Files that it marked as done although their import failed.
    pub given_up: BTreeSet<String>,
    /// Days whose reports it meant to invalidate.
    pub days: BTreeSet<Date>,
}

impl ShellState {
    /// Reads what lies below `folder` for a site; `None` if there is nothing.
    ///
    /// # Errors
    /// When something is there that cannot be read: then nothing must be imported, or it might be a second time.
    pub fn read(folder: &Path, site: SiteId) -> io::Result<Option<Self>> {
        let folder = folder.join(site.to_string());
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (mut marked, mut failures, mut days) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type()?.is_file()
                || !["log.", "error", "invalidate"].iter().any(|kind| name.starts_with(kind))
            {
                continue;
            }
            let bytes = std::fs::read(entry.path())?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                match &name {
                    name if name.starts_with("log.") => drop(marked.insert(below_site(line, site))),
                    name if name.starts_with("error") => *failures.entry(below_site(line, site)).or_insert(0) += 1,
                    _ => days.extend(day(line)),
                }
            }
        }
        let (given_up, imported) = marked
            .into_iter()
            .partition(|path| failures.get(path).is_some_and(|count| *count >= FAILURES_UNTIL_GIVEN_UP));
        Ok(Some(Self { imported, given_up, days }))
    }
}

/// The part of a path behind the folder of the site: the volume may be mounted elsewhere than it was.
pub fn below_site(path: &str, site: SiteId) -> String {
    let folder = format!("/logs/{site}/");
    path.rsplit_once(&folder).map_or(path, |(_, below)| below).to_owned()
}

/// A day as the shell image or a log writes it.
fn day(text: &str) -> Option<Date> {
    let day = text.split([' ', ':', 'T']).next()?;
    day.parse().ok().or_else(|| Date::strptime("%d/%b/%Y", day).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledgers_errors_and_days_are_read_and_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("4");
        std::fs::create_dir(&site).unwrap();
        let write = |name: &str, text: &str| std::fs::write(site.join(name), text).unwrap();
        write("log.2026-09", "/analytics/logs/4/access_log.1\n/analytics/logs/4/a b/access_log.2\n");
        write("log.2026-10", "/analytics/logs/4/access_log.bad\n/analytics/logs/4/access_log.once\n\n");
        write(
            "error",
            "/analytics/logs/4/access_log.bad\n/analytics/logs/4/access_log.bad\n/analytics/logs/4/access_log.once\n",
        );
        write("invalidate", "2026-10-03\n04/Oct/2026\nnonsense\n");
        write("other", "/analytics/logs/4/never\n");
        let state = ShellState::read(folder.path(), SiteId(4)).unwrap().unwrap();
        let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(&state.imported), ["a b/access_log.2", "access_log.1", "access_log.once"]);
        assert_eq!(names(&state.given_up), ["access_log.bad"]);
        assert_eq!(state.days.iter().map(Date::to_string).collect::<Vec<_>>(), ["2026-10-03", "2026-10-04"]);
        assert_eq!(ShellState::read(folder.path(), SiteId(5)).unwrap(), None);
    }
}
