//! The configuration on disk: locked as Matomo's own writer locks it, replaced whole, owner, mode and access list kept.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::document::{Document, IniError};

/// Matomo holds the lock for milliseconds; longer is a program that hangs.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A writer that takes no lock leaves an empty or torn file for a moment.
const TORN_WAIT: Duration = Duration::from_millis(500);
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// The configuration cannot be used; it was not changed.
#[derive(Debug, thiserror::Error)]
pub enum FileTrouble {
    /// The file system refuses.
    #[error("cannot {action} Matomo's configuration at {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its text cannot be edited safely.
    #[error("Matomo's configuration at {} cannot be edited", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IniError,
    },
    /// Somebody keeps the lock.
    #[error("another program keeps Matomo's configuration at {} locked", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
}

impl FileTrouble {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            FileTrouble::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "mount Matomo's volume, or set MATOMO_DIR or MATOMO_CONFIG",
                io::ErrorKind::PermissionDenied => "run this container as the owner of the file, or as root",
                io::ErrorKind::ReadOnlyFilesystem => "mount Matomo's volume writable",
                io::ErrorKind::StorageFull => "make room on Matomo's volume; the old content is still there",
                _ => "look at the volume; the old content is still there",
            },
            FileTrouble::Text { source, .. } => source.help(),
            FileTrouble::Locked { .. } => "find the program that hangs; nothing was changed",
        }
    }

    /// Whether what the file holds is no configuration, as after a writer died half way.
    pub fn is_torn(&self) -> bool {
        matches!(self, FileTrouble::Text { .. })
    }
}

