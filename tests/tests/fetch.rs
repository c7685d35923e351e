//! rsync-client against a real sshd: keys, first contact, the documented command, several commands, and the daemon.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::fetch::{Fetch, names};
use tests::sshd::{free_port, make_key};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rsync-client");

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What ssh-keygen makes of a public key.
fn is_public_key(line: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pub");
    fs::write(&file, line).unwrap();
    Command::new("ssh-keygen").args(["-l", "-f"]).arg(file).output().unwrap().status.success()
}

#[test]
fn b_01_an_empty_volume_gets_a_key_that_stays() {
    let fetch = Fetch::new(PROGRAM);
    let key = fetch.stack.run(&["key"]).succeeds().stdout;
    assert!(key.starts_with("ssh-ed25519 AAAA") && key.lines().count() == 1 && is_public_key(&key), "{key}");
    assert_eq!(fetch.stack.run(&["key"]).succeeds().stdout, key);
    assert_eq!((mode(&fetch.keys()), mode(&fetch.keys().join("id_ed25519"))), (0o700, 0o600));
    let rsa = fetch.stack.run(&["key", "--type", "rsa"]).succeeds().stdout;
    assert!(rsa.starts_with("ssh-rsa AAAA") && is_public_key(&rsa), "{rsa}");
    assert_eq!(fetch.stack.run(&["key"]).succeeds().stdout, key, "the first key is still the one to use");
}

#[test]
fn b_01_containers_that_start_at_once_make_one_key() {
    let fetch = Fetch::new(PROGRAM);
    let running: Vec<_> = (0..6).map(|_| fetch.stack.start(&["key"])).collect();
    let keys: Vec<String> = running.into_iter().map(|run| run.wait().succeeds().stdout).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let left = names(&fetch.keys()).into_iter().filter(|name| name.starts_with("id_") || name.ends_with(".new"));
    assert_eq!(left.collect::<Vec<_>>(), ["id_ed25519", "id_ed25519.pub"]);
}

#[test]
fn b_02_keys_of_an_old_volume_are_kept() {
    for (kind, wide) in [("rsa", 0o644), ("ecdsa", 0o640), ("ed25519", 0o604)] {
        let fetch = Fetch::new(PROGRAM);
        fs::create_dir(fetch.keys()).unwrap();
        let private = fetch.keys().join(format!("id_{kind}"));
        make_key(&private, kind);
        let before = fs::read(&private).unwrap();
        // As a restored backup leaves it, and without the public half that the old entrypoint insisted on.
        fs::set_permissions(&private, fs::Permissions::from_mode(wide)).unwrap();
        fs::remove_file(private.with_extension("pub")).unwrap();
        fetch.trust();
        fetch.writes("a.log", "line\n").commands(&fetch.command(4)).once().succeeds();
        assert_eq!(fs::read(&private).unwrap(), before);
        assert_eq!(mode(&private), 0o600);
        let keys = names(&fetch.keys()).into_iter().filter(|name| name.starts_with("id_"));
        assert_eq!(keys.collect::<Vec<_>>(), [format!("id_{kind}"), format!("id_{kind}.pub")]);
    }
}

#[test]
fn b_02_a_key_that_cannot_be_used_is_named_and_not_replaced() {
    let fetch = Fetch::new(PROGRAM);
    fs::create_dir(fetch.keys()).unwrap();
    let private = fetch.keys().join("id_rsa");
    fs::write(&private, "").unwrap();
    fetch.stack.run(&["key"]).ends_with(78).says(&["id_rsa", "it is empty"]);
    fs::write(&private, "no key at all\n").unwrap();
    fetch.stack.run(&["key"]).ends_with(78).says(&["id_rsa", "cannot be used"]);
    fs::remove_file(&private).unwrap();
    let mut command = Command::new("ssh-keygen");
    assert!(command.args(["-q", "-t", "ed25519", "-N", "passphrase", "-f"]).arg(&private).status().unwrap().success());
    fs::remove_file(private.with_extension("pub")).unwrap();
    fetch.stack.run(&["key"]).ends_with(78).says(&["id_rsa", "passphrase"]);
}

