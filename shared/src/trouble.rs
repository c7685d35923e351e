//! What the operating system refuses, and what to do about it: one table of causes for every program.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::{io::Errno, process};

use crate::entry::Exit;

/// The exit code and the advice for a file or folder that cannot be used because of `error`.
pub fn advice(path: &Path, error: &io::Error) -> (Exit, String) {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw_os_error) else {
        return (Exit::TryAgain, "look at the file and at its volume".to_owned());
    };
    match errno {
        Errno::ACCESS | Errno::PERM => (Exit::Failed, may_not(path)),
        Errno::MFILE => {
            (Exit::TryAgain, "raise the limit of open files of this container (`ulimit -n`, at least 256)".to_owned())
        }
        Errno::NFILE => (Exit::TryAgain, "the host has no free file handles: raise fs.file-max there".to_owned()),
        Errno::NOMEM => (Exit::TryAgain, "give the container or the host more memory".to_owned()),
        Errno::NOSPC | Errno::DQUOT => (Exit::CannotCreate, "make room on the volume".to_owned()),
        Errno::ROFS => (Exit::CannotCreate, "the volume is mounted read-only: mount it writable".to_owned()),
        Errno::IO => {
            (Exit::TryAgain, "the disk or the network volume fails: look at the log of the host's kernel".to_owned())
        }
        Errno::STALE | Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NOTCONN | Errno::NODEV => {
            (Exit::TryAgain, "the network volume is away: look at its server, or mount it again".to_owned())
        }
        Errno::NOENT => (Exit::Failed, "it is not there: mount the volume, or create it".to_owned()),
        _ => (Exit::TryAgain, "look at the volume".to_owned()),
    }
}

/// Who owns the first thing on the way to a path that we may not enter or read, and the command that mends it.
fn may_not(path: &Path) -> String {
    let (user, group) = (process::geteuid().as_raw(), process::getegid().as_raw());
    let Some((closed, about)) = first_closed(path) else {
        return format!("let the user of this container ({user}:{group}) read it");
    };
    let mode = about.mode() & 0o7777;
    format!(
        "{} belongs to {}:{}, mode {mode:04o}, and this program runs as {user}:{group}: `chown -R {user}:{group} {}` on the \
         volume, or run the container as the owner",
        closed.display(),
        about.uid(),
        about.gid(),
        closed.display()
    )
}

fn first_closed(path: &Path) -> Option<(PathBuf, fs::Metadata)> {
    let mut ways: Vec<&Path> = path.ancestors().collect();
    ways.reverse();
    // The last one that can be looked at is the one that may not be entered, or the thing itself.
    ways.into_iter().map_while(|way| Some((way.to_owned(), fs::metadata(way).ok()?))).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_advice_and_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let advice = |errno: Errno| advice(folder.path(), &io::Error::from(errno));
        let rows = [
            (Errno::MFILE, 75, "ulimit -n"),
            (Errno::NOSPC, 73, "make room"),
            (Errno::IO, 75, "kernel"),
            (Errno::STALE, 75, "network volume"),
            (Errno::ACCESS, 1, "chown -R"),
        ];
        for (errno, code, word) in rows {
            let (exit, help) = advice(errno);
            assert_eq!(exit.code(), code, "{errno:?}");
            assert!(help.contains(word), "{help}");
        }
    }
}
