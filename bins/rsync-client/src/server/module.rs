//! What one key may reach, as a configuration of rsync's daemon: a file that only we write, and sshd's forced command
//! names.
//!
//! The daemon goes into the folder with chroot(2) before it looks at anything that the client says. So the kernel holds
//! links, filters that name files, patterns, and folders that change meanwhile, which no check of words can.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shared::files::{self, FileError};

/// The name of the only module.
pub const NAME: &str = "folder";
/// Only we read it; it names folders of other keys to nobody.
const MODE: u32 = 0o600;

/// What one key may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The folder, with no link in its path.
    pub folder: PathBuf,
    /// Whether it may write.
    pub may_write: bool,
}

/// The folder of a key cannot be served now.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The configuration cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not there any more, or a link took its place.
    #[error("the folder of your key is not what it was when this server started")]
    Moved,
}

impl Module {
    /// The configuration for the daemon. Whoever is not root cannot use chroot(2); then the daemon cleans paths and
    /// spoils links itself.
    fn config(&self, is_root: bool) -> String {
        let (chroot, user) = if is_root { ("yes", "uid = 0\ngid = 0\n") } else { ("no", "") };
        let read_only = if self.may_write { "no" } else { "yes" };
        format!(
            "# Written by rsync-client at every start: what one key may reach.\n\
             [{NAME}]\n\
             path = {folder}\n\
             read only = {read_only}\n\
             use chroot = {chroot}\n\
             {user}\
             numeric ids = yes\n\
             list = no\n\
             max verbosity = 1\n\
             reverse lookup = no\n\
             log file = /dev/null\n",
            folder = self.folder.display(),
        )
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path, is_root: bool) -> Result<(), FileError> {
        files::replace_with_mode(path, self.config(is_root).as_bytes(), MODE)
    }

    /// Reads the configuration again, and makes sure that the folder is still the one that was checked.
    ///
    /// # Errors
    /// When it is not.
    pub fn read(path: &Path) -> Result<Self, ModuleError> {
        let text =
            fs::read_to_string(path).map_err(|source| ModuleError::Unreadable { path: path.to_owned(), source })?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        let folder = PathBuf::from(value("path").unwrap_or_default());
        if fs::canonicalize(&folder).ok().as_ref() != Some(&folder) {
            return Err(ModuleError::Moved);
        }
        Ok(Self { folder, may_write: value("read only") == Some("no") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_read_as_it_was_written_and_only_by_us() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let share = fs::canonicalize(folder.path()).unwrap().join("web1");
        fs::create_dir(&share).unwrap();
        let file = folder.path().join("module");
        for may_write in [false, true] {
            let module = Module { folder: share.clone(), may_write };
            module.write(&file, true).unwrap();
            assert_eq!(Module::read(&file).unwrap(), module);
        }
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_became_a_link_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let share = fs::canonicalize(folder.path()).unwrap().join("web1");
        fs::create_dir(&share).unwrap();
        let file = folder.path().join("module");
        Module { folder: share.clone(), may_write: false }.write(&file, true).unwrap();
        fs::remove_dir(&share).unwrap();
        assert!(matches!(Module::read(&file), Err(ModuleError::Moved)));
        std::os::unix::fs::symlink("/etc", &share).unwrap();
        assert!(matches!(Module::read(&file), Err(ModuleError::Moved)));
    }
}