/// A key as a form or an editor on Windows leaves it.
#[test]
fn a_key_without_its_last_line_end_or_with_others_is_used_all_the_same() {
    for kind in ["ed25519", "rsa"] {
        let fetch = Fetch::new(PROGRAM);
        fs::create_dir(fetch.keys()).unwrap();
        let private = fetch.keys().join(format!("id_{kind}"));
        make_key(&private, kind);
        let whole = fs::read_to_string(&private).unwrap();
        fs::remove_file(private.with_extension("pub")).unwrap();
        fetch.trust();
        fetch.commands(&fetch.command(4)).writes("a.log", "line\n");
        for (at, odd) in
            [whole.trim_end().to_owned(), whole.replace('\n', "\r\n"), format!("\n{whole}\n")].iter().enumerate()
        {
            fs::write(&private, odd).unwrap();
            fetch.writes(&format!("{at}.log"), "line\n").once().succeeds();
            assert!(fetch.fetched(4).contains(&format!("{at}.log")), "{odd:?}");
            assert_eq!(fs::read_to_string(&private).unwrap(), *odd, "the key of the operator is left as it is");
            fetch.stack.run(&["check", "--probe"]).succeeds().says(&["accepts our key"]);
        }
    }
}

/// A file system that nobody writes to; unmounted when it is dropped.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn at(folder: &Path) -> Self {
        let mount = |words: &[&str]| Command::new("mount").args(words).arg(folder).status().unwrap().success();
        let itself = folder.display().to_string();
        assert!(
            mount(&["--bind", &itself]) && mount(&["-o", "remount,bind,ro"]),
            "the tests run as root, who may mount"
        );
        Self(folder.to_owned())
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_key_on_a_read_only_mount_is_used_by_a_copy() {
    let fetch = Fetch::new(PROGRAM);
    fs::create_dir(fetch.keys()).unwrap();
    let private = fetch.keys().join("id_ed25519");
    make_key(&private, "ed25519");
    fetch.sshd.trusts(fs::read_to_string(fetch.keys().join("id_ed25519.pub")).unwrap().trim());
    // As the engine mounts a secret.
    fs::set_permissions(&private, fs::Permissions::from_mode(0o444)).unwrap();
    let temporary = fetch.stack.folder().join("tmp");
    fs::create_dir(&temporary).unwrap();
    fetch.stack.set("TMPDIR", &temporary.to_string_lossy());
    fetch.writes("a.log", "line\n").commands(&fetch.command(4));
    let whole = ReadOnly::at(&fetch.keys());
    fetch.once().succeeds().says(&["used by a copy", "others may read it"]);
    assert_eq!(fetch.fetched(4), ["a.log"]);
    fetch.stack.run(&["key"]).succeeds();
    fetch.stack.run(&["check", "--probe"]).succeeds();
    assert_eq!(mode(&temporary.join("rsync-client-0")), 0o700);
    assert_eq!(mode(&temporary.join("rsync-client-0/keys/id_ed25519")), 0o600);
    // Without any place for a copy, that is what is told.
    fs::remove_dir_all(&temporary).unwrap();
    fetch.once().ends_with(73).says(&["error", "ssh"]).says(&["mount a volume"]);
    drop(whole);
    // A file alone, in a folder that may be written.
    let file = ReadOnly::at(&private);
    fetch.writes("b.log", "line\n").once().succeeds().says(&["used by a copy"]);
    assert_eq!(fetch.fetched(4), ["a.log", "b.log"]);
    drop(file);
}

#[test]
fn a_secret_that_is_linked_to_keeps_its_mode() {
    let fetch = Fetch::new(PROGRAM);
    fs::create_dir(fetch.keys()).unwrap();
    let secret = fetch.stack.folder().join("secret");
    make_key(&secret, "ed25519");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o440)).unwrap();
    std::os::unix::fs::symlink(&secret, fetch.keys().join("id_ed25519")).unwrap();
    fetch.trust();
    fetch.writes("a.log", "line\n").commands(&fetch.command(4)).once().succeeds();
    assert_eq!(mode(&secret), 0o440);
}

