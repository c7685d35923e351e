//! The update of the schema behind a lock and a proven backup, with a console that does as it is told.

use std::fs;

use tests::installation::{DATABASE, Installation, PASSWORD, USER};
use tests::mariadb::ROOT_PASSWORD;

use crate::healthy;

/// A console that does what Matomo's would, or does not.
fn console(matomo: &Installation, script: &str) {
    matomo.write("console.sh", script);
    matomo.set("MATOMO_CONSOLE", "sh console.sh");
    // These journeys' files are root's, who else would become a user of the web server.
    matomo.set("RUN_AS_USER", "self");
}

/// What `mariadb` does as root, for a script.
fn sql(matomo: &Installation, statement: &str) -> String {
    let port = matomo.database.port();
    format!(
        "MYSQL_PWD={ROOT_PASSWORD} mariadb --no-defaults --protocol=tcp -h127.0.0.1 -P{port} -uroot {DATABASE} -e \"{statement}\"\n"
    )
}

const VISIT: &str = "INSERT INTO matomo_log_visit (idsite, user_id) VALUES (9, 'meanwhile')";
const UPDATED: &str = "UPDATE matomo_option SET option_value='5.1.0' WHERE option_name='version_core'";

fn newer_code(matomo: &Installation) {
    matomo.write("core/Version.php", "<?php\nfinal class Version\n{\n    const VERSION = '5.1.0';\n}\n");
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
fn a_lock_that_a_person_set_before_stays_after_an_upgrade_and_is_said() {
    let matomo = healthy();
    console(&matomo, "exit 0\n");
    let config = matomo.config();
    matomo.run(&["lock", "--tracking-only"]).ends_with(0);
    let by_hand = matomo.config();
    let done = matomo.run(&["upgrade-guard"]).ends_with(0);
    done.says(&["WARN", "The lock from before the upgrade stays"]).says(&["schema", "maintenance unlock"]);
    assert_eq!(matomo.config(), by_hand, "tracking is off still, and the user interface on");
    let set = matomo.sets().pop().unwrap();
    let kept = fs::read_to_string(matomo.backups().join(set).join("config.ini.php")).unwrap();
    assert_eq!(kept, config, "the set holds what was before all locks");
    assert_eq!(matomo.run(&["upgrade-guard", "--json"]).ends_with(0).json()["still_locked"], true);
    matomo.run(&["unlock"]).ends_with(0);
    assert_eq!(matomo.config(), config);
    assert_eq!(matomo.run(&["upgrade-guard", "--json"]).ends_with(0).json()["still_locked"], false);
}

#[test]
fn the_lock_of_an_upgrade_that_failed_ends_with_the_next_one_unless_a_person_takes_it_over() {
    let matomo = healthy();
    let config = matomo.config();
    console(&matomo, "exit 1\n");
    matomo.run(&["upgrade-guard"]).ends_with(1);
    matomo.run(&["status"]).says(&["locked", "by upgrade-guard since"]);
    assert_ne!(matomo.config(), config);
    console(&matomo, "exit 0\n");
    matomo.run(&["upgrade-guard"]).ends_with(0);
    assert_eq!(matomo.config(), config, "tried again, it succeeds and unlocks");

    console(&matomo, "exit 1\n");
    matomo.run(&["upgrade-guard"]).ends_with(1);
    matomo.run(&["lock"]).ends_with(0);
    matomo.run(&["status"]).says(&["locked", "by hand since"]);
    let locked = matomo.config();
    console(&matomo, "exit 0\n");
    matomo.run(&["upgrade-guard"]).ends_with(0).says(&["stays locked"]);
    assert_eq!(matomo.config(), locked);
    matomo.run(&["unlock"]).ends_with(0);
    assert_eq!(matomo.config(), config);

    console(&matomo, "exit 1\n");
    matomo.run(&["upgrade-guard"]).ends_with(1);
    matomo.run(&["unlock", "--dry-run"]).ends_with(0).says(&["tracking would be on"]);
    matomo.run(&["unlock"]).ends_with(0);
    assert_eq!(matomo.config(), config);
}

#[test]
fn what_was_tracked_since_the_last_backup_is_in_the_set_that_leads_back() {
    let matomo = healthy();
    let old = matomo.backup();
    matomo.database.ask(&format!("USE {DATABASE}; {VISIT}"));
    let sums = matomo.database.checksums(DATABASE);
    for words in [&["upgrade-guard"][..], &["upgrade-guard", "--fresh", "1h"]] {
        console(&matomo, &(sql(&matomo, "DROP TABLE matomo_site") + "exit 1\n"));
        let done = matomo.run(words).ends_with(1).says(&["the way back loses nothing"]);
        let set = matomo.sets().pop().unwrap();
        assert_ne!(set, old);
        done.says(&[&format!("maintenance restore {set} --yes")]).never_says(&format!("restore {old} --yes"));
        matomo.run(&["restore", &set, "--yes"]).ends_with(0).says(&["log-analytics", "ledger site", "again"]);
        assert_eq!(matomo.database.checksums(DATABASE), sums);
        matomo.run(&["unlock"]).ends_with(0);
    }
}

/// The server keeps the times of changes in whole seconds.
fn a_second_later(matomo: &Installation) {
    let now = || matomo.database.ask("SELECT UNIX_TIMESTAMP()").parse::<u64>().unwrap();
    let then = now();
    crate::until("the next second", || now() > then + 1);
}

#[test]
fn with_fresh_a_young_set_is_taken_only_where_it_equals_the_database() {
    let matomo = healthy();
    console(&matomo, "exit 0\n");
    let guard = |fresh: &str| matomo.run(&["upgrade-guard", "--fresh", fresh]).ends_with(0);
    a_second_later(&matomo);
    let first = matomo.backup();
    guard("15m").says(&["equals the database of this moment", &first]);
    assert_eq!(matomo.sets(), std::slice::from_ref(&first));
    guard("0s");
    assert_eq!(matomo.sets().len(), 2, "too old");
    // As many rows, and higher numbers; as many rows and the same numbers, and another content.
    for change in [
        "DELETE FROM matomo_log_visit WHERE idvisit = 1; INSERT INTO matomo_log_visit (idsite, user_id) VALUES (9, 'x')",
        "UPDATE matomo_user SET password = 'changed'",
        "CREATE TABLE matomo_added (a INT) ENGINE=InnoDB",
        VISIT,
    ] {
        let before = matomo.sets().len();
        a_second_later(&matomo);
        matomo.database.ask(&format!("USE {DATABASE}; {change}"));
        a_second_later(&matomo);
        guard("15m").says(&["does not equal the database of this moment"]);
        assert_eq!(matomo.sets().len(), before + 1, "{change}");
        guard("15m").says(&["equals the database of this moment"]);
        assert_eq!(matomo.sets().len(), before + 1, "{change}");
    }
}

#[test]
fn a_second_try_keeps_the_way_back_of_the_first() {
    let matomo = healthy();
    let sums = matomo.database.checksums(DATABASE);
    console(&matomo, &(sql(&matomo, "DROP TABLE matomo_site") + "exit 1\n"));
    matomo.run(&["upgrade-guard"]).ends_with(1);
    let first = matomo.sets().pop().unwrap();
    // One try that does not come as far as the update, a backup by night, and one that is killed in the middle.
    matomo.set("MATOMO_DATABASE_PASSWORD", "wrong").set("MARIADB_ROOT_PASSWORD", "wrong");
    matomo.run(&["upgrade-guard"]).ends_with(78);
    matomo.unset("MATOMO_DATABASE_PASSWORD").set("MARIADB_ROOT_PASSWORD", ROOT_PASSWORD);
    matomo.set("MAINTENANCE_KEEP", "1");
    let nightly = matomo.backup();
    console(&matomo, "echo $$ > console.pid; sleep 60\n");
    let run = matomo.start(&["upgrade-guard"]);
    crate::until("the update", || matomo.read("console.pid").is_some());
    assert_eq!(run.kill_after(std::time::Duration::ZERO).signal, Some(9));
    console(&matomo, "exit 1\n");
    let done = matomo.run(&["upgrade-guard"]).ends_with(1).says(&[&format!("maintenance restore {first} --yes")]);
    fs::remove_dir_all(matomo.backups().join(nightly)).unwrap();
    assert_eq!(matomo.sets(), std::slice::from_ref(&first), "half an update is no way back: {done}");
    matomo.run(&["restore", &first, "--yes"]).ends_with(0);
    assert_eq!(matomo.database.checksums(DATABASE), sums);
}

#[test]
fn the_console_runs_as_the_owner_of_matomos_files_and_without_colours() {
    if !rustix::process::geteuid().is_root() {
        println!("only root may become somebody else");
        return;
    }
    let matomo = healthy();
    console(&matomo, "id -u > ran-as; echo \"$@\" > words; exit 0\n");
    matomo.unset("RUN_AS_USER");
    matomo.belongs_to(4711);
    matomo.run(&["upgrade-guard"]).ends_with(0);
    assert_eq!(matomo.read("ran-as").as_deref(), Some("4711\n"));
    let words = matomo.read("words").unwrap();
    assert!(words.contains("--no-ansi") && words.contains("--no-interaction"), "{words}");
    matomo.set("RUN_AS_USER", "nobody here").run(&["upgrade-guard"]).ends_with(78).says(&["RUN_AS_USER"]);
    matomo.set("RUN_AS_USER", "self").run(&["upgrade-guard"]).ends_with(0);
    assert_eq!(matomo.read("ran-as").as_deref(), Some("0\n"));
}

#[test]
fn a_batch_that_is_being_stored_when_the_lock_comes_is_in_the_set() {
    let matomo = healthy();
    console(&matomo, "exit 1\n");
    let (port, user, password) = (matomo.database.port(), USER, PASSWORD);
    std::thread::scope(|scope| {
        let batch = scope.spawn(move || {
            // As a tracker in the middle of a bulk request.
            let statements = format!("START TRANSACTION; {VISIT}; SELECT SLEEP(4); COMMIT");
            let mut client = std::process::Command::new("mariadb");
            client.args(["--no-defaults", "--protocol=tcp", "-h127.0.0.1"]).arg(format!("-P{port}"));
            client.arg(format!("-u{user}")).env("MYSQL_PWD", password).arg(DATABASE).arg("-e").arg(statements);
            assert!(client.output().unwrap().status.success());
        });
        crate::until("the batch is under way", || {
            matomo
                .database
                .ask("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(4)%'")
                == "1"
        });
        matomo.run(&["upgrade-guard"]).ends_with(1);
        batch.join().unwrap();
    });
    let rows = matomo.database.ask(&format!("SELECT COUNT(*) FROM {DATABASE}.matomo_log_visit"));
    let set = matomo.sets().pop().unwrap();
    assert_eq!(matomo.manifest(&set)["database"]["tables"]["matomo_log_visit"].to_string(), rows);
}

#[test]
fn status_ends_with_1_for_what_is_not_as_it_should_be() {
    let matomo = healthy();
    console(&matomo, &(sql(&matomo, UPDATED) + "exit 0\n"));
    matomo.run(&["status"]).ends_with(0);
    newer_code(&matomo);
    matomo.run(&["status"]).ends_with(1).says(&["TROUBLE", "schema", "5.0.2", "older than the code", "upgrade-guard"]);
    matomo.run(&["upgrade-guard"]).ends_with(0);
    matomo.run(&["status"]).ends_with(0);
    matomo
        .database
        .ask(&format!("UPDATE {DATABASE}.matomo_option SET option_value='5.2.0' WHERE option_name='version_core'"));
    matomo.run(&["status"]).ends_with(1).says(&["TROUBLE", "5.2.0", "newer than the code"]);
    matomo.database.ask(&format!("USE {DATABASE}; {UPDATED}"));
    // A restore that a kill interrupted.
    let set = matomo.sets().pop().unwrap();
    let run = matomo.start(&["restore", &set, "--yes"]);
    crate::until("the restore works", || matomo.backups().join(".state/restore.json").exists());
    assert_eq!(run.kill_after(std::time::Duration::ZERO).signal, Some(9));
    matomo.run(&["status"]).ends_with(1).says(&["INTERRUPTED", "for a restore"]).says(&["TROUBLE", "interrupted"]);
    matomo.run(&["unlock"]).ends_with(0);
    matomo.run(&["status"]).ends_with(0);
    assert_eq!(matomo.database.ask("SELECT user FROM mysql.global_priv WHERE user LIKE 'maintenance%'"), "");
    // A set that cannot be used, and an update that failed.
    let folder = matomo.backups().join(&set);
    fs::rename(folder.join("manifest.json"), folder.join("lost.json")).unwrap();
    matomo.run(&["status"]).ends_with(1).says(&["UNUSABLE", &set]);
    fs::rename(folder.join("lost.json"), folder.join("manifest.json")).unwrap();
    console(&matomo, "exit 1\n");
    matomo.run(&["upgrade-guard"]).ends_with(1);
    matomo.run(&["status"]).ends_with(1).says(&["TROUBLE", "an upgrade failed"]);
    matomo.run(&["unlock"]).ends_with(0);
    matomo.run(&["lock"]).ends_with(0);
    matomo.run(&["status"]).ends_with(0).says(&["locked", "by hand"]);
}

#[test]
fn without_a_proven_backup_nothing_is_updated_and_the_lock_is_as_it_was() {
    let matomo = healthy();
    let config = matomo.config();
    console(&matomo, "touch updated\n");
    matomo.set("MATOMO_DATABASE_PASSWORD", "wrong");
    matomo.run(&["upgrade-guard"]).ends_with(78).says(&["Access denied"]);
    assert_eq!(matomo.config(), config, "unlocked, as before");
    matomo.run(&["lock"]).ends_with(0);
    let locked = matomo.config();
    matomo.run(&["upgrade-guard"]).ends_with(78);
    assert_eq!(matomo.config(), locked, "locked, as before");
    assert_eq!((matomo.read("updated"), matomo.sets()), (None, Vec::new()));
    matomo.run(&["history"]).says(&["FAILED", "upgrade", "Access denied"]);
}
