//! What is in a set, of which moment it is, whether damage to it is found, and how long it is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tests::installation::{DATABASE, Installation};

use crate::{PROGRAM, healthy};

#[test]
fn a_backup_holds_everything_and_says_of_what_it_is_a_copy() {
    let matomo = healthy();
    let set = matomo.backup();
    let manifest = matomo.manifest(&set);
    let rows = matomo.database.ask(&format!("SELECT COUNT(*) FROM {DATABASE}.matomo_log_visit"));
    assert_eq!(manifest["database"]["tables"]["matomo_log_visit"].to_string(), rows);
    assert_eq!(manifest["database"]["tables"]["matomo_goal"], 0, "an empty table is one");
    assert_eq!(manifest["database"]["matomo"], "5.0.2");
    assert_eq!(manifest["matomo"], "5.0.2");
    assert_eq!(manifest["plugins"], serde_json::json!([{ "name": "LoginLdap", "version": "5.1.0" }]));
    assert_eq!(manifest["config_keys"]["database"][3], "password", "names of keys, never values");
    let folder = matomo.backups().join(&set);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    assert_eq!(fs::read_to_string(folder.join("config.ini.php")).unwrap(), matomo.config());
    // A person needs no program of ours to check it or to read it.
    let sums =
        Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&folder).output().unwrap();
    assert!(sums.status.success(), "{}", String::from_utf8_lossy(&sums.stdout));
    matomo.run(&["verify"]).ends_with(0).says(&[&set, "is whole", "4 members"]);
    matomo.run(&["status"]).ends_with(0).says(&["newest backup", &set, "never rehearsed"]);
    matomo.run(&["backup", "--dry-run"]).ends_with(0).says(&["would copy", DATABASE, "LoginLdap", "misc/user"]);
    assert_eq!(matomo.sets(), [set]);
}

#[test]
fn c7_06_a_backup_while_writes_go_on_is_of_one_moment_and_blocks_nobody() {
    let matomo = Installation::new(PROGRAM, 40);
    let stop = AtomicBool::new(false);
    let (set, (written, longest)) = thread::scope(|scope| {
        let writer = scope.spawn(|| matomo.database.longest_write(DATABASE, &stop));
        thread::sleep(Duration::from_millis(300));
        let set = matomo.backup();
        stop.store(true, Ordering::Relaxed);
        (set, writer.join().unwrap())
    });
    assert!(written > 20, "only {written} writes");
    // The bar is 0.1 s on a quiet machine; a copy that locks tables would block for the whole dump.
    assert!(longest < Duration::from_millis(500), "a write waited {longest:?}");
    let tables = &matomo.manifest(&set)["database"]["tables"];
    let (visits, actions) =
        (tables["matomo_log_visit"].as_u64().unwrap(), tables["matomo_log_link_visit_action"].as_u64().unwrap());
    assert_eq!(actions, visits * 3, "a visit and its actions were written together and are copied together");
    matomo.run(&["rehearse"]).ends_with(0);
    println!("{written} writes, the longest waited {longest:?}");
}

/// Changes one byte of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

#[test]
fn c7_08_a_set_that_was_altered_anywhere_is_found_and_named() {
    let matomo = healthy();
    let set = matomo.backup();
    let folder = matomo.backups().join(&set);
    let keep = matomo.folder().join("keep");
    let copied = Command::new("cp").args(["--archive"]).arg(&folder).arg(&keep).status().unwrap();
    assert!(copied.success());
    let names =
        ["database.sql.zst", "config.ini.php", "plugins.tar.zst", "files.tar.zst", "manifest.json", "SHA256SUMS"];
    let restored = || {
        fs::remove_dir_all(&folder).unwrap();
        assert!(Command::new("cp").args(["--archive"]).arg(&keep).arg(&folder).status().unwrap().success());
    };
    for name in names {
        let path = folder.join(name);
        let length = fs::metadata(&path).unwrap().len() as usize;
        // The first byte, the last, and some between.
        for at in [0, length / 3, length / 2, length - 1] {
            flip(&path, at);
            let done = matomo.run(&["verify", &set]);
            assert_eq!(done.code, Some(1), "byte {at} of {name}: {done}");
            assert!(done.stderr.contains(name) || ["manifest.json", "SHA256SUMS"].contains(&name), "{done}");
            flip(&path, at);
        }
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length as u64 - 1).unwrap();
        matomo.run(&["verify", &set]).ends_with(1);
        fs::remove_file(&path).unwrap();
        matomo.run(&["verify", &set]).ends_with(1);
        matomo.run(&["restore", &set, "--yes"]).ends_with(1).says(&["damaged"]);
        restored();
        let mut longer = fs::read(&path).unwrap();
        longer.push(b'\n');
        fs::write(&path, longer).unwrap();
        matomo.run(&["verify", &set]).ends_with(1);
        restored();
    }
    matomo.run(&["verify", &set]).ends_with(0);
    // A damaged set is no set: it is listed as what it is.
    fs::remove_file(folder.join("manifest.json")).unwrap();
    matomo.run(&["history"]).ends_with(0).says(&["UNUSABLE", "manifest.json"]);
    matomo.run(&["verify", "nonsense"]).ends_with(64).says(&["no backup set nonsense"]);
}

#[test]
fn a_manifest_with_other_rows_than_the_dump_is_found_though_all_sums_fit() {
    let matomo = healthy();
    let set = matomo.backup();
    for (table, rows) in [("matomo_log_visit", 7), ("matomo_invented", 0)] {
        matomo.forge(&set).manifest(|manifest| manifest["database"]["tables"][table] = rows.into());
        let done = matomo.run(&["verify", &set]).ends_with(1);
        done.says(&["database.sql.zst", "its tables and rows are not those of the manifest"]);
        matomo.run(&["restore", &set, "--yes"]).ends_with(1).says(&["not those of the manifest"]);
    }
}

#[test]
fn c7_11_old_sets_go_and_the_last_good_one_stays() {
    let matomo = Installation::new(PROGRAM, 1);
    matomo.set("MAINTENANCE_KEEP", "2");
    let first = matomo.backup();
    matomo.run(&["rehearse"]).ends_with(0);
    let names: Vec<String> = (0..3).map(|_| matomo.backup()).collect();
    // The newest proven one stays besides.
    assert_eq!(matomo.sets(), [first.clone(), names[1].clone(), names[2].clone()]);
    // A backup that fails removes nothing, however little may be kept.
    matomo.set("MAINTENANCE_KEEP", "1").set("MAINTENANCE_KEEP_AGE", "1s").set("MATOMO_DATABASE_PASSWORD", "wrong");
    thread::sleep(Duration::from_secs(2));
    matomo.run(&["backup"]).ends_with(78);
    assert_eq!(matomo.sets().len(), 3);
    matomo.unset("MATOMO_DATABASE_PASSWORD");
    let last = matomo.backup();
    assert_eq!(matomo.sets(), [first, last]);
}
