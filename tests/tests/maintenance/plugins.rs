//! Which plugins are the operator's, and what is said where the configuration names one that is nowhere.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tests::installation::Installation;

use crate::healthy;

/// Names a plugin in the configuration, as Matomo does when it is installed.
fn installed(matomo: &Installation, name: &str) {
    fs::write(matomo.config_path(), matomo.config() + &format!("PluginsInstalled[] = \"{name}\"\n")).unwrap();
}

fn plugins(matomo: &Installation, set: &str) -> Vec<String> {
    let manifest = matomo.manifest(set);
    manifest["plugins"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

const MANIFEST: &str = "<?php\nnamespace Piwik;\nclass Manifest {\n\tstatic $files=array(\n\
    \t\t\"README.md\" => array(\"1\", \"x\"),\n\t\t\"plugins/Login/plugin.php\" => array(\"4\", \"x\"),\n\
    \t\t\"plugins/TagManager/plugin.json\" => array(\"4\", \"x\"),\n\t);\n}\n";

#[test]
fn every_plugin_that_the_release_does_not_bring_is_in_the_set_and_comes_back_on_a_fresh_volume() {
    let matomo = healthy();
    for name in ["CustomVariables", "TagManager"] {
        matomo.write(&format!("plugins/{name}/plugin.json"), "{\"version\":\"5.0.2\"}");
    }
    installed(&matomo, "CustomVariables");
    // Without the release's own list, its default configuration says what it brings.
    let set = matomo.backup();
    assert_eq!(plugins(&matomo, &set), ["CustomVariables", "LoginLdap", "TagManager"]);
    matomo.write("config/manifest.inc.php", MANIFEST);
    let set = matomo.backup();
    assert_eq!(plugins(&matomo, &set), ["CustomVariables", "LoginLdap"]);
    matomo.run(&["verify", &set]).ends_with(0);
    for name in ["CustomVariables", "LoginLdap"] {
        fs::remove_dir_all(matomo.matomo().join("plugins").join(name)).unwrap();
    }
    matomo.run(&["status"]).ends_with(1).says(&["TROUBLE", "CustomVariables"]);
    matomo.run(&["restore", &set, "--yes", "--without-safety-backup"]).ends_with(0);
    assert!(matomo.read("plugins/CustomVariables/plugin.json").is_some());
    matomo.run(&["status"]).ends_with(0);
}

#[test]
fn a_plugin_that_is_named_and_nowhere_is_a_fault_of_backup_verify_restore_and_status() {
    let matomo = healthy();
    matomo.write("plugins/Bandwidth/plugin.json", "{\"version\":\"5.0.2\"}");
    let without = matomo.backup();
    installed(&matomo, "Bandwidth");
    let good = matomo.backup();
    matomo.run(&["status"]).ends_with(0);
    // The set's manifest says less than its configuration, as sets of earlier versions of this program do.
    matomo.forge(&good).manifest(|manifest| {
        manifest["plugins"].as_array_mut().unwrap().retain(|plugin| plugin["name"] != "Bandwidth");
    });
    matomo.run(&["verify", &good]).ends_with(1).says(&["is whole", "lacks", "Bandwidth"]);
    matomo.run(&["status"]).ends_with(1).says(&["TROUBLE", &good, "lacks", "Bandwidth"]);
    fs::remove_dir_all(matomo.matomo().join("plugins/Bandwidth")).unwrap();
    let done = matomo.run(&["backup"]).ends_with(1).says(&["is whole", "Bandwidth", "not in", "plugins"]);
    done.says(&["help", "plugin"]);
    assert_eq!(matomo.sets().len(), 3, "what is there is kept nevertheless");
    matomo.run(&["backup", "--dry-run"]).ends_with(1).says(&["Bandwidth"]);
    matomo.run(&["status"]).ends_with(1).says(&["TROUBLE", "Bandwidth"]);
    matomo.run(&["check"]).ends_with(1).says(&["FAULT", "Bandwidth"]);
    // The set of before names none, and lacks none.
    matomo.run(&["restore", &without, "--yes", "--without-safety-backup"]).ends_with(0);
    let broken = matomo.sets().pop().unwrap();
    fs::remove_dir_all(matomo.matomo().join("plugins/Bandwidth")).unwrap();
    matomo.run(&["restore", &broken]).says(&["would replace"]).says(&["FAULT", "Bandwidth"]);
    let done = matomo.run(&["restore", &broken, "--yes"]).ends_with(1);
    let done = done.says(&[&broken, "is in force", "Bandwidth"]);
    done.says(&["help", "plugins/Bandwidth"]);
}

#[test]
fn a_plugin_behind_a_link_is_copied_and_what_a_restore_would_refuse_is_left_out_and_named() {
    let matomo = healthy();
    let mounted = matomo.folder().join("mounted");
    fs::create_dir_all(mounted.join("vendor/bin")).unwrap();
    fs::write(mounted.join("plugin.json"), "{\"version\":\"1\"}").unwrap();
    symlink("../../plugin.json", mounted.join("vendor/bin/inside")).unwrap();
    symlink("/etc/passwd", mounted.join("outside")).unwrap();
    symlink(&mounted, matomo.matomo().join("plugins/Mounted")).unwrap();
    let root = matomo.matomo().join("misc/user/root");
    fs::write(&root, "").unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o4755)).unwrap();
    let done = matomo.run(&["backup", "--lock"]).ends_with(0);
    let done = done.says(&["WARN", "left out", "plugins/Mounted/outside", "leads out"]);
    done.says(&["WARN", "left out", "misc/user/root", "setuid"]);
    let set = matomo.sets().pop().unwrap();
    matomo.run(&["rehearse"]).ends_with(0);
    matomo.run(&["restore", &set, "--yes", "--without-safety-backup"]).ends_with(0);
    let place = matomo.matomo().join("plugins/Mounted");
    assert!(fs::symlink_metadata(&place).unwrap().is_dir(), "the link became the folder that it led to");
    assert_eq!(fs::read_to_string(place.join("vendor/bin/inside")).unwrap(), "{\"version\":\"1\"}");
    assert!(!place.join("outside").exists() && !root.exists());
    assert!(mounted.join("outside").is_symlink(), "what was mounted stays as it was");
}
