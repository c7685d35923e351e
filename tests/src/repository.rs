//! The repository itself, for tests that read it: its files, and the code in them that runs in production.
#![expect(clippy::unwrap_used, reason = "a repository that cannot be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// What a compiler leaves at the root.
pub const BUILT: &str = "target";

/// Where it lies.
///
/// # Panics
/// Never: this package has a folder above it.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below a folder of the repository, as paths from its root; nothing that was built, nothing of git.
///
/// # Panics
/// When a folder cannot be listed.
pub fn files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                _ if name == ".git" => {}
                true if name == BUILT => {}
                true => folders.push(path),
                false => found.push(path.strip_prefix(root()).unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

/// The text of a file, given as a path from the root; bytes that are not UTF-8 become a mark.
///
/// # Panics
/// When it cannot be read.
pub fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(root().join(file)).unwrap()).into_owned()
}

fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "rs")
}

/// All Rust files below these folders.
pub fn sources(below: &[&str]) -> Vec<PathBuf> {
    below.iter().flat_map(|folder| files(folder)).filter(|file| is_rust(file)).collect()
}

/// The numbered lines of a source that run in production: no comments, and nothing from the unit tests at its end.
///
/// # Panics
/// When the file cannot be read.
pub fn code(file: &Path) -> Vec<(usize, String)> {
    let text = read(file);
    let numbered = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    let bare = numbered.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or("").to_owned()));
    bare.filter(|(_, line)| !line.trim().is_empty()).collect()
}

/// Places where production code holds one of these texts.
///
/// # Panics
/// When a file cannot be read.
pub fn places(files: &[PathBuf], texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let lines = code(file).into_iter().filter(|(_, line)| texts.iter().any(|text| line.contains(text)));
        found.extend(lines.map(|(number, line)| format!("{}:{number}: {}", file.display(), line.trim())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_ends_where_unit_tests_begin_and_comments_are_none() {
        let this = [PathBuf::from("tests/src/repository.rs")];
        assert_eq!(places(&this, &["pub fn root"]).len(), 1);
        assert!(places(&this, &["code_ends_where", "The repository itself"]).is_empty());
    }

    #[test]
    fn all_sources_are_found() {
        let found = sources(&["tests/src"]);
        assert!(found.contains(&PathBuf::from("tests/src/matomo/api.rs")));
        assert!(files("").iter().all(|file| !file.starts_with(".git/") && !file.starts_with(BUILT)));
    }
}
