//! The files that the arguments of `import` name. Matomo's own importer expands patterns itself, so people put them in
//! quotes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::hit::pattern::Pattern;

/// The files of all arguments, in their order; what a shell pattern matches is sorted. An argument that exists as it is,
/// and one that matches nothing, stays as it is: opening it says what is wrong.
pub fn files(arguments: Vec<PathBuf>) -> Vec<PathBuf> {
    arguments.into_iter().flat_map(named).collect()
}

fn named(argument: PathBuf) -> Vec<PathBuf> {
    if !is_pattern(argument.as_os_str()) || argument.exists() {
        return vec![argument];
    }
    let mut found = vec![PathBuf::new()];
    for component in argument.components() {
        found = found.iter().flat_map(|folder| below(folder, component)).collect();
    }
    found.retain(|path| path.exists());
    found.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    if found.is_empty() { vec![argument] } else { found }
}

fn below(folder: &Path, component: Component<'_>) -> Vec<PathBuf> {
    let name = component.as_os_str();
    let pattern = match component {
        Component::Normal(name) if is_pattern(name) => name.to_str().map(Pattern::new),
        _ => None,
    };
    let Some(pattern) = pattern else { return vec![folder.join(name)] };
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let shows_hidden = name.as_bytes().starts_with(b".");
    let matches =
        |name: &OsStr| (shows_hidden || !name.as_bytes().starts_with(b".")) && pattern.matches(name.as_bytes());
    // What cannot be listed holds no match.
    let names = std::fs::read_dir(listed).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| matches(name)).map(|name| folder.join(name)).collect()
}

fn is_pattern(text: &OsStr) -> bool {
    text.as_bytes().iter().any(|byte| b"*?[".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_what_matches_in_order_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/2.log", "b/1.log", "a/3.log", "a-b/4.log", "a/.5.log", "a/6.txt", "a/[7].log"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let named = |arguments: &[&str]| {
            let arguments = arguments.iter().map(|argument| folder.path().join(argument)).collect();
            let files = files(arguments).into_iter();
            files.map(|file| file.strip_prefix(folder.path()).unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(named(&["b/*.log", "a/3.log"]), ["b/1.log", "b/2.log", "a/3.log"]);
        assert_eq!(named(&["*/[1-4].log"]), ["a-b/4.log", "a/3.log", "b/1.log", "b/2.log"]);
        assert_eq!(named(&["a/[7].log", "a/.*", "a/?.txt"]), ["a/[7].log", "a/.5.log", "a/6.txt"]);
        assert_eq!(named(&["a/*.gz", "missing"]), ["a/*.gz", "missing"]);
    }
}
