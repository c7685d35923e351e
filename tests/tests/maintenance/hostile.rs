//! Sets from elsewhere, with sums that fit: what a set may do to the server, to Matomo's folder and to us.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tests::installation::{DATABASE, Installation, USER};

use crate::healthy;

/// What no dump of Matomo says, and what a person would call it.
const LEAVING: [&str; 9] = [
    "USE mysql;\nCREATE TABLE evil (a INT);",
    "CREATE USER evil@'%' IDENTIFIED BY 'x';",
    "GRANT ALL ON *.* TO evil@'%' IDENTIFIED BY 'x';",
    "/*!50003 CREATE USER evil@'%' */;",
    "DROP TABLE `matomo_db`.`matomo_site`;",
    "UPDATE matomo_db . matomo_user SET password = 'x';",
    "SET GLOBAL max_connections = 7;",
    "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE matomo_goal;",
    "DELIMITER //\nDROP DATABASE matomo_db//\nDELIMITER ;",
];

/// Everything that a hostile dump would like to change.
fn world(matomo: &Installation) -> impl PartialEq + std::fmt::Debug + use<> {
    let users = matomo.database.ask("SELECT CONCAT(user, '@', host) FROM mysql.global_priv ORDER BY 1");
    let limit = matomo.database.ask("SELECT @@GLOBAL.max_connections");
    let tables = matomo.database.ask("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'mysql'");
    let sums = matomo.database.checksums(DATABASE);
    (users, limit, tables, sums, matomo.database.databases(), matomo.config())
}

#[test]
fn a_dump_that_leaves_its_database_is_refused_and_has_done_nothing() {
    let matomo = healthy();
    let set = matomo.backup();
    let before = world(&matomo);
    for leaving in LEAVING {
        matomo.forge(&set).statements(leaving);
        matomo.run(&["verify", &set]).ends_with(0);
        let done = matomo.run(&["rehearse", &set]).ends_with(1).says(&["leaves its own database"]);
        assert_eq!(world(&matomo), before, "{leaving}: {done}");
        matomo.forge(&set).dump(|text| text.replace(leaving, ""));
    }
    matomo.forge(&set).statements(LEAVING[1]);
    let done = matomo.run(&["restore", &set, "--yes", "--without-safety-backup"]).ends_with(1);
    done.says(&["nothing was changed", "leaves its own database"]).says(&["help", "do not trust"]);
    assert_eq!(world(&matomo), before);
    matomo.run(&["history"]).says(&[&set, "REHEARSAL FAILED"]);
}

#[test]
fn where_no_user_can_be_made_the_dump_is_read_first() {
    let matomo = healthy();
    let set = matomo.backup();
    // Matomo's own user, with all that docs/maintenance.md grants, and more than it should have besides.
    matomo.unset("MARIADB_ROOT_PASSWORD");
    matomo.database.ask(&format!(
        "GRANT ALL ON `matomo\\_db\\_maintenance\\_%`.* TO '{USER}'@'%'; GRANT ALL ON mysql.* TO '{USER}'@'%'"
    ));
    let before = world(&matomo);
    matomo.run(&["rehearse", &set]).ends_with(0);
    for leaving in LEAVING {
        matomo.forge(&set).statements(leaving);
        let done = matomo.run(&["rehearse", &set]).ends_with(1).says(&["leaves its own database"]);
        assert_eq!(world(&matomo), before, "{leaving}: {done}");
        matomo.forge(&set).dump(|text| text.replace(leaving, ""));
    }
    matomo.run(&["rehearse", &set]).ends_with(0);
}

/// A folder with what an archive should not hold.
fn bait(matomo: &Installation) -> std::path::PathBuf {
    let folder = matomo.folder().join("bait");
    fs::create_dir_all(folder.join("plugins/LoginLdap/deep")).unwrap();
    fs::create_dir_all(folder.join("plugins/CoreHome")).unwrap();
    fs::write(folder.join("plugins/LoginLdap/LoginLdap.php"), "from elsewhere").unwrap();
    fs::write(folder.join("plugins/CoreHome/CoreHome.php"), "from elsewhere").unwrap();
    fs::write(folder.join("outside"), "from elsewhere").unwrap();
    symlink("/etc/passwd", folder.join("plugins/LoginLdap/absolute")).unwrap();
    symlink("../../../outside", folder.join("plugins/LoginLdap/relative")).unwrap();
    symlink("../LoginLdap.php", folder.join("plugins/LoginLdap/deep/inside")).unwrap();
    fs::write(folder.join("plugins/LoginLdap/root"), "#!/bin/sh\n").unwrap();
    let run = |words: &[&str]| assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success());
    let ldap = folder.join("plugins/LoginLdap").display().to_string();
    run(&["chmod", "4755", &format!("{ldap}/root")]);
    run(&["chmod", "2755", &format!("{ldap}/deep")]);
    run(&["mkfifo", &format!("{ldap}/pipe")]);
    if rustix::process::geteuid().is_root() {
        run(&["mknod", &format!("{ldap}/device"), "b", "7", "0"]);
    }
    folder
}

