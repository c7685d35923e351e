//! rsync-client when things go wrong: each failure of ssh and rsync is known by its words, and tried again only when that
//! can help.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::fetch::Fetch;
use tests::sshd::free_port;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rsync-client");
/// rsync ends with 12 or 255 at random: often enough to meet both.
const REPEATS: usize = 20;

/// A world with two attempts to spare, in which everything would work.
fn world() -> Fetch {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.writes("a.log", "line\n").stack.set("RSYNC_RETRIES", "2");
    fetch
}

/// Runs the same command again and again within one pass: each must be judged and tried alike, whatever its number.
#[track_caller]
fn always(fetch: &Fetch, command: &str, exit: i32, words: &str, attempts: u32) {
    fetch.commands(&vec![command; REPEATS].join("\n"));
    let outcome = fetch.once().ends_with(exit);
    let attempts = format!("attempts={attempts}");
    let ends = |line: &&str| line.contains(" Command failed command=") || line.contains(" Command done command=");
    let alike = outcome.stdout.lines().filter(ends).filter(|line| line.contains(words) && line.contains(&attempts));
    assert_eq!(alike.count(), REPEATS, "not every end says {words:?} and {attempts}\n{outcome}");
}

#[test]
fn b_06_a_refused_connection_is_tried_again() {
    let fetch = world();
    let command = fetch.command_with(4, free_port(), "-av");
    always(&fetch, &command, 69, "does not answer", 3);
}

#[test]
fn b_06_an_unknown_host_is_tried_again() {
    let fetch = world();
    let command = fetch.command(4).replace("root@127.0.0.1", "root@no-such-host.invalid");
    always(&fetch, &command, 69, "does not answer", 3);
}

#[test]
fn b_06_a_refused_key_is_not_tried_again_and_shown_once_more() {
    let fetch = world();
    fetch.sshd.trusts("");
    always(&fetch, &fetch.command(4), 1, "does not accept our key", 1);
    let outcome = fetch.commands(&fetch.command(4)).once().ends_with(1);
    let key = fetch.stack.run(&["key"]).stdout;
    assert_eq!(outcome.stdout.matches(key.trim()).count(), 4, "{outcome}");
}

#[test]
fn b_06_b_07_a_changed_host_key_is_refused_and_shouted() {
    let mut fetch = world();
    fetch.commands(&fetch.command(4)).once().succeeds();
    fetch.sshd.renew_host_key();
    fetch.writes("b.log", "line\n");
    always(&fetch, &fetch.command(4), 1, "THE SERVER HAS ANOTHER HOST KEY", 1);
    assert_eq!(fetch.fetched(4), ["a.log"]);
    let outcome = fetch.commands(&fetch.command(4)).once().ends_with(1);
    let outcome = outcome.says(&["ERROR", "known_hosts", "ssh-keygen -R"]);
    assert!(!outcome.stdout.contains("tried again"), "{outcome}");
    // What EEA documents fetches all the same, and draws a warning.
    let eea = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
    fetch.commands(&fetch.command(4).replace("ssh -p", &format!("ssh {eea} -p")));
    fetch.once().succeeds().says(&["WARN", "StrictHostKeyChecking=no", "pin"]);
    assert_eq!(fetch.fetched(4), ["a.log", "b.log"]);
}

#[test]
fn b_07_pinned_host_keys_are_the_only_ones() {
    let mut fetch = world();
    fetch.stack.set("SSH_KNOWN_HOSTS", &fetch.sshd.known_host());
    fetch.commands(&fetch.command(4)).once().succeeds();
    fetch.sshd.renew_host_key();
    fetch.once().ends_with(1).says(&["ERROR", "ANOTHER HOST KEY"]);
    fetch.stack.set(
        "SSH_KNOWN_HOSTS",
        "[elsewhere]:22 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFAr/qCIN8HVY0MYqf791l29Irft3SLLf1oo6aywPIbs",
    );
    fetch.once().ends_with(1).says(&["ERROR", "not among the known ones", "SSH_KNOWN_HOSTS"]);
}

#[test]
fn b_06_a_server_without_rsync_is_not_tried_again() {
    let fetch = world();
    let command = fetch.command_with(4, fetch.sshd.port(), "-av --rsync-path=/no/such/rsync");
    always(&fetch, &command, 1, "rsync is not installed on the server", 1);
}

