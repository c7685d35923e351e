//! The files of a configuration: which there are, and how they come into their folder.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use shared::files::{self, FileError, MODE_DEFAULT};

use crate::config::Settings;
use crate::{header_privacy, main_cf, master_cf, password_map, replies, sender};

/// Every program of Postfix waits for a `main.cf` that is younger than about two seconds.
const AGE_AT_BIRTH: Duration = Duration::from_secs(10);
const FOLDER_MODE: u32 = 0o755;
/// Files that not every configuration has; one that is not needed is taken away.
const OPTIONAL: [&str; 5] =
    [header_privacy::NAME, sender::ENVELOPE_NAME, sender::HEADERS_NAME, replies::NAME, password_map::NAME];

/// Whether the password is written or hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// As Postfix needs it.
    Written,
    /// As anybody may read it.
    Hidden,
}

/// One file.
pub struct Planned {
    /// Its name in the folder.
    pub name: &'static str,
    /// Its content.
    pub text: String,
    mode: u32,
}

/// All files of a configuration; those that are not needed are taken away when it is written.
pub struct Plan {
    folder: PathBuf,
    /// The files, `main.cf` first.
    pub files: Vec<Planned>,
}

/// What writing a plan changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files that are new or have a new content.
    pub written: Vec<&'static str>,
    /// Files that are not needed any more.
    pub removed: Vec<&'static str>,
}

/// The folder or a file in it cannot be changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct PlanError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file could not be replaced.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder could not be made or cleared.
    #[error(transparent)]
    Folder(#[from] PlanError),
}

impl From<WriteError> for shared::entry::Failure {
    fn from(error: WriteError) -> Self {
        let failure = shared::entry::Failure::new(shared::entry::Exit::CannotCreate, error);
        failure.help("mount a writable folder there (a tmpfs will do), or set MTP_CONFIG_DIR to another one; nothing was started")
    }
}

impl Plan {
    /// The files for these settings, to lie in `folder`.
    pub fn of(settings: &Settings, folder: &Path, secrets: Secrets) -> Self {
        let planned = |name, text| Planned { name, text, mode: MODE_DEFAULT };
        let mut files = vec![
            planned(main_cf::NAME, main_cf::render(settings, folder)),
            planned(master_cf::NAME, master_cf::render(settings.listen_port, &settings.services)),
        ];
        if settings.header_privacy {
            files.push(planned(header_privacy::NAME, header_privacy::TABLE.to_owned()));
        }
        if let Some(address) = &settings.sender {
            files.push(planned(sender::ENVELOPE_NAME, sender::envelope(address)));
            files.push(planned(sender::HEADERS_NAME, sender::headers(address)));
        }
        if settings.route.relay.is_some() {
            files.push(planned(replies::NAME, replies::table()));
        }
        if let Some(relay) = &settings.route.relay
            && let (Some(login), Some(password)) = (&relay.login, relay.password())
        {
            let text = match secrets {
                Secrets::Written => password_map::render(relay, &login.user, password),
                Secrets::Hidden => password_map::render_hidden(relay, &login.user),
            };
            files.push(Planned { name: password_map::NAME, text, mode: password_map::MODE });
        }
        Self { folder: folder.to_owned(), files }
    }

    /// Puts each file in its place, whole; those that are right already are left alone, even in a folder that
    /// cannot be written. `main.cf` comes last, so that it never names a file that is not there yet.
    pub fn write(&self) -> Result<Changes, WriteError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| PlanError { action, path, source }
        };
        if !self.folder.is_dir() {
            fs::create_dir_all(&self.folder).map_err(failed("make the folder", &self.folder))?;
            fs::set_permissions(&self.folder, Permissions::from_mode(FOLDER_MODE))
                .map_err(failed("open", &self.folder))?;
        }
        let mut changes = Changes::default();
        for file in self.files.iter().rev().filter(|file| !file.is_in(&self.folder)) {
            let path = self.folder.join(file.name);
            files::replace_with_mode(&path, file.text.as_bytes(), file.mode)?;
            grow_older(&path).map_err(failed("set the time of", &path))?;
            changes.written.push(file.name);
        }
        for name in OPTIONAL.into_iter().filter(|name| self.file(name).is_none()) {
            let path = self.folder.join(name);
            // A folder that cannot be written refuses even to remove what is not there.
            if path.symlink_metadata().is_ok() {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
                changes.removed.push(name);
            }
        }
        Ok(changes)
    }

    fn file(&self, name: &str) -> Option<&Planned> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl Planned {
    /// Whether the folder holds this very file, for the same readers.
    fn is_in(&self, folder: &Path) -> bool {
        let path = folder.join(self.name);
        let same_readers =
            fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.mode() & 0o7777 == self.mode);
        same_readers && fs::read(&path).is_ok_and(|found| found == self.text.as_bytes())
    }
}

fn grow_older(path: &Path) -> io::Result<()> {
    File::options().write(true).open(path)?.set_modified(SystemTime::now() - AGE_AT_BIRTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(folder: &Path, variables: &[(&str, &str)]) -> Plan {
        Plan::of(&crate::config::from_pairs(variables).unwrap(), folder, Secrets::Written)
    }

    const LOGIN: [(&str, &str); 5] = [
        ("MTP_HOST", "x.example"),
        ("MTP_RELAY", "r"),
        ("MTP_USER", "u"),
        ("MTP_PASS", "p"),
        ("MTP_HEADER_PRIVACY", "yes"),
    ];

    #[test]
    fn files_that_are_right_are_left_alone_and_stale_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("made/for/it");
        let first = plan(&below, &LOGIN).write().unwrap();
        assert_eq!(first.written, ["relay_passwd", "replies", "header_privacy", "master.cf", "main.cf"]);
        let mode = |name| fs::metadata(below.join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("main.cf"), mode("relay_passwd")), (0o644, 0o600));
        let age = fs::metadata(below.join("main.cf")).unwrap().modified().unwrap().elapsed().unwrap();
        assert!(age >= Duration::from_secs(9), "{age:?}");

        assert_eq!(plan(&below, &LOGIN).write().unwrap(), Changes::default());
        fs::set_permissions(below.join("relay_passwd"), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(plan(&below, &LOGIN).write().unwrap().written, ["relay_passwd"]);
        assert_eq!(mode("relay_passwd"), 0o600);

        let second = plan(&below, &LOGIN[..1]).write().unwrap();
        assert_eq!(
            (second.written, second.removed),
            (vec!["main.cf"], vec!["header_privacy", "replies", "relay_passwd"])
        );
        assert_eq!(fs::read_dir(&below).unwrap().count(), 2);
    }
}
