//! What the shell image left behind: which files it imported, which it gave up, which days wait for invalidation.
//! Only read, never changed, so that going back to it stays possible.
//!
//! ```text
//! processed/<SITE_ID>/log.YYYY-MM     paths, one a line: imported, or given up after two failures
//! processed/<SITE_ID>/error*          paths, one a line for each failure
//! processed/<SITE_ID>/invalidate*     days
//! processed/{log.*,error*,invalidate*}  the same for all sites: paths below the site's folder, days with or without it
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use jiff::civil::Date;

use crate::discover::{SiteId, nanoseconds};

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
    /// When it last wrote any of this, milliseconds since 1970.
    pub written_ms: i64,
}

/// A list as it was read.
struct List {
    kind: Kind,
    text: String,
    written_ms: i64,
}

/// What the lines of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Done,
    Failures,
    Days,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        const BY_NAME: [(&str, Kind); 3] =
            [("log.", Kind::Done), ("error", Kind::Failures), ("invalidate", Kind::Days)];
        BY_NAME.into_iter().find(|(beginning, _)| name.starts_with(beginning)).map(|(_, kind)| kind)
    }
}

impl ShellState {
    /// Reads what lies below `folder` for a site; `None` if there is nothing.
    ///
    /// # Errors
    /// When something is there that cannot be read: then nothing must be imported, or it might be a second time.
    pub fn read(folder: &Path, site: SiteId) -> io::Result<Option<Self>> {
        let of_site = lists(&folder.join(site.to_string()))?;
        let of_all = lists(folder)?;
        if of_site.is_empty() && of_all.is_empty() {
            return Ok(None);
        }
        let mut found = Found::default();
        of_site.iter().for_each(|list| found.read(list, site, |_| true));
        of_all.iter().for_each(|list| found.read(list, site, |line| means(line, list.kind, site)));
        let nothing = of_site.is_empty() && found.is_empty();
        Ok((!nothing).then(|| found.state()))
    }
}

/// The lists directly in a folder.
fn lists(folder: &Path) -> io::Result<Vec<List>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut lists = Vec::new();
    for entry in entries {
        let entry = entry?;
        let kind = Kind::of(&entry.file_name().to_string_lossy());
        if let Some(kind) = kind.filter(|_| entry.path().is_file()) {
            let written_ms = nanoseconds(std::fs::metadata(entry.path())?.modified()?) / 1_000_000;
            let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
            lists.push(List { kind, text, written_ms });
        }
    }
    Ok(lists)
}

/// Whether a line of a list of all sites means this one: a path does if it lies below the site's folder, a day unless
/// it stands beside another site's number.
fn means(line: &str, kind: Kind, site: SiteId) -> bool {
    match kind {
        Kind::Done | Kind::Failures => below(line, site).is_some(),
        Kind::Days => words(line).filter_map(|word| word.parse::<u32>().ok()).all(|number| number == site.0),
    }
}

#[derive(Default)]
struct Found {
    done: BTreeSet<String>,
    failures: BTreeMap<String, u32>,
    days: BTreeSet<Date>,
    written_ms: i64,
}