/// A configuration file by its real place: links are followed once.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    /// The file that `path` leads to.
    pub fn at(path: &Path) -> Self {
        Self { path: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says now.
    pub fn read(&self) -> Result<Document, FileTrouble> {
        self.settled(|| {
            let mut held = self.hold(OpenOptions::new().read(true))?;
            self.document(&mut held)
        })
    }

    /// Changes it, if the edit changes anything; answers with the text from before and the document that is there now.
    pub fn edit(&self, edit: impl Fn(&mut Document)) -> Result<(Vec<u8>, Document), FileTrouble> {
        self.settled(|| {
            let mut held = self.hold(OpenOptions::new().read(true).write(true))?;
            let before = self.document(&mut held)?;
            let mut after = before.clone();
            edit(&mut after);
            if after != before {
                self.write(&mut held, after.bytes())?;
            }
            Ok((before.bytes().to_vec(), after))
        })
    }

    /// Of a new file there is no owner to keep, and the user of PHP, whose folder it lies in, has to read it. Without the right to
    /// give it away it stays ours, as everything does that this user writes.
    fn give_to_owner_of_folder(&self) -> Result<(), FileTrouble> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let given = fs::metadata(folder).and_then(|about| chown(&self.path, Some(about.uid()), Some(about.gid())));
        match given {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(self.failed("give away", error)),
            _ => Ok(()),
        }
    }

    /// Puts a whole text in its place, whatever is there now, also where nothing is.
    pub fn put(&self, text: &[u8]) -> Result<(), FileTrouble> {
        match self.hold(OpenOptions::new().read(true).write(true)) {
            Ok(mut held) => self.write(&mut held, text),
            Err(FileTrouble::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let created = shared::files::replace_with_mode(&self.path, text, 0o640);
                created.map_err(|error| self.failed("create", error.source))?;
                self.give_to_owner_of_folder()
            }
            Err(other) => Err(other),
        }
    }

    fn settled<T>(&self, attempt: impl Fn() -> Result<T, FileTrouble>) -> Result<T, FileTrouble> {
        let give_up = Instant::now() + TORN_WAIT;
        loop {
            match attempt() {
                Err(error) if error.is_torn() && Instant::now() < give_up => thread::sleep(LOOK_AGAIN),
                other => return other,
            }
        }
    }

    /// Opens and locks the file that has the name now: while we waited, another may have taken its place.
    fn hold(&self, options: &OpenOptions) -> Result<File, FileTrouble> {
        self.hold_opened(|| options.open(&self.path))
    }

    fn hold_opened(&self, mut open: impl FnMut() -> io::Result<File>) -> Result<File, FileTrouble> {
        let give_up = Instant::now() + LOCK_WAIT;
        loop {
            let file = open().map_err(|error| self.failed("open", error))?;
            match file.try_lock() {
                Ok(()) if self.is_current(&file) => return Ok(file),
                Ok(()) => {}
                Err(TryLockError::Error(error)) => return Err(self.failed("lock", error)),
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => thread::sleep(LOOK_AGAIN),
                Err(TryLockError::WouldBlock) => return Err(FileTrouble::Locked { path: self.path.clone() }),
            }
        }
    }

    fn is_current(&self, file: &File) -> bool {
        let identity = |metadata: io::Result<fs::Metadata>| metadata.map(|it| (it.dev(), it.ino())).ok();
        identity(file.metadata()) == identity(fs::metadata(&self.path))
    }

    fn document(&self, file: &mut File) -> Result<Document, FileTrouble> {
        let mut text = Vec::new();
        file.take(CONFIG_BYTES_MAX).read_to_end(&mut text).map_err(|error| self.failed("read", error))?;
        Document::parse(text).map_err(|source| FileTrouble::Text { path: self.path.clone(), source })
    }

    fn write(&self, held: &mut File, text: &[u8]) -> Result<(), FileTrouble> {
        match self.replace(held, text) {
            Ok(()) => Ok(()),
            // A file mounted by itself cannot be renamed over; an owner that cannot be kept would lock Matomo out.
            Err(error) if must_stay_in_place(&error) => {
                tracing::debug!(path = %self.path.display(), why = %error, "The configuration is written in place");
                write_in_place(held, text).map_err(|error| self.failed("write", error))
            }
            Err(error) => Err(self.failed("replace", error)),
        }
    }

    fn replace(&self, held: &File, text: &[u8]) -> io::Result<()> {
        let metadata = held.metadata()?;
        if metadata.nlink() > 1 {
            return Err(Errno::MLINK.into());
        }
        // Whoever holds the lock is alone with this name. Should the file be left behind, its ending keeps a web server from
        // showing it, and the next edit takes it away.
        let beside = self.path.with_file_name(".maintenance.ini.php");
        let _ = fs::remove_file(&beside);
        let written = write_like(&beside, text, held, &metadata).and_then(|()| fs::rename(&beside, &self.path));
        if written.is_err() {
            // It may not be there; the first error is the one to tell.
            let _ = fs::remove_file(&beside);
        }
        written.and_then(|()| shared::files::sync_folder(&self.path))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> FileTrouble {
        FileTrouble::Io { action, path: self.path.clone(), source }
    }
}

fn write_like(path: &Path, text: &[u8], model: &File, metadata: &fs::Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
    file.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
    copy_attributes(model, &file)?;
    file.write_all(text)?;
    file.sync_all()
}

/// The access list is one of the extended attributes; a file system without them has none to keep.
fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        rustix::fs::fsetxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

fn must_stay_in_place(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    const REASONS: [Errno; 7] =
        [Errno::BUSY, Errno::XDEV, Errno::MLINK, Errno::PERM, Errno::ACCESS, Errno::ROFS, Errno::NOTSUP];
    errno.is_some_and(|errno| REASONS.contains(&errno))
}

/// Never shorter than both texts until the new one is complete, so that a reader sees no empty file.
fn write_in_place(file: &mut File, text: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(text)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_belongs_to_whom_its_folder_belongs_to() {
        let folder = tempfile::tempdir().unwrap();
        // Only root may; anybody else's folder is as its files are without that.
        let _ = chown(folder.path(), Some(33), Some(33));
        let path = folder.path().join("config.ini.php");
        ConfigFile::at(&path).put(b"; <?php exit; ?>\n[database]\n").unwrap();
        let of = |path: &Path| fs::metadata(path).map(|about| (about.uid(), about.gid())).unwrap();
        assert_eq!(of(&path), of(folder.path()));
    }

    #[test]
    fn a_file_whose_name_another_took_between_its_opening_and_its_lock_is_not_the_one_that_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.ini.php");
        fs::write(&path, "old").unwrap();
        let config = ConfigFile::at(&path);
        let mut opened = 0;
        let mut held = config
            .hold_opened(|| {
                let file = File::open(&path);
                opened += 1;
                if opened == 1 {
                    // As Matomo's neighbour saves: whole, beside it, and renamed.
                    fs::write(folder.path().join("new"), "new")
                        .and_then(|()| fs::rename(folder.path().join("new"), &path))?;
                }
                file
            })
            .unwrap();
        let mut text = String::new();
        held.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), opened), ("new", 2));
        assert!(config.is_current(&held));
        fs::remove_file(&path).unwrap();
        assert!(!config.is_current(&held), "a file without the name is not the one that has it");
    }
}
