//! The rules of the repository that a compiler does not know. Each failure says what to do instead.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use tests::deployment::reference::SIDECARS;
use tests::repository::{BUILT, files, places, read, root, sources};

/// What may lie at the root, and nothing else.
const ROOT: [&str; 20] = [
    ".cargo",
    ".ci",
    ".dockerignore",
    ".editorconfig",
    ".git",
    ".gitattributes",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "bins",
    "clippy.toml",
    "compose",
    "docker",
    "docs",
    "rustfmt.toml",
    "shared",
    "tests",
];

/// The files of a program itself: modules that exist for tests only may look at files and the environment.
fn programs(folders: &[&str]) -> Vec<PathBuf> {
    let only_tests = |file: &PathBuf| {
        let names: Vec<_> = file.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        names.iter().any(|name| ["tests", "tests.rs", "golden.rs", "corpus.rs"].contains(&name.as_str()))
    };
    sources(folders).into_iter().filter(|file| !only_tests(file)).collect()
}

fn none(found: &[String], lesson: &str) {
    assert!(found.is_empty(), "{lesson}\n  {}", found.join("\n  "));
}

#[test]
fn the_root_holds_only_what_the_map_names() {
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let strange: Vec<String> = names.filter(|name| !ROOT.contains(&name.as_str()) && name != BUILT).collect();
    none(&strange, "the root is a map: put these into one of its folders, see docs/ARCHITECTURE.md");
}

#[test]
fn no_sidecar_depends_on_a_sidecar() {
    let folders = fs::read_dir(root().join("bins")).unwrap().map(|entry| entry.unwrap().file_name());
    let bins: Vec<String> = folders.map(|name| name.to_string_lossy().into_owned()).collect();
    let mut found = Vec::new();
    for bin in &bins {
        let manifest = PathBuf::from(format!("bins/{bin}/Cargo.toml"));
        let text = read(&manifest);
        let needed = text.lines().skip_while(|line| !line.contains("dependencies]"));
        let needed = needed
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|name| bins.iter().any(|bin| bin == name));
        found.extend(needed.map(|name| format!("{}: {name}", manifest.display())));
    }
    none(&found, "a sidecar depends on shared and on nothing in bins/; what two of them need belongs into shared");
}

#[test]
fn shared_has_never_heard_of_matomo() {
    let found = places(&programs(&["shared/src"]), &["Matomo", "matomo", "MATOMO"]);
    none(&found, "shared knows containers, not Matomo: this belongs into the sidecar that needs it");
}

#[test]
fn only_shared_config_reads_the_environment() {
    let elsewhere: Vec<PathBuf> = programs(&["shared/src", "bins"])
        .into_iter()
        .filter(|file| !file.starts_with("shared/src/config") && file != Path::new("shared/src/config.rs"))
        .collect();
    let found = places(&elsewhere, &["env::var", "var_os(", "env::{var", "set_var("]);
    none(&found, "declare the setting in the sidecar's config.rs; only shared::config reads the environment");
}

#[test]
fn only_shared_process_starts_programs() {
    let elsewhere: Vec<PathBuf> = programs(&["shared/src", "bins"])
        .into_iter()
        .filter(|file| !file.starts_with("shared/src/process") && file != Path::new("shared/src/process.rs"))
        .collect();
    none(&places(&elsewhere, &["process::Command"]), "only shared::process starts programs: it is the one good parent");
}

#[test]
fn formats_and_hits_touch_nothing() {
    let pure = programs(&["bins/log-analytics/src/format", "bins/log-analytics/src/hit"]);
    let found = places(
        &pure,
        &["std::fs", "std::net", "SystemTime", "Instant::now", "Timestamp::now", "Zoned::now", "tokio", "reqwest"],
    );
    none(&found, "format and hit touch no file, no network and no clock: hand the value in as an argument");
}

#[test]
fn every_module_opens_with_a_sentence() {
    let silent = sources(&["shared", "bins", "tests"]).into_iter().filter(|file| !read(file).starts_with("//! "));
    let silent: Vec<String> = silent.map(|file| file.display().to_string()).collect();
    none(&silent, "the first line of a module is `//!` and one sentence: what it is for");
}

#[test]
fn no_task_marks_are_left() {
    // Put together here, so that this file does not hold what it looks for.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"], ["todo", "!("], ["unimplem", "ented!"]];
    let marks: Vec<String> = marks.iter().map(|halves| halves.concat()).collect();
    let is_ours = |file: &PathBuf| file != Path::new("Cargo.lock");
    let mut found = Vec::new();
    for file in files("").into_iter().filter(is_ours) {
        let text = read(&file);
        for (at, line) in text.lines().enumerate() {
            let holds =
                |mark: &String| line.match_indices(mark.as_str()).any(|(from, _)| stands_alone(line, from, mark));
            if marks.iter().any(holds) {
                found.push(format!("{}:{}: {}", file.display(), at + 1, line.trim()));
            }
        }
    }
    none(&found, "finish it, or write an issue: the main branch carries no task marks");
}

/// Is the mark a word, and not part of one (as in a temporary file's `.XXXXXX`)?
fn stands_alone(line: &str, from: usize, mark: &str) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = line.as_bytes();
    let before = from.checked_sub(1).and_then(|at| bytes.get(at));
    !is_letter(before) && (mark.ends_with(['(', '!']) || !is_letter(bytes.get(from + mark.len())))
}

const PAGE_HEAD: &str = "\
# Environment variables

Generated from the declarations that the programs themselves read; do not edit by hand.

Every variable may also be given as `NAME_FILE`: the path of a file with the value in it, for mounted secrets. Giving both
is an error. An empty variable counts as not set. Lengths of time are written `90s`, `15m`, `2h`, `1d`.
";

#[test]
fn the_page_of_settings_is_up_to_date() {
    let tables = SIDECARS.iter().map(|(name, reference)| format!("\n## {name}\n\n{}", reference()));
    let reference = tables.fold(PAGE_HEAD.to_owned(), |page, table| page + &table);
    let page = root().join("docs/reference/environment.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(page.parent().unwrap()).unwrap();
        fs::write(&page, &reference).unwrap();
    }
    assert!(
        fs::read_to_string(&page).is_ok_and(|written| written == reference),
        "docs/reference/environment.md is out of date; run: UPDATE_DOCS=1 cargo test -p tests --test tidy"
    );
}

#[test]
fn every_sidecar_is_in_the_page_of_settings() {
    let folders = fs::read_dir(root().join("bins")).unwrap().map(|entry| entry.unwrap().file_name());
    let names = folders.map(|name| name.to_string_lossy().into_owned());
    let missing: Vec<String> = names.filter(|name| SIDECARS.iter().all(|(known, _)| known != name)).collect();
    none(&missing, "add the sidecar to SIDECARS in tests/src/deployment/reference.rs");
}
