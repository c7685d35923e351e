//! C-131: any user, no capability, no new privileges, a read-only root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tests::engine::{Recipe, Volume};
use tests::stack::{ALL_IN, SETTINGS};

use crate::import::Logs;

const USERS: [&str; 3] = ["1000:1000", "82:82", "48151:62342"];

#[test]
fn c_131_log_analytics_imports_as_any_user() {
    for user in USERS {
        let logs = Logs::new(100, Duration::ZERO);
        logs.volume.sh(&format!("chown -R {user} /volume"));
        logs.importer().with(&["--user", user]).run(&["once"]).is(ALL_IN);
        logs.all_in_once();
    }
}

#[test]
fn c_131_rsync_client_fetches_as_any_user() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let names = folder.path().join("passwd");
    for user in USERS {
        let (source, logs, keys) = (Volume::new(), Volume::new(), Volume::new());
        source.sh("echo 'a line' >/volume/access.log");
        for volume in [&logs, &keys] {
            volume.sh(&format!("touch /volume/used && chown {user} /volume && chmod 700 /volume"));
        }
        let recipe = Recipe::of("rsync-client").hardened().with(&["--user", user]);
        let recipe = recipe.mount(&source, "/source").mount(&logs, "/analytics").mount(&keys, "/root/.ssh");
        let recipe = recipe.env("RSYNC_COMMANDS", "rsync -a --mkpath /source/ /analytics/logs/4/");
        // ssh's own programs refuse a user without a name; only 1000 has one in the image.
        if user != USERS[0] {
            // Keys that are there already are not blamed for it.
            keys.sh(&format!("ssh-keygen -q -t ed25519 -N '' -f /volume/id_ed25519 && chown {user} /volume/id_*"));
            for command in ["once", "check"] {
                let end = recipe.run(&[command]).is(SETTINGS);
                let end = end.says(&["no line in /etc/passwd: No user exists for uid"]);
                end.says(&["1000:1000", "mount a file over /etc/passwd"]);
            }
        }
        let (id, group) = user.split_once(':').unwrap();
        fs::write(&names, format!("somebody:x:{id}:{group}::/root:/bin/sh\n")).unwrap();
        let recipe = recipe.bind(&names, "/etc/passwd".as_ref());
        recipe.run(&["once"]).is(0);
        assert_eq!(logs.sh("cat /volume/logs/4/access.log"), "a line");
        let privileges =
            recipe.with(&["--entrypoint", "/bin/sh"]).run(&["-c", "grep CapEff /proc/self/status; touch /x"]);
        privileges.is(1).says(&["CapEff", "0000000000000000"]).says(&["Read-only file system"]);
    }
}