impl Found {
    fn read(&mut self, list: &List, site: SiteId, mean: impl Fn(&str) -> bool) {
        self.written_ms = self.written_ms.max(list.written_ms);
        // Names may begin or end with blanks, so a line is taken as it is.
        for line in list.text.lines().filter(|line| !line.trim().is_empty() && mean(line)) {
            match list.kind {
                Kind::Done => drop(self.done.insert(below_site(line, site))),
                Kind::Failures => *self.failures.entry(below_site(line, site)).or_default() += 1,
                Kind::Days => self.days.extend(words(line).filter_map(day)),
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.done.is_empty() && self.failures.is_empty() && self.days.is_empty()
    }

    fn state(self) -> ShellState {
        let Self { done, failures, days, written_ms } = self;
        let failed = |path: &String| failures.get(path).is_some_and(|count| *count >= FAILURES_UNTIL_GIVEN_UP);
        let (given_up, imported) = done.into_iter().partition(failed);
        ShellState { imported, given_up, days, written_ms }
    }
}

/// The part of a path behind the folder of the site: the volume may be mounted elsewhere than it was.
fn below_site(path: &str, site: SiteId) -> String {
    below(path, site).unwrap_or_else(|| path.strip_prefix("./").unwrap_or(path)).to_owned()
}

fn below(path: &str, site: SiteId) -> Option<&str> {
    let behind = |folder: String| path.split_once(&folder).map(|(_, below)| below);
    let relative = || path.strip_prefix("./").unwrap_or(path).strip_prefix(&format!("{site}/"));
    behind(format!("/logs/{site}/")).or_else(|| behind(format!("/{site}/"))).or_else(relative)
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', '\t', ',', ';', '[', ']']).filter(|word| !word.is_empty())
}

/// A day as the shell image or a log writes it.
fn day(word: &str) -> Option<Date> {
    let day = word.split([':', 'T']).next()?;
    day.parse().ok().or_else(|| Date::strptime("%d/%b/%Y", day).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(set: &BTreeSet<String>) -> Vec<String> {
        set.iter().cloned().collect()
    }

    fn days(state: &ShellState) -> Vec<String> {
        state.days.iter().map(Date::to_string).collect()
    }

    #[test]
    fn ledgers_errors_and_days_are_read_and_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("4");
        std::fs::create_dir(&site).unwrap();
        let write = |name: &str, text: &str| std::fs::write(site.join(name), text).unwrap();
        write("log.2026-09", "/analytics/logs/4/access_log.1\n/analytics/logs/4/a b/access_log.2 \n");
        write("log.2026-10", "/analytics/logs/4/access_log.bad\n/analytics/logs/4/access_log.once\n\n");
        write(
            "error",
            "/analytics/logs/4/access_log.bad\n/analytics/logs/4/access_log.bad\n/analytics/logs/4/access_log.once\n",
        );
        write("invalidate", "2026-10-03\n04/Oct/2026\nnonsense\n[05/Oct/2026:10:00:00 +0200]\n2026-10-06,2026-10-07\n");
        write("other", "/analytics/logs/4/never\n");
        let state = ShellState::read(folder.path(), SiteId(4)).unwrap().unwrap();
        assert_eq!(names(&state.imported), ["a b/access_log.2 ", "access_log.1", "access_log.once"]);
        assert_eq!(names(&state.given_up), ["access_log.bad"]);
        assert_eq!(days(&state), ["2026-10-03", "2026-10-04", "2026-10-05", "2026-10-06", "2026-10-07"]);
        assert_eq!(ShellState::read(folder.path(), SiteId(5)).unwrap(), None);
    }

    #[test]
    fn lists_of_all_sites_are_read_for_the_site_they_mean() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("log.2026-10", "/analytics/logs/4/a.log\n/analytics/logs/14/b.log\n/data/7/c.log\n");
        write("error.2026-10", "/data/7/c.log\n/data/7/c.log\n");
        write("invalidate", "4 2026-10-03\n7 2026-10-04\n2026-10-05\n");
        let four = ShellState::read(folder.path(), SiteId(4)).unwrap().unwrap();
        assert_eq!(
            (names(&four.imported), days(&four)),
            (vec!["a.log".to_owned()], vec!["2026-10-03".into(), "2026-10-05".into()])
        );
        let seven = ShellState::read(folder.path(), SiteId(7)).unwrap().unwrap();
        assert_eq!(
            (names(&seven.given_up), days(&seven)),
            (vec!["c.log".to_owned()], vec!["2026-10-04".into(), "2026-10-05".into()])
        );
    }

    #[test]
    fn the_folder_of_the_site_is_found_in_a_path_wherever_the_volume_was() {
        let below = |path| below_site(path, SiteId(4));
        for path in ["/analytics/logs/4/a/b.log", "/data/4/a/b.log", "4/a/b.log", "./4/a/b.log", "a/b.log", "./a/b.log"]
        {
            assert_eq!(below(path), "a/b.log", "{path}");
        }
        assert_eq!(below("/analytics/logs/4/old/logs/4/b.log"), "old/logs/4/b.log");
        assert_eq!(below("/analytics/logs/14/b.log"), "/analytics/logs/14/b.log");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_list_holds_it_is_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), text in "[0-9/: T,A-Za-z\\[-]{0,40}") {
            let folder = tempfile::tempdir().unwrap();
            for name in ["log.2026-10", "error", "invalidate"] {
                std::fs::write(folder.path().join(name), [&bytes[..], b"\n", text.as_bytes()].concat()).unwrap();
            }
            ShellState::read(folder.path(), SiteId(4)).unwrap();
        }
    }
}
