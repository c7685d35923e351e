//! C-133: the ssh key of rsync-client on its volume.

use tests::engine::{Recipe, Volume};

use crate::matomo::NEVER;

fn client(keys: &Volume) -> Recipe {
    let recipe = Recipe::of("rsync-client").hardened().mount(keys, "/root/.ssh").env("RSYNC_COMMANDS", "true");
    recipe.env("MATOMO_RSYNC_LOGS_CRON", NEVER).env("RUN_AT_START", "no")
}

/// The line of the log that is the public key.
#[track_caller]
fn public_key(log: &str) -> String {
    let found: Vec<&str> = log.lines().filter(|line| line.starts_with("ssh-")).collect();
    assert_eq!(found.len(), 1, "{log}");
    found[0].to_owned()
}

#[test]
fn c_133_the_key_is_made_once_is_private_and_survives_the_container() {
    let keys = Volume::new();
    let first = client(&keys).start(&["run"]);
    first.says("Schedule");
    let key = public_key(&first.logs());
    assert_eq!(first.exec(&["stat", "--format", "%a %u", "/root/.ssh/id_ed25519"]), "600 1000");
    let private = first.exec(&["cat", "/root/.ssh/id_ed25519"]);
    let secret = private.lines().nth(1).unwrap();
    assert!(!first.logs().contains(secret), "the private key is in the log");
    drop(first);
    let second = client(&keys).start(&["run"]);
    second.says("Schedule");
    assert_eq!(public_key(&second.logs()), key);
    assert_eq!(second.exec(&["cat", "/root/.ssh/id_ed25519"]), private);
}

#[test]
fn c_133_a_key_of_another_kind_is_kept() {
    let keys = Volume::new();
    keys.sh(
        "ssh-keygen -q -t ecdsa -N '' -f /volume/id_ecdsa && rm /volume/id_ecdsa.pub && chown -R 1000:1000 /volume",
    );
    let before = keys.sh("cat /volume/id_ecdsa");
    let client = client(&keys).start(&["run"]);
    client.says("Schedule");
    client.says("ecdsa-sha2-nistp256 AAAA");
    assert_eq!(keys.sh("cat /volume/id_ecdsa"), before);
    assert_eq!(keys.sh("ls /volume | grep -c ed25519 || true").trim(), "0", "no second key is made");
}
