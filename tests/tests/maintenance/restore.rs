//! A set is tried in a scratch database, and put in the place of what is there.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::thread;

use tests::installation::{DATABASE, PASSWORD, USER};
use tests::mariadb::MariaDb;

use crate::healthy;

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
fn where_no_container_runs_a_restore_goes_on_and_says_that_nobody_has_checked_it() {
    let matomo = healthy();
    let set = matomo.backup();
    let (sums, config, url) = (matomo.database.checksums(DATABASE), matomo.config(), matomo.web.url());
    let stopped = "http://127.0.0.1:1";
    matomo.set("MAINTENANCE_SETTLE_TIME", "1s");
    for (name, value) in [
        ("MATOMO_URL", stopped),
        ("MATOMO_URL", "http://stopped.invalid"),
        ("MATOMO_CONTAINERS", &format!("{url},{stopped}")),
    ] {
        matomo.set("MATOMO_URL", &url).set(name, value);
        matomo.database.ask(&format!("DROP TABLE {DATABASE}.matomo_site"));
        let done = matomo.run(&["restore", &set, "--yes"]).ends_with(69);
        let done = done.says(&["WARN", "the work goes on"]).says(&[&set, "is in force"]);
        done.says(&["NOT CHECKED", "cannot reach", "maintenance status"]);
        assert_eq!((matomo.database.checksums(DATABASE), matomo.config()), (sums.clone(), config.clone()));
    }
    let done = matomo.run(&["restore", &set, "--yes", "--json"]).ends_with(69).json();
    assert!(done["unproved"].as_str().is_some_and(|answers| answers.contains("cannot reach")), "{done}");
    matomo.run(&["history"]).ends_with(0).says(&["ok", "restore"]);
    let safety = fs::read_to_string(matomo.backups().join(done["safety"].as_str().unwrap()).join("config.ini.php"));
    assert_eq!(safety.unwrap(), config, "the switches of the restore are not kept");
    matomo.unset("MATOMO_CONTAINERS");
    matomo.run(&["restore", &set, "--yes"]).ends_with(0).never_says("NOT CHECKED");
}

