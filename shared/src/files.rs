//! Replace or lock a file so that a crash leaves the old one or the new one, never half of one.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, BufWriter, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::entry::{Exit, Failure};

/// Who may read a file that [`replace`] wrote: everybody; only we may write.
pub const MODE_DEFAULT: u32 = 0o644;

/// A file could not be written or locked; what was there before is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    action: &'static str,
    /// The file that was meant.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source }
    }

    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "the disk is full: make room on the volume, then start again; the old content is still there"
            }
            io::ErrorKind::ReadOnlyFilesystem => "the volume is mounted read-only: mount it writable",
            io::ErrorKind::PermissionDenied => {
                "the user of this container may not write there: give the folder to its numeric user, or run the container as the owner"
            }
            io::ErrorKind::NotFound => "the folder is missing: mount the volume, or create the folder",
            io::ErrorKind::IsADirectory => "a folder has the name of the file: remove it or choose another name",
            _ => "look at the volume; the old content is still there",
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let help = error.help();
        Failure::new(Exit::CannotCreate, error).help(help)
    }
}

/// Puts `bytes` in the place of a file, readable for everybody. The new content is on disk on return.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_with_mode(path, bytes, MODE_DEFAULT)
}

/// As [`replace`], with the permission bits given, whatever the umask.
pub fn replace_with_mode(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    replace_by(path, mode, |file| file.write_all(bytes))
}

/// As [`replace_with_mode`], for content too long to be held: `write` writes it piece by piece.
pub fn replace_by(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), FileError> {
    let failed = |source| FileError { action: "replace", path: path.to_owned(), source };
    let beside = name_beside(path);
    let written = write_new(&beside, mode, write).and_then(|()| fs::rename(&beside, path));
    if let Err(source) = written {
        // It may not be there; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
        return Err(failed(source));
    }
    sync_folder(path).map_err(failed)
}

fn write_new(path: &Path, mode: u32, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    let mut file = BufWriter::new(file);
    write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// In the same folder, because a rename does not cross file systems; hidden, and unlike any other name.
fn name_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Containers that share a volume often have the same process id, hence the moment.
    let moment = jiff::Timestamp::now().as_nanosecond();
    path.with_file_name(format!(".{name}.{}-{moment}-{count}.new", process::id()))
}

/// Makes a rename or a new name in the folder of `path` survive a power cut.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Appends to an open file and returns when the bytes are on disk. `path` is for the error.
pub fn append_durable(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    written.map_err(|source| FileError { action: "append to", path: path.to_owned(), source })
}

/// The sole right to something, for as long as this value lives; the system gives it back after a crash.
/// It holds between programs of one host; between hosts only where the volume carries locks.
#[derive(Debug)]
pub struct Lock {
    _held: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock if nobody has it; the file is created when missing and stays afterwards.
    pub fn try_take(path: &Path) -> Result<Option<Self>, FileError> {
        let failed = |source| FileError { action: "lock", path: path.to_owned(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _held: file, path: path.to_owned() })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The file that is locked.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        replace(&path, b"old").unwrap();
        assert_eq!(mode(&path), 0o644);
        replace_with_mode(&path, b"new", 0o600).unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (b"new".as_slice(), 0o600));
        assert_eq!(names(folder.path()), ["state.json"]);
    }

    #[test]
    fn a_failure_leaves_the_old_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let missing = replace(&folder.path().join("none/state"), b"new").unwrap_err();
        assert!(missing.to_string().starts_with("cannot replace /") && missing.help().contains("folder is missing"));
        let directory = folder.path().join("taken");
        fs::create_dir(&directory).unwrap();
        assert!(replace(&directory, b"new").is_err());
        assert_eq!(names(folder.path()), ["taken"]);
        assert_eq!(Failure::from(missing).exit.code(), 73);
    }

    #[test]
    fn each_kind_of_disk_trouble_has_its_advice() {
        let help =
            |kind: io::ErrorKind| FileError { action: "replace", path: PathBuf::new(), source: kind.into() }.help();
        assert!(help(io::ErrorKind::StorageFull).contains("disk is full"));
        assert!(help(io::ErrorKind::ReadOnlyFilesystem).contains("read-only"));
        assert!(help(io::ErrorKind::PermissionDenied).contains("user of this container"));
    }

    #[test]
    fn a_full_disk_is_known_as_one() {
        let path = Path::new("/dev/full");
        let mut full = OpenOptions::new().append(true).open(path).unwrap();
        let error = append_durable(&mut full, path, b"line\n").unwrap_err();
        assert!(error.help().contains("disk is full"), "{error:?}");
    }

    #[test]
    fn what_is_appended_follows_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        append_durable(&mut file, &path, b"one\n").unwrap();
        append_durable(&mut file, &path, b"two\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_lock_has_one_holder_and_frees_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::try_take(&path).unwrap().unwrap();
        assert_eq!(held.path(), path);
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::try_take(&path).unwrap().is_some());
        assert!(Lock::try_take(&folder.path().join("none/lock")).is_err());
    }
}