/// Every path below a folder, with what it is.
fn tree(folder: &Path) -> Vec<String> {
    let listed = Command::new("find").arg(folder).args(["-printf", "%P %y %m %s %l\n"]).output().unwrap();
    let mut lines: Vec<String> = String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn an_archive_is_listed_before_anything_of_it_is_unpacked() {
    let matomo = healthy();
    let set = matomo.backup();
    let before = (tree(&matomo.matomo()), matomo.database.checksums(DATABASE));
    let bait = bait(&matomo);
    let ldap = "plugins/LoginLdap/LoginLdap.php";
    let mut cases: Vec<(&str, Vec<&str>)> = vec![
        ("plugins/LoginLdap/absolute", vec![ldap, "plugins/LoginLdap/absolute"]),
        ("plugins/LoginLdap/relative", vec!["plugins/LoginLdap/relative"]),
        ("plugins/LoginLdap/root", vec!["plugins/LoginLdap/root"]),
        ("plugins/LoginLdap/pipe", vec!["plugins/LoginLdap/pipe"]),
        ("plugins/CoreHome", vec![ldap, "plugins/CoreHome"]),
        ("core/Version.php", vec!["--transform=s,^plugins/LoginLdap/LoginLdap.php,core/Version.php,", ldap]),
        ("plugins/LoginLdap/../../x.php", vec!["--transform=s,^outside,plugins/LoginLdap/../../x.php,", "outside"]),
        ("/tmp/evil", vec!["--transform=s,^outside,/tmp/evil,", "outside"]),
    ];
    if rustix::process::geteuid().is_root() {
        cases.push(("plugins/LoginLdap/device", vec!["plugins/LoginLdap/device"]));
    }
    for (named, words) in cases {
        matomo.forge(&set).archive("plugins.tar.zst", &bait, &words);
        matomo.run(&["rehearse", &set]).ends_with(1).says(&["plugins.tar.zst", named]);
        let done = matomo.run(&["restore", &set, "--yes"]).ends_with(1).says(&["plugins.tar.zst", named]);
        assert_eq!((tree(&matomo.matomo()), matomo.database.checksums(DATABASE)), before, "{done}");
        assert_eq!(matomo.sets().len(), 1, "no safety backup was needed: {done}");
    }
    matomo.forge(&set).archive("plugins.tar.zst", &bait, &[ldap, "plugins/LoginLdap/deep"]);
    matomo.forge(&set).archive("files.tar.zst", &bait, &["--transform=s,^outside,config/config.ini.php,", "outside"]);
    matomo.run(&["rehearse", &set]).ends_with(1).says(&["files.tar.zst", "config/config.ini.php"]);
    // What stays inside is fine, and so is the bit by which folders hand their group down.
    matomo.forge(&set).archive("files.tar.zst", &bait, &["--transform=s,^outside,misc/user/logo.png,", "outside"]);
    matomo.run(&["restore", &set, "--yes"]).ends_with(0);
    assert_eq!(matomo.read("plugins/LoginLdap/deep/inside").as_deref(), Some("from elsewhere"));
}

#[test]
fn a_manifest_names_plain_files_of_its_own_folder() {
    let matomo = healthy();
    let set = matomo.backup();
    fs::write(matomo.folder().join("secret.txt"), "[database]\n").unwrap();
    let names = ["../../secret.txt", "/etc/passwd", "..", "sub/x", "manifest.json", ""];
    for name in names {
        let forged = matomo.forge(&set);
        forged.manifest(|manifest| manifest["members"][1]["name"] = name.into());
        let done = matomo.run(&["verify", &set]).ends_with(1).says(&["damaged"]);
        done.never_says("No such file");
        matomo.run(&["restore", &set, "--yes", "--force"]).ends_with(1);
        forged.manifest(|manifest| manifest["members"][1]["name"] = "config.ini.php".into());
    }
    let config = matomo.backups().join(&set).join("config.ini.php");
    let text = fs::read(&config).unwrap();
    fs::rename(&config, matomo.folder().join("moved")).unwrap();
    symlink(matomo.folder().join("moved"), &config).unwrap();
    matomo.run(&["verify", &set]).ends_with(1).says(&["damaged", "config.ini.php", "no regular file"]);
    fs::remove_file(&config).unwrap();
    fs::write(&config, text).unwrap();
    for name in ["../misc", "a/b", ".."] {
        matomo.forge(&set).manifest(|manifest| manifest["plugins"][0]["name"] = name.into());
        matomo.run(&["restore", &set, "--yes"]).ends_with(1).says(&["damaged", "plugin"]);
    }
    matomo.forge(&set).manifest(|manifest| manifest["plugins"][0]["name"] = "LoginLdap".into());
    matomo.run(&["verify", &set]).ends_with(0);
}

#[test]
fn a_plugin_that_the_release_brings_is_never_taken_from_a_set() {
    let matomo = healthy();
    let set = matomo.backup();
    let bait = bait(&matomo);
    fs::create_dir_all(bait.join("plugins/Login")).unwrap();
    fs::write(bait.join("plugins/Login/plugin.php"), "from elsewhere").unwrap();
    let forged = matomo.forge(&set);
    forged.archive("plugins.tar.zst", &bait, &["plugins/Login", "plugins/LoginLdap/LoginLdap.php"]);
    forged.manifest(|manifest| {
        let plugins = manifest["plugins"].as_array_mut().unwrap();
        plugins.push(serde_json::json!({ "name": "Login", "version": null }));
    });
    matomo.run(&["restore", &set, "--yes"]).ends_with(0).says(&["WARN", "Login", "comes with this Matomo"]);
    assert_eq!(matomo.read("plugins/Login/plugin.php").as_deref(), Some("core"));
    assert_eq!(matomo.read("plugins/LoginLdap/LoginLdap.php").as_deref(), Some("from elsewhere"));
}

#[test]
fn with_a_key_only_sealed_sets_are_restored_unless_a_person_trusts_another() {
    let matomo = healthy();
    let unsealed = matomo.backup();
    let key = matomo.folder().join("backup.key");
    fs::write(&key, "a key of some length, not to be seen\n").unwrap();
    matomo.set("BACKUP_KEY_FILE", &key.display().to_string());
    for words in [&["rehearse", &unsealed][..], &["restore", &unsealed, "--yes"], &["restore", &unsealed]] {
        let done = matomo.run(words).ends_with(1).says(&[&unsealed, "has no seal"]);
        done.says(&["help", "--trust"]);
    }
    matomo.run(&["verify", &unsealed]).ends_with(1).says(&["has no seal"]);
    matomo.run(&["restore", &unsealed, "--yes", "--force"]).ends_with(1).says(&["has no seal"]);
    matomo.run(&["rehearse", &unsealed, "--trust"]).ends_with(0);
    matomo.run(&["restore", &unsealed, "--yes", "--trust"]).ends_with(0);

    let sealed = matomo.backup();
    matomo.run(&["verify", &sealed]).ends_with(0).says(&["is whole", "its seal is good"]);
    matomo.run(&["rehearse", &sealed]).ends_with(0);
    // A person checks it without a program of ours.
    let seal = fs::read_to_string(matomo.backups().join(&sealed).join("manifest.json.hmac-sha256")).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-hmac", "a key of some length, not to be seen"]);
    let openssl = openssl.arg(matomo.backups().join(&sealed).join("manifest.json")).output().unwrap();
    assert!(String::from_utf8_lossy(&openssl.stdout).trim().ends_with(seal.trim()), "{seal}");
    // Whoever has no key writes another manifest, and the seal of the old one does not fit it.
    matomo.forge(&sealed).manifest(|manifest| manifest["database"]["client"] = "another".into());
    matomo.run(&["verify", &sealed]).ends_with(1).says(&[&sealed, "seal is wrong"]);
    matomo.run(&["rehearse", &sealed]).ends_with(1).says(&["seal is wrong"]);
    matomo.run(&["restore", &sealed, "--yes", "--trust"]).ends_with(0).says(&["WARN", "seal is wrong"]);
    // A sealed set whose members were changed is not restored by --force alone.
    let other = matomo.backup();
    let config = matomo.backups().join(&other).join("config.ini.php");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("secret-salt", "SECRET-SALT")).unwrap();
    matomo.run(&["restore", &other, "--yes", "--force"]).ends_with(1).says(&["--trust"]);
    matomo.run(&["restore", &other, "--yes", "--force", "--trust"]).ends_with(0);
    // Without a key nobody asks for a seal.
    matomo.unset("BACKUP_KEY_FILE");
    matomo.run(&["verify", &unsealed]).ends_with(0).never_says("seal");
    matomo.set("BACKUP_KEY", "short").run(&["check"]).ends_with(78).says(&["BACKUP_KEY"]).never_says("short");
}