#[test]
fn whoever_answers_otherwise_than_locked_stops_a_restore_unless_forced() {
    let matomo = healthy();
    let set = matomo.backup();
    let (sums, config) = (matomo.database.checksums(DATABASE), matomo.config());
    matomo.set("MAINTENANCE_SETTLE_TIME", "1s");
    // A balancer without containers; and one who takes connections and closes them.
    for answer in ["HTTP/1.1 502 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        matomo.set("MATOMO_URL", &format!("http://{}", listener.local_addr().unwrap()));
        thread::spawn(move || {
            for mut stream in listener.incoming().filter_map(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let done = matomo.run(&["restore", &set, "--yes"]);
        assert!(matches!(done.code, Some(1 | 69)), "{done}");
        done.says(&["the configuration says", "but Matomo"]).says(&["nothing was changed", "--force"]);
        assert_eq!((matomo.database.checksums(DATABASE), matomo.config()), (sums.clone(), config.clone()));
        assert_eq!(matomo.sets(), std::slice::from_ref(&set), "no safety backup was needed");
    }
    matomo.database.ask(&format!("DROP TABLE {DATABASE}.matomo_site"));
    matomo.run(&["restore", &set, "--yes", "--force"]).ends_with(69).says(&["NOT CHECKED"]);
    assert_eq!(matomo.database.checksums(DATABASE), sums);
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

#[test]
fn a_set_that_is_damaged_or_forged_replaces_nothing_unless_forced() {
    let matomo = healthy();
    let set = matomo.backup();
    let kept = matomo.backups().join(&set).join("config.ini.php");
    let (config, sums) = (matomo.config(), matomo.database.checksums(DATABASE));
    fs::write(&kept, config.replace("secret-salt", "SECRET-SALT")).unwrap();
    let unchanged = || {
        assert_eq!((matomo.config(), matomo.database.checksums(DATABASE)), (config.clone(), sums.clone()));
        assert_eq!(matomo.sets(), std::slice::from_ref(&set), "no safety backup was needed");
    };
    matomo.run(&["restore", &set, "--yes"]).ends_with(1).says(&["damaged", "config.ini.php"]);
    unchanged();
    matomo.run(&["restore", &set, "--yes", "--force"]).ends_with(0).says(&["does not verify and is used"]);
    assert!(matomo.config().contains("SECRET-SALT"));
}

#[test]
fn the_present_connection_is_kept_unless_that_of_the_set_is_asked_for() {
    let matomo = healthy();
    let set = matomo.backup();
    let config = matomo.config();
    let elsewhere = config.replace("host = \"127.0.0.1\"", "host = \"db.invalid\"");
    fs::write(matomo.config_path(), &elsewhere).unwrap();
    matomo.set("MARIADB_HOST", "127.0.0.1");
    matomo
        .run(&["restore", &set, "--yes", "--without-safety-backup"])
        .ends_with(0)
        .never_says("what was there before is");
    assert_eq!((matomo.config(), matomo.sets()), (elsewhere, vec![set.clone()]));
    matomo.run(&["restore", &set, "--yes", "--connection-of-set"]).ends_with(0);
    assert_eq!((matomo.config(), matomo.sets().len()), (config, 2));
}

#[test]
fn c7_11_the_safety_backup_does_not_push_out_the_set_that_is_restored() {
    let matomo = healthy();
    matomo.set("MAINTENANCE_KEEP", "1");
    let set = matomo.backup();
    let sums = matomo.database.checksums(DATABASE);
    matomo.database.ask(&format!("DROP TABLE {DATABASE}.matomo_site"));
    matomo.run(&["restore", &set, "--yes"]).ends_with(0);
    assert_eq!(matomo.database.checksums(DATABASE), sums);
    assert!(matomo.sets().contains(&set), "it can be restored again");
}

#[test]
fn the_latest_set_is_never_the_one_that_a_restore_made_of_the_damage() {
    let matomo = healthy();
    matomo.run(&["restore", "latest", "--yes"]).ends_with(64).says(&["no backup set yet"]);
    let set = matomo.backup();
    let sums = matomo.database.checksums(DATABASE);
    matomo.set("MAINTENANCE_KEEP", "2");
    for _ in 0..2 {
        matomo.database.ask(&format!("DROP TABLE {DATABASE}.matomo_site"));
        matomo.run(&["restore", "latest", "--yes"]).ends_with(0).says(&[&set, "is in force"]);
        assert_eq!(matomo.database.checksums(DATABASE), sums);
    }
    assert_eq!(matomo.run(&["status", "--json"]).ends_with(0).json()["newest_backup"]["name"], set);
    // An update that fails has to go back to what was restored, not to what was there before.
    matomo.write("console.sh", "exit 0\n");
    matomo.set("MATOMO_CONSOLE", "sh console.sh").set("RUN_AS_USER", "self");
    matomo.run(&["upgrade-guard", "--fresh", "1h"]).ends_with(0);
    let sets = matomo.sets();
    assert!(sets.last().unwrap().ends_with("-upgrade"), "{sets:?}");
    assert!(sets.contains(&set), "safety backups did not push it out: {sets:?}");
}

#[test]
fn a_password_that_is_wrong_for_a_restore_costs_no_moment_without_matomo() {
    let matomo = healthy();
    let set = matomo.backup();
    matomo.set("MARIADB_ROOT_PASSWORD", "wrong");
    let done = matomo.run(&["restore", &set, "--yes"]).ends_with(78);
    done.says(&["Access denied", "'root'"]).says(&["MARIADB_ROOT_PASSWORD"]).never_says("Matomo answers");
    matomo.run(&["rehearse"]).ends_with(78).says(&["help", "MARIADB_ROOT_PASSWORD"]).never_says("GRANT");
}

#[test]
fn what_a_move_of_tables_would_lose_is_refused_before_anything_changes() {
    let matomo = healthy();
    matomo.database.ask(&format!("CREATE VIEW {DATABASE}.seen AS SELECT 1 AS a"));
    let set = matomo.backup();
    let (config, sums) = (matomo.config(), matomo.database.checksums(DATABASE));
    matomo.run(&["check"]).ends_with(0).says(&["advice", "views, triggers, routines or events"]);
    matomo.run(&["restore", &set, "--yes"]).ends_with(1).says(&["views, triggers, routines or events"]);
    assert_eq!((matomo.config(), matomo.database.checksums(DATABASE)), (config, sums));
    assert_eq!(matomo.database.databases(), [DATABASE], "nothing is left beside it");
}

#[test]
fn a_set_that_is_whole_and_does_not_load_fails_its_rehearsal_and_replaces_nothing() {
    let matomo = healthy();
    // A table that the server accepts from nobody who is strict: the set is a true copy, and cannot be loaded.
    let columns = (0..40).map(|at| format!("c{at} VARCHAR(250)")).collect::<Vec<_>>().join(", ");
    matomo.database.ask(&format!(
        "SET SESSION innodb_strict_mode=0; CREATE TABLE {DATABASE}.matomo_wide ({columns}) ENGINE=InnoDB CHARACTER SET latin1"
    ));
    let set = matomo.backup();
    let sums = matomo.database.checksums(DATABASE);
    matomo.run(&["verify", &set]).ends_with(0);
    matomo.run(&["rehearse", &set]).ends_with(1);
    matomo.run(&["history"]).says(&[&set, "REHEARSAL FAILED"]).says(&["FAILED", "rehearse"]);
    assert!(matomo.run(&["status", "--json"]).json()["newest_backup"]["rehearsed"].is_null());
    let done = matomo.run(&["restore", &set, "--yes", "--without-safety-backup"]).ends_with(1);
    done.says(&["error: nothing was changed"]);
    assert_eq!((matomo.database.databases(), matomo.database.checksums(DATABASE)), (vec![DATABASE.to_owned()], sums));
}