#[test]
fn b_06_a_missing_source_is_tried_again() {
    let fetch = world();
    fetch.stack.set("RSYNC_RETRIES", "1");
    let command = fetch.command(4).replace("source/", "nowhere/");
    always(&fetch, &command, 1, "some files could not be fetched", 2);
}

#[test]
fn b_06_a_bad_option_is_a_fault_of_the_command() {
    let fetch = world();
    always(
        &fetch,
        &fetch.command_with(4, fetch.sshd.port(), "-av --no-such-option"),
        78,
        "the command itself is wrong",
        1,
    );
}

#[test]
fn b_06_a_chatty_remote_shell_is_explained() {
    let fetch = world();
    let key = fetch.stack.run(&["key"]).stdout;
    fetch.sshd.trusts(&format!(
        "command=\"echo Welcome to this server, dear guest; eval $SSH_ORIGINAL_COMMAND\" {}",
        key.trim()
    ));
    always(&fetch, &fetch.command(4), 1, "prints text before rsync speaks", 1);
}

#[test]
fn b_06_vanished_files_are_no_failure() {
    let fetch = world();
    // An rsync at the other end that loses a file between listing and sending it.
    let end = fetch.stack.folder().join("bin/rsync");
    fs::create_dir(fetch.stack.folder().join("bin")).unwrap();
    fs::write(&end, "#!/bin/sh\n/usr/bin/rsync \"$@\"\necho 'file has vanished: \"/x\"' >&2\nexit 24\n").unwrap();
    assert!(Command::new("chmod").args(["+x"]).arg(&end).status().unwrap().success());
    let command = fetch.command(4).replace("rsync -e", &format!("{} -e", end.display()));
    always(&fetch, &command, 0, "24 (source files vanished)", 1);
}

#[test]
fn b_06_a_full_disk_is_tried_once_more_and_leaves_no_half_file() {
    let fetch = world();
    fetch.writes_much("big.log", 900_000);
    let disk = SmallDisk::at(fetch.stack.logs_of(4), 400);
    always(&fetch, &fetch.command(4), 1, "cannot be written", 2);
    assert!(!fetch.fetched(4).contains(&"big.log".to_owned()), "{:?}", fetch.fetched(4));
    drop(disk);
}

/// A file system of so many kB; unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(folder: PathBuf, kilobytes: u32) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"]).arg(&folder);
        assert!(command.status().unwrap().success(), "the tests run as root, and root may mount");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn b_12_a_target_behind_somebody_elses_link_is_explained() {
    let fetch = world();
    let logs = fetch.stack.folder().join("logs");
    fs::create_dir_all(&logs).unwrap();
    let (elsewhere, link) = (fetch.stack.folder().join("elsewhere"), logs.join("4"));
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(4711), Some(4711)).unwrap();
    let outcome = fetch.commands(&fetch.command(4)).once();
    outcome.ends_with(1).says(&[
        "ERROR",
        "Command failed",
        "symbolic link that belongs to another user",
        "chown -h",
        "attempts=1",
    ]);
}

#[test]
fn b_14_secrets_of_a_command_reach_neither_log_nor_state() {
    let fetch = world();
    let command = format!(
        "RSYNC_PASSWORD=tops3cret1 {} ; echo me:tops3cret2@host tops3cret1 ; false rsync://me:tops3cret2@host/",
        fetch.command(4)
    );
    let outcome = fetch.commands(&command).once().ends_with(1).says(&["rsync-2|", "(hidden)"]);
    let check = fetch.stack.run(&["check"]);
    let history = fetch.stack.run(&["history", "--json"]).succeeds();
    for secret in ["tops3cret1", "tops3cret2"] {
        assert!(!outcome.output().contains(secret), "{outcome}");
        assert!(!check.output().contains(secret), "{check}");
        assert!(!history.output().contains(secret), "{history}");
    }
}

#[test]
fn a_text_that_no_shell_understands_is_a_fault_of_the_settings() {
    let fetch = world();
    fetch.commands("rsync 'a b").once().ends_with(78).says(&["RSYNC_COMMANDS", "shell does not understand"]);
    fetch.commands("rsync a; ; b").once().ends_with(78);
}

#[test]
fn a_missing_program_is_named() {
    let fetch = world();
    fetch.commands("no-such-program a b ; true").once().ends_with(78).says(&[
        "Command failed",
        "127 (not found)",
        "not installed here",
    ]);
}
