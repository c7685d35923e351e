//! `maintenance backup`, `verify`, `rehearse`, `restore` and `upgrade-guard` against a real MariaDB, healthy and not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tests::installation::{DATABASE, Installation, PASSWORD, USER};
use tests::mariadb::{MariaDb, ROOT_PASSWORD, user_number};

const PROGRAM: &str = env!("CARGO_BIN_EXE_maintenance");

fn healthy() -> Installation {
    Installation::new(PROGRAM, 2)
}

/// Waits for a fact.
#[track_caller]
fn until(what: &str, fact: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !fact() {
        assert!(Instant::now() < give_up, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

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
fn c_147_a_rehearsal_restores_compares_boots_and_leaves_nothing() {
    let matomo = healthy();
    let set = matomo.backup();
    let before = (matomo.database.databases(), matomo.database.checksums(DATABASE));
    matomo.run(&["rehearse"]).ends_with(0).says(&[&set, "9 tables", "are those of the set"]);
    assert_eq!((matomo.database.databases(), matomo.database.checksums(DATABASE)), before);
    let status = matomo.run(&["status", "--json"]).ends_with(0).json();
    assert!(status["newest_backup"]["rehearsed"].is_string(), "{status}");
    matomo.run(&["history"]).ends_with(0).says(&[&set, "rehearsed"]).says(&["ok", "rehearse"]);
    matomo.run(&["verify", &set]).ends_with(0);
    // Without the right to create databases, the help says what to grant; after that, Matomo's own user does.
    matomo.unset("MARIADB_ROOT_PASSWORD");
    let refused = matomo.run(&["rehearse"]).ends_with(78).says(&["GRANT ALL ON `matomo\\_db\\_maintenance\\_%`.*"]);
    assert!(!refused.stderr.contains(PASSWORD));
    matomo.database.ask(&format!("GRANT ALL ON `matomo\\_db\\_maintenance\\_%`.* TO '{USER}'@'%'"));
    matomo.run(&["rehearse"]).ends_with(0);
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

#[test]
fn c7_09_a_restore_gives_back_database_configuration_plugins_and_files() {
    let matomo = healthy();
    let set = matomo.backup();
    let (sums, config) = (matomo.database.checksums(DATABASE), matomo.config());
    // Damage of every kind.
    matomo.database.ask(&format!(
        "USE {DATABASE}; DELETE FROM matomo_log_visit WHERE idvisit % 2; DROP TABLE matomo_site; CREATE TABLE matomo_new (a INT); INSERT INTO matomo_new VALUES (1)"
    ));
    matomo.write("plugins/LoginLdap/LoginLdap.php", "broken");
    matomo.write("plugins/LoginLdap/new.php", "not in the set");
    matomo.write("plugins/Other/plugin.php", "stays");
    matomo.write("misc/user/logo.png", "another logo");
    fs::remove_file(matomo.matomo().join("misc/DBIP-City.mmdb")).unwrap();
    // The connection may have changed since; it is kept.
    let moved = config
        .replace("host = \"127.0.0.1\"", "host = \"localhost\"")
        .replace("salt = \"secret-salt\"", "salt = \"lost\"");
    fs::write(matomo.config_path(), &moved).unwrap();
    matomo.set("MARIADB_HOST", "127.0.0.1");

    matomo.run(&["restore", &set]).ends_with(64).says(&["would replace", "safety backup"]).says(&["add --yes"]);
    matomo.run(&["restore", &set, "--dry-run"]).ends_with(0).says(&["would replace"]);
    assert_eq!(matomo.read("plugins/LoginLdap/LoginLdap.php").as_deref(), Some("broken"), "nothing was changed");
    let done = matomo.run(&["restore", &set, "--yes", "--json"]).ends_with(0).json();
    assert_eq!(matomo.database.checksums(DATABASE), sums);
    assert_eq!(matomo.database.databases(), [DATABASE], "nothing is left beside it");
    assert_eq!(matomo.config(), config.replace("host = \"127.0.0.1\"", "host = \"localhost\""));
    assert_eq!(matomo.read("plugins/LoginLdap/LoginLdap.php").as_deref(), Some("<?php // ldap"));
    assert_eq!(matomo.read("plugins/LoginLdap/new.php"), None);
    assert_eq!(matomo.read("plugins/Other/plugin.php").as_deref(), Some("stays"));
    assert_eq!(matomo.read("misc/user/logo.png").as_deref(), Some("the logo"));
    assert_eq!(matomo.read("misc/DBIP-City.mmdb").as_deref(), Some("where everybody is"));
    let mode = |path: &str| fs::metadata(matomo.matomo().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("plugins/LoginLdap/LoginLdap.php"), mode("config/config.ini.php")), (0o751, 0o640));
    assert!(!matomo.matomo().join(".maintenance-restore").exists());
    assert_eq!(
        (matomo.web.get("/matomo.php").0, matomo.web.get("/index.php?module=API").0),
        (200, 401),
        "tracking records, the UI answers"
    );

    // What was there before is a set as well, and its restore brings the damage back.
    let safety = done["safety"].as_str().unwrap();
    assert!(safety.ends_with("-safety"));
    matomo.run(&["restore", safety, "--yes"]).ends_with(0);
    assert_eq!(matomo.read("plugins/LoginLdap/LoginLdap.php").as_deref(), Some("broken"));
    assert_eq!(matomo.database.ask(&format!("SELECT a FROM {DATABASE}.matomo_new")), "1");
}

#[test]
fn c7_09_owners_are_as_they_were() {
    if !rustix::process::geteuid().is_root() {
        println!("only root may give files to others");
        return;
    }
    let matomo = healthy();
    let owned = |path: &str, user: u32, group: u32| {
        std::os::unix::fs::chown(matomo.matomo().join(path), Some(user), Some(group)).unwrap();
    };
    owned("plugins/LoginLdap/LoginLdap.php", 1001, 33);
    owned("misc/user/logo.png", 1001, 34);
    owned("config/config.ini.php", 1001, 35);
    let set = matomo.backup();
    owned("plugins/LoginLdap/LoginLdap.php", 0, 0);
    matomo.run(&["restore", &set, "--yes"]).ends_with(0);
    let owner = |path: &str| fs::metadata(matomo.matomo().join(path)).map(|found| (found.uid(), found.gid())).unwrap();
    assert_eq!(owner("plugins/LoginLdap/LoginLdap.php"), (1001, 33));
    assert_eq!(owner("misc/user/logo.png"), (1001, 34));
    assert_eq!(owner("config/config.ini.php"), (1001, 35));
}

#[test]
fn c7_09_an_empty_server_and_an_empty_volume_are_filled_from_a_set() {
    let matomo = healthy();
    let set = matomo.backup();
    let (sums, config) = (matomo.database.checksums(DATABASE), matomo.config());
    let empty = MariaDb::start();
    fs::remove_dir_all(matomo.matomo()).unwrap();
    fs::create_dir_all(matomo.matomo().join("config")).unwrap();
    matomo.set("MARIADB_HOST", "127.0.0.1").set("MARIADB_PORT_NUMBER", &empty.port().to_string());
    matomo.set("MATOMO_DATABASE_NAME", DATABASE).set("MATOMO_DATABASE_USER", USER).set("MATOMO_DATABASE_PASSWORD", "x");
    matomo.run(&["restore", &set, "--yes"]).ends_with(0);
    assert_eq!(empty.checksums(DATABASE), sums);
    assert_eq!(matomo.config(), config);
    assert_eq!(matomo.read("misc/user/logo.png").as_deref(), Some("the logo"));
}

#[test]
fn a_newer_schema_is_not_put_under_older_code_without_force() {
    let matomo = healthy();
    let set = matomo.backup();
    matomo.write("core/Version.php", "<?php\nfinal class Version\n{\n    const VERSION = '4.16.1';\n}\n");
    matomo.run(&["restore", &set, "--yes"]).ends_with(1).says(&["5.0.2", "4.16.1", "does not fit older code"]);
    assert_eq!(matomo.sets(), std::slice::from_ref(&set), "no safety backup was needed, nothing was done");
    matomo.run(&["restore", &set, "--yes", "--force"]).ends_with(0);
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
fn c_147_a_wrong_password_and_an_absent_server_are_said_and_nothing_is_left() {
    let mut matomo = healthy();
    let set = matomo.backup();
    let nothing_new = |matomo: &Installation| {
        assert_eq!(matomo.sets(), std::slice::from_ref(&set));
        assert_eq!(matomo.leftovers(), [""; 0]);
        assert!(!matomo.config().contains("maintenance_mode"), "the switches are back");
    };
    matomo.set("MATOMO_DATABASE_PASSWORD", "wrong-password");
    let done =
        matomo.run(&["backup", "--lock"]).ends_with(78).says(&["Access denied"]).says(&["MATOMO_DATABASE_PASSWORD"]);
    assert!(!done.to_string().contains("wrong-password"), "{done}");
    nothing_new(&matomo);
    matomo.unset("MATOMO_DATABASE_PASSWORD");
    matomo.database.kill();
    matomo.run(&["backup", "--lock"]).ends_with(69).says(&["is the server up"]);
    matomo.run(&["check"]).says(&["FAULT", "cannot ask the database"]);
    nothing_new(&matomo);
    matomo.database.start_again();
    matomo.follow_database();
    matomo.run(&["backup"]).ends_with(0);
}

/// Kills the connections that dump, or says that there are none.
fn kill_dumps(database: &MariaDb) -> bool {
    let dumping = database.ask("SELECT id FROM information_schema.processlist WHERE info LIKE '%SQL_NO_CACHE%matomo_log%' AND info NOT LIKE '%processlist%'");
    dumping.lines().filter(|id| database.try_ask(&format!("KILL {id}")).is_ok()).count() > 0
}

#[test]
fn c7_07_a_dump_whose_connection_is_killed_is_no_set_and_the_switches_come_back() {
    let matomo = Installation::new(PROGRAM, 60);
    let config = matomo.config();
    let run = matomo.start(&["backup", "--lock"]);
    until("a dump under way", || kill_dumps(&matomo.database));
    let done = run.wait();
    assert_eq!(done.code.map(|code| code != 0), Some(true), "{done}");
    done.says(&["database.sql.zst", "failed"]);
    assert_eq!((matomo.sets().len(), matomo.leftovers().len()), (0, 0));
    assert_eq!(matomo.config(), config);
    matomo.run(&["history"]).ends_with(0).says(&["FAILED", "backup"]);
}

#[test]
fn c7_07_a_server_that_dies_in_the_middle_leaves_no_set() {
    let mut matomo = Installation::new(PROGRAM, 60);
    let run = matomo.start(&["backup"]);
    until("a dump under way", || {
        matomo.database.ask("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SQL_NO_CACHE%matomo_log%' AND info NOT LIKE '%processlist%'") != "0"
    });
    matomo.database.kill();
    let done = run.wait();
    assert!(matches!(done.code, Some(1 | 69)), "{done}");
    assert_eq!((matomo.sets().len(), matomo.leftovers().len()), (0, 0));
}

struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(place: &Path, kilobytes: u64) -> Self {
        fs::create_dir_all(place).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])
            .arg(place)
            .status();
        assert!(status.unwrap().success(), "a small disk can be mounted");
        Self(place.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn c7_07_a_full_disk_leaves_earlier_sets_and_no_new_one() {
    if !rustix::process::geteuid().is_root() {
        println!("only root may mount a small disk");
        return;
    }
    let matomo = healthy();
    let small = matomo.backup();
    let bytes: u64 = fs::read_dir(matomo.backups().join(&small))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    // Room for two of them and a half, by the estimate; then the database grows.
    let disk = matomo.folder().join("small");
    let _disk = Tmpfs::mount(&disk, bytes * 5 / 2 / 1024 + 64);
    matomo.set("MAINTENANCE_DIR", &disk.display().to_string());
    matomo.run(&["backup"]).ends_with(0);
    matomo.database.ask(&format!(
        "USE {DATABASE}; INSERT INTO matomo_archive_blob_2026_01 SELECT seq + 1000000, 'x', 1, NULL, NULL, 1, NULL, RANDOM_BYTES(1000) FROM seq_1_to_{}",
        bytes / 400
    ));
    let config = matomo.config();
    let done = matomo.run(&["backup", "--lock"]);
    assert_eq!(done.code, Some(73), "{done}");
    let done = done.says(&["No space left"]);
    assert_eq!(matomo.config(), config, "{done}");
    let json = matomo.run(&["history", "--json"]).ends_with(0).json();
    assert_eq!(json["sets"].as_array().unwrap().len(), 1, "{json}");
    let hidden = fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(hidden.filter(|name| name.starts_with(".partial")).count(), 0);
    matomo.run(&["verify"]).ends_with(0);
    // Where even the estimate says no, nothing is tried.
    let filler = fs::File::create(disk.join("filler")).unwrap();
    let _ = std::io::copy(&mut std::io::Read::take(std::io::repeat(1), u64::MAX), &mut &filler);
    matomo.run(&["backup"]).ends_with(73).says(&["MB free"]);
}

#[test]
fn c7_07_a_plugin_file_that_cannot_be_read_fails_the_backup() {
    let matomo = healthy();
    let path = matomo.matomo().join("plugins/LoginLdap/secret.php");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(matomo.config_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let done = if rustix::process::geteuid().is_root() {
        fs::create_dir_all(matomo.backups()).unwrap();
        let nobody = user_number("nobody").unwrap();
        std::os::unix::fs::chown(matomo.backups(), Some(nobody), Some(nobody)).unwrap();
        matomo.run_as(nobody, &["backup"])
    } else {
        matomo.run(&["backup"])
    };
    assert!(done.code.is_some_and(|code| code != 0), "{done}");
    done.says(&["plugins.tar.zst", "failed"]).says(&["secret.php"]);
    assert_eq!(matomo.leftovers(), [""; 0]);
    assert_eq!(matomo.sets(), [""; 0]);
}

/// Every argument list and environment of the descendants of a process, while it runs.
fn spied(run: &mut tests::installation::Run, matomo: &Installation) -> String {
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

#[test]
fn c_147_a_stop_in_the_middle_of_a_backup_gives_the_switches_back() {
    let matomo = Installation::new(PROGRAM, 60);
    let config = matomo.config();
    let run = matomo.start(&["backup", "--lock"]);
    until("the lock", || matomo.config() != config);
    until("a dump under way", || {
        matomo.database.ask("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SQL_NO_CACHE%matomo_log%' AND info NOT LIKE '%processlist%'") != "0"
    });
    let pid = rustix::process::Pid::from_raw(run.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    run.wait().ends_with(75).says(&["stopped as asked"]);
    assert_eq!(matomo.config(), config);
    assert_eq!((matomo.sets().len(), matomo.leftovers().len()), (0, 0));
}

/// After any kill: every listed set verifies, the earlier one is there, and the next start gives the switches back.
#[track_caller]
fn all_is_well(matomo: &Installation, first: &str, config: &str, round: usize) {
    let sets = matomo.sets();
    assert!(sets.contains(&first.to_owned()), "round {round}: the earlier set is lost");
    for set in &sets {
        matomo.run(&["verify", set]).ends_with(0);
    }
    matomo.run(&["unlock", "--json"]).ends_with(0);
    assert_eq!(matomo.config(), config, "round {round}");
    assert_eq!(matomo.leftovers(), [""; 0], "round {round}");
}

/// How often something is killed; `MAINTENANCE_KILLS=100` for the whole measure.
fn kills() -> usize {
    std::env::var("MAINTENANCE_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(8)
}

#[test]
fn c_147_random_kills_of_a_backup_leave_no_wrong_set_and_the_switches_as_they_were() {
    let matomo = Installation::new(PROGRAM, 8);
    matomo.set("MAINTENANCE_KEEP", "3").set("MAINTENANCE_KEEP_AGE", "3650d");
    let first = matomo.backup();
    matomo.run(&["rehearse"]).ends_with(0);
    let config = matomo.config();
    let whole = Instant::now();
    matomo.run(&["backup", "--lock"]).ends_with(0);
    let whole = whole.elapsed();
    let mut random = tests::random::Random::seeded(7);
    let mut killed = 0;
    for round in 0..kills() {
        let done = matomo.start(&["backup", "--lock"]).kill_after(random.duration(Duration::ZERO, whole));
        killed += usize::from(done.signal.is_some());
        all_is_well(&matomo, &first, &config, round);
    }
    assert!(killed > 0, "no run was killed");
}

#[test]
fn c_147_random_kills_of_a_restore_end_before_or_behind_it_and_never_between() {
    let matomo = Installation::new(PROGRAM, 3);
    matomo.set("MAINTENANCE_KEEP", "3").set("MAINTENANCE_KEEP_AGE", "3650d");
    let set = matomo.backup();
    matomo.run(&["rehearse"]).ends_with(0);
    let config = matomo.config();
    let restored = (matomo.database.checksums(DATABASE), "<?php // ldap".to_owned());
    let damage = |round: usize| {
        matomo.database.ask(&format!("UPDATE {DATABASE}.matomo_site SET name = 'damage {round}' WHERE idsite = 1"));
        matomo.write("plugins/LoginLdap/LoginLdap.php", "damage");
    };
    let state =
        || (matomo.database.checksums(DATABASE), matomo.read("plugins/LoginLdap/LoginLdap.php").unwrap_or_default());
    damage(0);
    let whole = Instant::now();
    matomo.run(&["restore", &set, "--yes"]).ends_with(0);
    let whole = whole.elapsed();
    assert_eq!(state(), restored);
    let mut random = tests::random::Random::seeded(9);
    let (mut killed, mut forward) = (0, 0);
    for round in 1..=kills() {
        damage(round);
        let damaged = state();
        // The swap is near the end, and the most delicate moment.
        let earliest = if round % 2 == 0 { whole / 2 } else { Duration::ZERO };
        let done = matomo.start(&["restore", &set, "--yes"]).kill_after(random.duration(earliest, whole));
        killed += usize::from(done.signal.is_some());
        all_is_well(&matomo, &set, &config, round);
        let now = state();
        assert!(now == damaged || now == restored, "round {round}: neither before nor behind\n{done}");
        forward += usize::from(now == restored);
        assert_eq!(matomo.database.databases(), [DATABASE], "round {round}");
        assert!(!matomo.matomo().join(".maintenance-restore").exists(), "round {round}");
    }
    assert!(killed > 0, "no run was killed");
    println!("{killed} of {} killed, {forward} of them behind the restore", kills());
}

/// A console that does what Matomo's would, or does not.
fn console(matomo: &Installation, script: &str) {
    matomo.write("console.sh", script);
    matomo.set("MATOMO_CONSOLE", "sh console.sh");
}

#[test]
fn an_upgrade_is_guarded_from_its_lock_to_its_unlock() {
    let matomo = healthy();
    matomo.write("core/Version.php", "<?php\nfinal class Version\n{\n    const VERSION = '5.1.0';\n}\n");
    let update = format!(
        "test \"$1 $2\" = 'core:update --yes' || exit 9\ngrep -q 'maintenance_mode = 1' config/config.ini.php || exit 8\n\
         MYSQL_PWD={ROOT_PASSWORD} mariadb --no-defaults --protocol=tcp -h127.0.0.1 -P{} -uroot -e \"UPDATE {DATABASE}.matomo_option SET option_value='5.1.0' WHERE option_name='version_core'\"\n",
        matomo.database.port()
    );
    console(&matomo, &update);
    let config = matomo.config();
    matomo.run(&["upgrade-guard", "--dry-run"]).ends_with(0).says(&["schema 5.0.2", "code 5.1.0"]);
    assert_eq!(matomo.config(), config);
    matomo.run(&["upgrade-guard", "--rehearse"]).ends_with(0).says(&["the schema is of Matomo 5.1.0"]);
    assert_eq!(matomo.config(), config);
    let sets = matomo.sets();
    assert!(sets.len() == 1 && sets[0].ends_with("-upgrade"), "{sets:?}");
    assert_eq!(matomo.manifest(&sets[0])["database"]["matomo"], "5.0.2");

    let two = format!("{0},{0}/", matomo.web.url());
    matomo.set("MATOMO_CONTAINERS", &two);
    matomo.run(&["upgrade-guard"]).ends_with(75).says(&["2 containers"]);
}

#[test]
fn an_upgrade_that_fails_stays_locked_and_names_the_way_back() {
    let matomo = healthy();
    let config = matomo.config();
    let sums = matomo.database.checksums(DATABASE);
    let drop_table = format!(
        "MYSQL_PWD={ROOT_PASSWORD} mariadb --no-defaults --protocol=tcp -h127.0.0.1 -P{} -uroot -e 'DROP TABLE {DATABASE}.matomo_site'; echo 'Update failed: no space'; exit 1\n",
        matomo.database.port()
    );
    console(&matomo, &drop_table);
    let done = matomo.run(&["upgrade-guard"]).ends_with(1).says(&["upgrade failed", "no space"]);
    let set = matomo.sets().pop().unwrap();
    let done = done.says(&[&format!("maintenance restore {set} --yes"), "maintenance unlock"]);
    assert_ne!(matomo.config(), config, "locked still: {done}");
    matomo.run(&["restore", &set, "--yes"]).ends_with(0);
    assert_eq!(matomo.web.get("/matomo.php").0, 503, "a restore gives back what it found: the lock");
    matomo.run(&["unlock"]).ends_with(0);
    assert_eq!((matomo.config(), matomo.database.checksums(DATABASE)), (config, sums));
}

#[test]
fn run_takes_backups_by_its_schedule_and_health_says_how_it_is() {
    let matomo = Installation::new(PROGRAM, 1);
    matomo
        .set("MAINTENANCE_BACKUP_CRON", "* * * * * *")
        .set("MAINTENANCE_KEEP", "2")
        .set("MAINTENANCE_REHEARSE", "yes");
    let daemon = matomo.start(&["run"]);
    until("two backups", || matomo.sets().len() >= 2);
    until("a good health", || matomo.run(&["health"]).code == Some(0));
    let pid = rustix::process::Pid::from_raw(daemon.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let done = daemon.wait();
    assert!(matches!(done.code, Some(0)), "{done}");
    done.says(&["Backup is whole"]).says(&["Rehearsal was good"]);
    // A failure is told by health.
    matomo.set("MATOMO_DATABASE_PASSWORD", "wrong");
    let daemon = matomo.start(&["run"]);
    until("a bad health", || {
        let said = matomo.run(&["health"]).stdout;
        said.starts_with("failing") && said.contains("Access denied")
    });
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(daemon.id() as i32).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    daemon.wait().ends_with(0).says(&["ERROR", "Backup failed", "Access denied"]);
}

#[test]
fn check_reports_everything_at_once() {
    let matomo = healthy();
    let done = matomo.run(&["check"]).ends_with(0);
    for words in [
        &["ok", "can be edited"][..],
        &["ok", "MariaDB"],
        &["ok", "9 tables"],
        &["ok", "scratch databases"],
        &["ok", "tracking on (200)"],
        &["ok", "tar"],
    ] {
        assert!(done.stdout.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}\n{done}");
    }
    matomo.database.ask(&format!("ALTER TABLE {DATABASE}.matomo_goal ENGINE=MyISAM"));
    matomo.unset("MARIADB_ROOT_PASSWORD").set("MATOMO_URL", "http://127.0.0.1:1").set("MAINTENANCE_DIR", "/proc/none");
    let done = matomo.run(&["check", "--json"]).ends_with(73).json();
    let kinds: Vec<&Json> = done.as_array().unwrap().iter().map(|finding| &finding["kind"]).collect();
    assert!(
        kinds.iter().filter(|kind| **kind == "fault").count() == 2
            && kinds.iter().filter(|kind| **kind == "advice").count() == 2,
        "{done}"
    );
}

#[test]
fn wrong_settings_are_all_told_at_once() {
    let matomo = Installation::new(PROGRAM, 1);
    matomo.set("MAINTENANCE_BACKUP_CRON", "never").set("MAINTENANCE_KEEP", "0").set("MAINTENANCE_KEEEP", "3");
    matomo
        .run(&["status"])
        .ends_with(78)
        .says(&["MAINTENANCE_BACKUP_CRON"])
        .says(&["MAINTENANCE_KEEP is"])
        .says(&["did you mean MAINTENANCE_KEEP"]);
}

#[test]
fn a_dump_cut_by_the_wire_is_never_good() {
    let matomo = Installation::new(PROGRAM, 30);
    // Between the programs and the server stands a wire that breaks after so many bytes.
    for bytes in [20_000, 3_000_000, 12_000_000] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = matomo.database.port();
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                thread::spawn(move || relay(&client, server, bytes));
            }
        });
        matomo.set("MARIADB_HOST", "127.0.0.1").set("MARIADB_PORT_NUMBER", &port.to_string());
        let done = matomo.run(&["backup"]);
        assert!(done.code.is_some_and(|code| code != 0), "after {bytes} bytes: {done}");
        assert_eq!((matomo.sets().len(), matomo.leftovers().len()), (0, 0));
    }
}

fn relay(client: &TcpStream, server: u16, bytes: u64) {
    use std::io::{Read as _, copy};
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = copy(&mut &*client, &mut &server);
            let _ = server.shutdown(std::net::Shutdown::Both);
        });
        let _ = copy(&mut (&server).take(bytes), &mut &*client);
        let _ = client.shutdown(std::net::Shutdown::Both);
        let _ = server.shutdown(std::net::Shutdown::Both);
    });
}