#[test]
fn c_133_the_log_shows_the_public_key_on_its_own_line_and_never_the_private_one() {
    let fetch = Fetch::new(PROGRAM);
    let key = fetch.trust();
    fetch.commands(&fetch.command(4));
    let outcome = fetch.once().succeeds();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let at = lines.iter().position(|line| *line == key).unwrap_or_else(|| panic!("the key has no line\n{outcome}"));
    assert!(lines[at - 1].starts_with("=====") && lines[at + 1].starts_with("====="), "{outcome}");
    assert_eq!(lines[at - 2], "Please add this ssh key to your server /home/user/.ssh/authorized_keys");
    let source = fetch.sshd.source().display().to_string();
    let outcome = outcome
        .says(&["fingerprint", "SHA256:"])
        .says(&["next step", "authorized_keys of root@127.0.0.1"])
        .says(&[&format!("command=\"rrsync -ro {source}\",restrict {key}")]);
    let private = fs::read_to_string(fetch.keys().join("id_ed25519")).unwrap();
    for secret in private.lines().filter(|line| line.len() > 20 && !line.starts_with('-')) {
        assert!(!outcome.output().contains(secret), "{outcome}");
    }
    fetch.stack.set("LOG_FORMAT", "json");
    let outcome = fetch.once().succeeds();
    assert!(outcome.stdout.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{outcome}");
    outcome.says(&["\"public_key\"", &key]);
}

#[test]
fn b_03_the_documented_command_fetches_with_ed25519_and_rsa() {
    for kind in ["ed25519", "rsa"] {
        let fetch = Fetch::new(PROGRAM);
        fetch.stack.set("SSH_KEY_TYPE", kind);
        fetch.trust();
        fetch.writes("access.log.1", "one\n").writes("access.log.2", "two\n");
        fetch.commands(&fetch.command(4));
        fetch.once().succeeds().says(&["Command done", "rsync-1", "files=2"]).says(&["Logs arrived", "sites=4:2"]);
        assert_eq!(fetch.fetched(4), ["access.log.1", "access.log.2"]);
        // The source rotates, and a file goes away.
        fs::remove_file(fetch.sshd.source().join("access.log.1")).unwrap();
        fetch.writes("access.log.3", "three\n");
        fetch.once().succeeds();
        assert_eq!(fetch.fetched(4), ["access.log.2", "access.log.3"]);
        let state = fetch.state();
        assert_eq!((&state["version"], &state["last_pass"]["failed"]), (&1.into(), &0.into()));
        assert!(
            state["sites"]["4"]["last_changed"].is_string() && state["sites"]["4"]["last_fetched"].is_string(),
            "{state}"
        );
    }
}

#[test]
fn the_first_contact_with_an_unknown_host_asks_nobody() {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.writes("a.log", "line\n").commands(&fetch.command(4)).once().succeeds();
    let known = fs::read_to_string(fetch.keys().join("known_hosts")).unwrap();
    assert_eq!(known.trim(), fetch.sshd.known_host().rsplit_once(' ').unwrap().0);
}

#[test]
fn a_restricted_key_fetches_its_folder_and_nothing_else() {
    let fetch = Fetch::new(PROGRAM);
    let key = fetch.trust();
    let folder = fetch.sshd.source();
    fetch.sshd.trusts(&format!("command=\"rrsync -ro {}\",restrict {key}", folder.display()));
    fetch.writes("a.log", "line\n");
    let target = fetch.stack.logs_of(4);
    let from =
        |path: &str| format!("rsync -e 'ssh -p {}' -av root@127.0.0.1:{path} {}/", fetch.sshd.port(), target.display());
    fetch.commands(&from("/")).once().succeeds();
    assert_eq!(fetch.fetched(4), ["a.log"]);
    fetch.commands(&from("/etc/passwd")).once().ends_with_one_of(&[1, 69]);
    assert_eq!(fetch.fetched(4), ["a.log"]);
    // The key is accepted, whatever the other side lets it do.
    fetch.stack.run(&["check", "--probe"]).succeeds().says(&["accepts our key"]);
}

#[test]
fn b_04_c_145_a_failed_command_stops_no_other() {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.stack.set("RSYNC_RETRIES", "1");
    fetch.writes("a.log", "line;with;semicolons\n");
    let refused = fetch.command_with(5, free_port(), "-av");
    let missing = format!("{} # the third; not the fourth", fetch.command(6).replace("source/", "nowhere/"));
    let good = fetch.command(4).replace("-avz", "-avz --exclude 'x;y'");
    fetch.commands(&format!("{refused} ; {good}\n{missing}"));
    fetch
        .once()
        .ends_with(1)
        .says(&["Command failed", "rsync-1", "does not answer", "attempts=2"])
        .says(&["Command done", "rsync-2", "files=1"])
        .says(&["Command failed", "rsync-3", "23 (partial transfer"])
        .says(&["Run ended", "2 of 3 commands failed"]);
    assert_eq!(fetch.fetched(4), ["a.log"]);
    assert_eq!(fetch.state()["last_pass"]["failed"], 2);
    fetch.stack.run(&["history"]).succeeds().says(&["ok", "rsync-2"]).says(&["FAIL", "rsync-3", "23"]);
}
