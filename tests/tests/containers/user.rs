//! C-131: any user, no capability, no new privileges, a read-only root.

use std::time::Duration;

use tests::engine::{Recipe, Volume};
use tests::stack::ALL_IN;

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
    for user in USERS {
        let (source, logs, keys) = (Volume::new(), Volume::new(), Volume::new());
        source.sh("echo 'a line' >/volume/access.log");
        for volume in [&logs, &keys] {
            volume.sh(&format!("touch /volume/used && chown {user} /volume && chmod 700 /volume"));
        }
        let recipe = Recipe::of("rsync-client").hardened().with(&["--user", user]);
        let recipe = recipe.mount(&source, "/source").mount(&logs, "/analytics").mount(&keys, "/root/.ssh");
        let recipe = recipe.env("RSYNC_COMMANDS", "rsync -a --mkpath /source/ /analytics/logs/4/");
        recipe.run(&["once"]).is(0);
        assert_eq!(logs.sh("cat /volume/logs/4/access.log"), "a line");
        let privileges =
            recipe.with(&["--entrypoint", "/bin/sh"]).run(&["-c", "grep CapEff /proc/self/status; touch /x"]);
        privileges.is(1).says(&["CapEff", "0000000000000000"]).says(&["Read-only file system"]);
    }
}
