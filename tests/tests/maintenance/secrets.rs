//! Passwords reach the programs that need them, and nobody else.

use std::fs;
use std::process::Command;

use tests::installation::{Installation, PASSWORD, Run};
use tests::mariadb::ROOT_PASSWORD;

use crate::PROGRAM;

/// Every argument list and environment of the descendants of a process, while it runs.
fn spied(run: &mut Run, matomo: &Installation) -> String {
    let folder = matomo.folder().display().to_string();
    let mut all = String::new();
    while !run.has_ended() {
        for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let read = |name: &str| {
                fs::read(entry.path().join(name))
                    .map(|text| String::from_utf8_lossy(&text).into_owned())
                    .unwrap_or_default()
            };
            let command = read("cmdline");
            let environment = read("environ");
            if environment.contains(&folder) {
                let own = entry.file_name().to_string_lossy() == run.id().to_string();
                all += &command;
                // What our own environment holds, the operator put there; the first moment of a child is still us.
                all += &if own || command.contains("--become-the-program") || command.starts_with(PROGRAM) {
                    String::new()
                } else {
                    environment
                };
            }
        }
    }
    all
}

#[test]
fn c7_10_a_password_of_odd_letters_works_and_is_seen_nowhere() {
    let matomo = Installation::new(PROGRAM, 20);
    // From the configuration, in Matomo's own spelling.
    let set = matomo.backup();
    // From a file, as containers get it; and root's from the environment, which no child inherits.
    let file = matomo.folder().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    matomo.set("MATOMO_DATABASE_PASSWORD_FILE", &file.display().to_string()).set("LOG_LEVEL", "trace");
    let mut seen = String::new();
    let restore = ["restore", set.as_str(), "--yes"];
    for words in [&["backup"][..], &["rehearse"], &restore] {
        let mut run = matomo.start(words);
        seen += &spied(&mut run, &matomo);
        let done = run.wait().ends_with(0);
        seen += &done.to_string();
    }
    assert!(seen.contains("--defaults-file=/proc/"), "the spy saw the programs: {seen}");
    let state = Command::new("grep").args(["-r", "-l", "-F", ROOT_PASSWORD]).arg(matomo.backups()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&state.stdout), "", "root's password is in no file of ours");
    for secret in [PASSWORD, ROOT_PASSWORD] {
        assert!(!seen.contains(secret), "{secret} was seen");
    }
}
