//! Where a program is, and who a user is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

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

/// The file of a program: a path as it is, a bare name searched in `PATH`.
///
/// # Errors
/// When there is none (exit code 127), or it is not executable (126).
pub fn find_program(name: &str) -> Result<PathBuf, StartError> {
    find_in(name, &search_path())
}

pub(super) fn find_in(name: &str, folders: &[PathBuf]) -> Result<PathBuf, StartError> {
    if name.contains('/') {
        return executable(name, Path::new(name));
    }
    let mut refused = None;
    for folder in folders {
        match executable(name, &folder.join(name)) {
            Ok(path) => return Ok(path),
            Err(error @ StartError::NotExecutable { .. }) => refused = Some(error),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| StartError::Missing { program: name.to_owned() }))
}

fn executable(name: &str, path: &Path) -> Result<PathBuf, StartError> {
    let found = fs::metadata(path).map_err(|_| StartError::Missing { program: name.to_owned() })?;
    if found.is_file() && found.permissions().mode() & 0o111 != 0 {
        Ok(path.to_owned())
    } else {
        Err(StartError::NotExecutable { program: name.to_owned(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
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
    fn root_is_user_zero() {
        assert_eq!(User::from_name("root"), Some(User { uid: 0, gid: 0 }));
        assert_eq!(User::from_name("nobody here"), None);
    }
}
