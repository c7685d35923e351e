//! The update of the schema behind a lock and a proven backup, with a console that does as it is told.

use std::fs;

use tests::installation::{DATABASE, Installation};
use tests::mariadb::ROOT_PASSWORD;

use crate::healthy;

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
fn a_fresh_set_is_not_made_again_and_an_old_one_is() {
    let matomo = healthy();
    console(&matomo, "exit 0\n");
    let set = matomo.backup();
    matomo.run(&["upgrade-guard"]).ends_with(0);
    assert_eq!(matomo.sets(), std::slice::from_ref(&set));
    matomo.run(&["upgrade-guard", "--fresh", "0s"]).ends_with(0);
    assert!(matomo.sets().len() == 2 && matomo.sets()[1].ends_with("-upgrade"), "{:?}", matomo.sets());
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
