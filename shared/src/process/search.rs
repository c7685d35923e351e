//! Where a program is, and who a user is.

use std::{env, fs, path::PathBuf};

use which::which_in;

use super::child::StartError;
use crate::config::inherited::search_path;

/// A user and its group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Number of the user.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
}

impl User {
    /// Looks a name up in `/etc/passwd`; containers have no other directory.
    pub fn from_name(name: &str) -> Option<Self> {
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
        Some(Self { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    }
}

/// The file of a program: a path as it is, a bare name searched in `PATH` for one that this user may run, as a shell does.
///
/// # Errors
/// When there is none (exit code 127), or it is not executable (126).
pub fn find_program(name: &str) -> Result<PathBuf, StartError> {
    find_in(name, &search_path())
}

pub(super) fn find_in(name: &str, folders: &[PathBuf]) -> Result<PathBuf, StartError> {
    let missing = || StartError::Missing { program: name.to_owned() };
    // Folders that hold a separator are in no PATH.
    let path = env::join_paths(folders).map_err(|_| missing())?;
    if let Ok(found) = which_in(name, Some(path), env::current_dir().unwrap_or_default()) {
        return Ok(found);
    }
    let is_path = name.contains('/');
    let mut candidates = folders.iter().map(|folder| folder.join(name)).filter(|file| file.is_file());
    let there = if is_path { Some(PathBuf::from(name)).filter(|file| file.exists()) } else { candidates.next() };
    Err(there.map_or_else(missing, |path| StartError::NotExecutable { program: name.to_owned(), path }))
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_program_is_found_missing_or_not_executable() {
        assert!(find_program("sh").unwrap().ends_with("sh"));
        assert!(find_program("/bin/sh").is_ok());
        assert!(matches!(find_program("no-such-program"), Err(StartError::Missing { .. })));
        assert!(matches!(find_program("/etc/passwd"), Err(StartError::NotExecutable { .. })));
        assert!(matches!(find_program("/etc"), Err(StartError::NotExecutable { .. })));
    }

    #[test]
    fn of_two_files_the_one_that_may_be_run_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["a", "b"].map(|name| folder.path().join(name));
        for (place, mode) in [(&first, 0o600), (&second, 0o755)] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("php"), "#!/bin/sh\n").unwrap();
            fs::set_permissions(place.join("php"), Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(find_in("php", &[first.clone(), second.clone()]).unwrap(), second.join("php"));
        let alone = find_in("php", std::slice::from_ref(&first));
        assert!(matches!(alone, Err(StartError::NotExecutable { path, .. }) if path == first.join("php")));
        assert!(matches!(find_in("php", &[]), Err(StartError::Missing { .. })));
    }

    #[test]
    fn root_is_user_zero() {
        assert_eq!(User::from_name("root"), Some(User { uid: 0, gid: 0 }));
        assert_eq!(User::from_name("nobody here"), None);
    }
}
