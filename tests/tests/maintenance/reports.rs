//! What `--dry-run` leaves alone, and what `--json` prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tests::installation::{DATABASE, Installation};

use crate::{PROGRAM, healthy};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Every file below a folder, with its content.
fn files(folder: &Path) -> Files {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        match entry.unwrap().path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

/// Files, databases, and the checksums of all tables.
fn everything(matomo: &Installation) -> (Files, Vec<String>, BTreeMap<String, String>) {
    (files(matomo.folder()), matomo.database.databases(), matomo.database.checksums(DATABASE))
}

#[test]
fn a_dry_run_of_anything_changes_nothing() {
    let matomo = healthy();
    let set = matomo.backup();
    for is_locked in [false, true] {
        if is_locked {
            matomo.run(&["lock"]).ends_with(0);
        }
        let before = everything(&matomo);
        for words in [
            &["lock"][..],
            &["lock", "--tracking-only"],
            &["lock", "--ui-only"],
            &["unlock"],
            &["unlock", "--open"],
            &["backup"],
            &["backup", "--lock"],
            &["rehearse"],
            &["restore", &set],
            &["restore", &set, "--yes", "--without-safety-backup"],
            &["upgrade-guard"],
            &["upgrade-guard", "--rehearse"],
        ] {
            matomo.run(&[words, &["--dry-run"]].concat()).ends_with(0).says(&["would"]);
            let json = matomo.run(&[words, &["--dry-run", "--json"]].concat()).ends_with(0).json();
            assert_eq!(json["dry_run"], true, "{words:?}: {json}");
            assert!(everything(&matomo) == before, "{words:?} changed something");
        }
    }
    let fresh = Installation::new(PROGRAM, 1);
    fresh.run(&["backup", "--dry-run"]).ends_with(0);
    assert!(!fresh.backups().exists(), "not even a folder is made");
}

#[test]
fn every_report_is_one_json_document_and_nothing_besides() {
    let matomo = healthy();
    matomo.write("console.sh", "exit 0\n");
    matomo.set("MATOMO_CONSOLE", "sh console.sh").set("RUN_AS_USER", "self");
    let answer = |words: &[&str]| matomo.run(&[words, &["--json"]].concat()).ends_with(0).json();
    let set = answer(&["backup"])["set"].as_str().unwrap().to_owned();
    assert_eq!(answer(&["lock"])["ui"], false);
    assert_eq!(answer(&["unlock"])["ui"], true);
    assert_eq!(answer(&["verify"])["set"], set);
    assert_eq!(answer(&["rehearse"])["good"], true);
    assert_eq!(answer(&["restore", &set, "--yes"])["set"], set);
    assert_eq!(answer(&["upgrade-guard"])["schema_of_matomo"], "5.0.2");
    let status = answer(&["status"]);
    assert_eq!((&status["schema_of_matomo"], &status["code_of_matomo"]), (&"5.0.2".into(), &"5.0.2".into()));
    assert_eq!(status["containers"][0]["ui_status"], 401);
    assert!(status["newest_backup"]["age_seconds"].as_i64().is_some_and(|age| age < 600), "{status}");
    assert_eq!(answer(&["check"])[0]["kind"], "ok");
    let events = answer(&["history"])["events"].as_array().unwrap().clone();
    let commands: Vec<&str> = events.iter().map(|event| event["command"].as_str().unwrap()).collect();
    for command in ["backup", "lock", "unlock", "rehearse", "restore", "upgrade"] {
        assert!(commands.contains(&command), "{command} is not in {commands:?}");
    }
}
