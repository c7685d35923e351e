//! Unfinished files of a killed rsync, which nothing else ever removes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use walkdir::WalkDir;

/// A transfer that still runs has written to its file more recently than this.
const AGE_MIN: Duration = Duration::from_secs(24 * 60 * 60);
const DEPTH_MAX: usize = 16;

/// Removes what a killed rsync left below a folder more than a day ago; answers what it was.
pub fn remove_leftovers(folder: &Path, now: SystemTime) -> Vec<PathBuf> {
    let entries = WalkDir::new(folder).max_depth(DEPTH_MAX).into_iter().filter_map(Result::ok);
    let leftovers = entries.filter(|entry| {
        entry.file_type().is_file()
            && is_leftover(&entry.file_name().to_string_lossy())
            && entry.metadata().is_ok_and(|found| {
                let age = found.modified().ok().and_then(|modified| now.duration_since(modified).ok());
                // While rsync writes, nobody else may read; it sets the right mode at the end.
                found.mode() & 0o077 == 0 && age.is_some_and(|age| age > AGE_MIN)
            })
    });
    leftovers.map(walkdir::DirEntry::into_path).filter(|path| fs::remove_file(path).is_ok()).collect()
}

/// `.name.XXXXXX` with letters and digits at random. A word or a date in their place is somebody's own file.
fn is_leftover(name: &str) -> bool {
    let Some((stem, letters)) = name.strip_prefix('.').and_then(|name| name.rsplit_once('.')) else { return false };
    let has = |what: fn(&char) -> bool| letters.chars().any(|c| what(&c));
    let looks_random = has(char::is_ascii_uppercase) || (has(char::is_ascii_digit) && has(char::is_ascii_lowercase));
    !stem.is_empty() && letters.len() == 6 && letters.chars().all(|c| c.is_ascii_alphanumeric()) && looks_random
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_random_endings_of_hidden_names_are_leftovers() {
        for name in [".access.log.a1B2c3", ".x.ABCDEF", ".access_log.2026-01-01.9kq3zz"] {
            assert!(is_leftover(name), "{name}");
        }
        for name in
            ["access.log.a1B2c3", ".htaccess", ".htaccess.backup", ".access_log.202601", "..a1B2c3", ".a.b1B2c3d"]
        {
            assert!(!is_leftover(name), "{name}");
        }
    }

    #[test]
    fn only_old_and_private_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, mode: u32| {
            let file = folder.path().join(name);
            fs::write(&file, "half").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        let half = write(".a.log.Ab12Cd", 0o600);
        let (readable, whole) = (write(".b.log.Ab12Cd", 0o644), write("c.log", 0o600));
        assert!(remove_leftovers(folder.path(), SystemTime::now()).is_empty());
        let in_two_days = SystemTime::now() + 2 * AGE_MIN;
        assert_eq!(remove_leftovers(folder.path(), in_two_days), [half]);
        assert!(readable.exists() && whole.exists());
    }
}
