//! The state file: when logs last arrived for each site, for the importer and for people. `docs/rsync-client.md` has
//! its fields; whoever reads it needs nothing else from here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::files::{self, FileError};

use super::folder::Change;

/// Raised when a field changes its meaning; new fields do not raise it.
const VERSION: u32 = 1;

/// The state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    version: u32,
    /// The last pass, whatever became of it.
    pub last_pass: Option<LastPass>,
    /// When the last pass ended in which every command did its work.
    pub last_success: Option<Timestamp>,
    /// By the name of the site's folder, which is its number in Matomo.
    pub sites: BTreeMap<String, SiteArrival>,
}

/// How the last pass went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPass {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Commands in it.
    pub commands: u64,
    /// Those that did not do their work.
    pub failed: u64,
    /// The exit code that `once` ends with after such a pass.
    pub exit: u8,
}

/// What is known about the logs of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteArrival {
    /// When a command that writes to the folder last did its work, with or without something new.
    pub last_fetched: Option<Timestamp>,
    /// When files last arrived or changed.
    pub last_changed: Option<Timestamp>,
    /// Files that arrived or changed then.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the newest of them was written at its source.
    pub newest: Option<Timestamp>,
}

/// The state file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct ArrivalsError {
    path: PathBuf,
    source: io::Error,
}

impl ArrivalsError {
    /// The reason in a sentence.
    pub fn why(&self) -> String {
        self.source.to_string()
    }
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { version: VERSION, last_pass: None, last_success: None, sites: BTreeMap::new() }
    }
}

impl Arrivals {
    /// Reads the file; one that is not there yet says nothing.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or was written by a newer program.
    pub fn read(path: &Path) -> Result<Self, ArrivalsError> {
        let failed = |source| ArrivalsError { path: path.to_owned(), source };
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(failed)?,
        };
        let arrivals: Self = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
        if arrivals.version != VERSION {
            let theirs = arrivals.version;
            return Err(failed(io::Error::other(format!("its version is {theirs}, this program reads {VERSION}"))));
        }
        Ok(arrivals)
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// When it cannot be written; the old one is still there then.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        // A struct of times, texts and numbers has no way not to be JSON.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        files::replace(path, &bytes)
    }

    /// Takes in what changed in the folder of a site.
    pub fn changed(&mut self, site: &str, change: &Change, now: Timestamp) {
        if change.arrived == 0 {
            return;
        }
        let known = self.sites.entry(site.to_owned()).or_default();
        known.last_changed = Some(now);
        known.files = change.arrived;
        known.bytes = change.bytes;
        known.newest = change.newest.or(known.newest);
    }

    /// A command that writes to the folder of a site did its work.
    pub fn fetched(&mut self, site: &str, now: Timestamp) {
        self.sites.entry(site.to_owned()).or_default().last_fetched = Some(now);
    }

    /// Takes in how a pass went.
    pub fn passed(&mut self, pass: LastPass) {
        if pass.failed == 0 && pass.exit == 0 {
            self.last_success = Some(pass.ended);
        }
        self.last_pass = Some(pass);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        let mut arrivals = Arrivals::read(&file).unwrap();
        arrivals.fetched("4", at(1));
        arrivals.changed("4", &Change { arrived: 2, bytes: 10, gone: 0, newest: Some(at(0)) }, at(2));
        arrivals.changed("7", &Change { gone: 3, ..Change::default() }, at(2));
        arrivals.passed(LastPass { started: at(0), ended: at(3), commands: 1, failed: 0, exit: 0 });
        arrivals.write(&file).unwrap();
        assert_eq!(Arrivals::read(&file).unwrap(), arrivals);
        assert_eq!(arrivals.last_success, Some(at(3)));
        assert_eq!(arrivals.sites.keys().collect::<Vec<_>>(), ["4"]);
        arrivals.passed(LastPass { started: at(4), ended: at(5), commands: 1, failed: 1, exit: 69 });
        assert_eq!(arrivals.last_success, Some(at(3)));
    }

    #[test]
    fn a_file_of_a_newer_program_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        for content in ["", "{}", r#"{"version":2,"last_pass":null,"last_success":null,"sites":{}}"#] {
            fs::write(&file, content).unwrap();
            assert!(Arrivals::read(&file).is_err(), "{content}");
        }
    }
}
