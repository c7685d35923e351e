//! rsync-client and servers of all kinds: old ones, rsync's own daemon, and programs beside rsync that use ssh.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::{Duration, Instant};

use tests::fetch::{Fetch, wait_for};
use tests::rsyncd::Rsyncd;
use tests::sshd::{Sshd, free_port, processes_with};
use tests::stall::Stall;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rsync-client");

/// A world in which the server speaks only what these lines say.
fn old(lines: &str) -> Fetch {
    let mut fetch = Fetch::new(PROGRAM);
    fetch.sshd = Sshd::start_with("rsa", lines);
    fetch.trust();
    fetch.writes("a.log", "line\n").stack.set("RSYNC_RETRIES", "2");
    fetch.commands(&fetch.command(4));
    fetch
}

#[test]
fn an_old_server_is_told_with_the_setting_that_lets_it_in() {
    for (lines, setting) in [
        ("HostKeyAlgorithms ssh-rsa", "HostKeyAlgorithms +ssh-rsa"),
        ("KexAlgorithms diffie-hellman-group14-sha1", "KexAlgorithms +diffie-hellman-group14-sha1"),
        ("Ciphers aes128-cbc", "Ciphers +aes128-cbc"),
    ] {
        let fetch = old(lines);
        let outcome = fetch.once().ends_with(1).never_says("does not answer");
        let outcome = outcome.says(&["ERROR", "Command failed", "too old", "attempts=1", setting]);
        outcome.never_says("tried again");
        fetch.stack.run(&["check", "--probe"]).ends_with(1).says(&["FAULT", "too old"]).says(&[setting]);
        fs::write(fetch.keys().join("config"), format!("Host *\n    {setting}\n")).unwrap();
        fetch.once().succeeds();
        assert_eq!(fetch.fetched(4), ["a.log"], "{setting}");
    }
}

#[test]
fn scp_and_sftp_have_our_key_and_our_hosts() {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.writes("a.log", "line\n");
    let (port, source) = (fetch.sshd.port(), fetch.sshd.source());
    for site in [4, 5] {
        fs::create_dir_all(fetch.stack.logs_of(site)).unwrap();
    }
    let scp =
        format!("scp -O -P {port} root@127.0.0.1:{}/a.log {}/", source.display(), fetch.stack.logs_of(4).display());
    fetch.commands(&scp).once().succeeds().never_says("deserves a look");
    assert_eq!(fetch.fetched(4), ["a.log"]);
    assert!(fs::read_to_string(fetch.keys().join("known_hosts")).unwrap().contains(&port.to_string()));
    fs::remove_file(fetch.keys().join("known_hosts")).unwrap();
    let get = format!("get {}/a.log {}/", source.display(), fetch.stack.logs_of(5).display());
    fs::write(fetch.stack.folder().join("batch"), get).unwrap();
    let batch = fetch.stack.folder().join("batch").display().to_string();
    fetch.commands(&format!("sftp -b {batch} -P {port} root@127.0.0.1")).once().succeeds();
    assert_eq!(fetch.fetched(5), ["a.log"]);
    for text in [format!("/usr/bin/{scp}"), fetch.command(4).replace("\"ssh -p", "\"/usr/bin/ssh -p")] {
        fetch.commands(&text).once().says(&["deserves a look", "named by its path", "write the name alone"]);
    }
}

#[test]
fn a_daemon_that_refuses_is_told_by_its_words() {
    let (fetch, daemon) = (Fetch::new(PROGRAM), Rsyncd::start());
    fetch.stack.set("RSYNC_RETRIES", "1").set("RSYNC_PASSWORD", "wrong");
    let command = |module: &str| {
        format!("rsync -a rsync://me@127.0.0.1:{}/{module}/ {}/", daemon.port(), fetch.stack.logs_of(4).display())
    };
    for (module, code, words, attempts) in [
        ("nosuch", 78, "no module of that name", 1),
        ("closed", 1, "does not accept the user or the password", 1),
        ("denied", 1, "the rsync daemon refuses", 1),
    ] {
        let outcome = fetch.commands(&command(module)).once().ends_with(code);
        outcome.says(&["Command failed", words, &format!("attempts={attempts}")]);
    }
    fetch.stack.set("RSYNC_PASSWORD", "right");
    fetch.commands(&command("closed")).once().succeeds();
    // Another client has the only place.
    fs::write(daemon.module("single").join("big"), vec![7; 3_000_000]).unwrap();
    let mut other = std::process::Command::new("rsync")
        .args(["-a", "--bwlimit=200", &format!("rsync://127.0.0.1:{}/single/big", daemon.port())])
        .arg(fetch.stack.folder().join("other"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the other client", || {
        fs::read_dir(fetch.stack.folder())
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with(".other."))
    });
    let outcome = fetch.commands(&command("single")).once().ends_with(69);
    outcome.says(&["too many connections", "attempts=2"]);
    let _ = other.kill();
    let _ = other.wait();
}

#[test]
fn a_daemon_is_fetched_from_and_written_to_through_our_connection() {
    let (fetch, daemon) = (Fetch::new(PROGRAM), Rsyncd::start());
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(daemon.module("logs").join("big"), &bytes).unwrap();
    let target = fetch.stack.logs_of(4).display().to_string();
    let at = format!("127.0.0.1:{}", daemon.port());
    fetch.commands(&format!(
        "rsync -a rsync://{at}/logs/ {target}/\nrsync -a --port={} {target}/ 127.0.0.1::in/",
        daemon.port()
    ));
    fetch.once().succeeds();
    assert!(fs::read(fetch.stack.logs_of(4).join("big")).unwrap() == bytes);
    assert!(fs::read(daemon.module("in").join("big")).unwrap() == bytes);
    fetch.commands(&format!("rsync -a rsync://127.0.0.1:{}/logs/ {target}/", free_port()));
    fetch.once().ends_with(69).says(&["Connection refused"]).says(&["does not answer"]);
}

#[test]
fn a_daemon_that_goes_silent_is_given_up_as_an_ssh_is() {
    let (fetch, daemon) = (Fetch::new(PROGRAM), Rsyncd::start());
    fs::write(daemon.module("logs").join("big"), vec![7; 6_000_000]).unwrap();
    fetch.stack.set("RSYNC_RETRIES", "0").set("SSH_STALL_TIMEOUT", "4s");
    for bytes in [0, 1_000_000] {
        let stall = Stall::before(daemon.port(), bytes);
        for text in ["rsync -a rsync://AT/logs/ TO/", "rsync -a --timeout=5 rsync://AT/logs/ TO/ | cat"] {
            let text = text.replace("AT", &format!("127.0.0.1:{}", stall.port()));
            fetch.commands(&text.replace("TO", &fetch.stack.logs_of(4).display().to_string()));
            let began = Instant::now();
            fetch.once().ends_with(69).says(&["Command failed", "does not answer"]);
            assert!(began.elapsed() < Duration::from_secs(30), "{text}: {:?}", began.elapsed());
            assert_eq!(fetch.fetched(4), Vec::<String>::new(), "{text}");
        }
        assert_eq!(processes_with(&format!("127.0.0.1:{}", stall.port())), Vec::<String>::new());
    }
}
