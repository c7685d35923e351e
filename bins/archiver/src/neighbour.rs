//! Archivers that somebody else started in the same process space, found as Matomo itself finds them.

use std::fs;
use std::path::Path;

/// An archiver at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The number of its process.
    pub pid: i32,
    /// Its console, when the command line says it by its whole path.
    console: Option<String>,
}

impl Neighbour {
    /// Whether it may be at work on the same Matomo; only a different path proves that it is not.
    pub fn may_share(&self, console: &Path) -> bool {
        self.console.as_ref().is_none_or(|theirs| fs::canonicalize(theirs).ok() == fs::canonicalize(console).ok())
    }
}

/// All processes whose command line Matomo counts as an archiver: it holds the word for the console, then the command,
/// wrappers included.
pub fn archivers() -> Vec<Neighbour> {
    archivers_in(Path::new("/proc"))
}

fn archivers_in(proc: &Path) -> Vec<Neighbour> {
    let entries = fs::read_dir(proc).into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<Neighbour> = pids
        .filter_map(|pid: i32| neighbour(pid, &fs::read(proc.join(pid.to_string()).join("cmdline")).ok()?))
        .collect();
    found.sort_unstable_by_key(|neighbour| neighbour.pid);
    found
}

fn neighbour(pid: i32, command_line: &[u8]) -> Option<Neighbour> {
    let words: Vec<u8> = command_line.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
    let text = String::from_utf8_lossy(&words);
    if !text.contains("console ") || !text.contains(" core:archive") {
        return None;
    }
    let console = text.split(' ').find(|word| word.starts_with('/') && word.ends_with("/console"));
    Some(Neighbour { pid, console: console.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_judged_as_matomo_does() {
        let is_archiver = |line: &[u8]| neighbour(1, line).is_some();
        assert!(is_archiver(b"/usr/bin/php\0/var/www/html/console\0core:archive\0--no-ansi\0"));
        assert!(is_archiver(b"sh\0-c\0php console core:archive\0"), "a wrapper counts, too");
        assert!(!is_archiver(b"archiver\0once\0archive\0"));
        assert!(!is_archiver(b"php\0/var/www/html/console\0climulti:request\0"));
        assert!(!is_archiver(b""));
    }

    #[test]
    fn only_another_path_proves_another_matomo() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (folder.path().join("console"), folder.path().join("other/console"));
        fs::create_dir(folder.path().join("other")).unwrap();
        fs::write(&ours, "").unwrap();
        fs::write(&theirs, "").unwrap();
        let line = |path: &Path| format!("php\0{}\0core:archive\0", path.display());
        assert!(neighbour(1, line(&ours).as_bytes()).unwrap().may_share(&ours));
        assert!(!neighbour(1, line(&theirs).as_bytes()).unwrap().may_share(&ours));
        assert!(neighbour(1, b"php\0console\0core:archive\0").unwrap().may_share(&ours));
    }

    #[test]
    fn processes_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        for (pid, line) in
            [("12", "php\0console\0core:archive\0"), ("7", "php\0console\0core:archive\0"), ("9", "sh\0")]
        {
            fs::create_dir(folder.path().join(pid)).unwrap();
            fs::write(folder.path().join(pid).join("cmdline"), line).unwrap();
        }
        fs::create_dir(folder.path().join("self")).unwrap();
        let pids: Vec<i32> = archivers_in(folder.path()).iter().map(|neighbour| neighbour.pid).collect();
        assert_eq!(pids, [7, 12]);
    }
}
