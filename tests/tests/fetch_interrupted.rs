//! rsync-client when a transfer is cut short: a silent server, a stalled line, a killed server, a wish to stop.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::{Duration, Instant};

use tests::fetch::{Fetch, wait_for};
use tests::sshd::processes_with;
use tests::stall::Stall;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rsync-client");
/// Enough for a transfer to be under way for long at this speed (in kB a second).
const BYTES: usize = 6_000_000;
const SLOWLY: &str = "-av --bwlimit=300";

/// A world with one large file at the source.
fn world() -> Fetch {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.writes_much("big.log", BYTES).stack.set("RSYNC_RETRIES", "0");
    fetch
}

/// Nothing under a final name but whole files, and nothing that a killed rsync left.
#[track_caller]
fn nothing_half(fetch: &Fetch) {
    let left = fetch.fetched(4);
    assert!(left.is_empty() || left == ["big.log"], "{left:?}");
    if left == ["big.log"] {
        let bytes = |folder: std::path::PathBuf| fs::read(folder.join("big.log")).unwrap();
        assert_eq!(bytes(fetch.stack.logs_of(4)), bytes(fetch.sshd.source()));
    }
}

/// The transfer is under way: its temporary file grows.
fn wait_for_transfer(fetch: &Fetch) {
    wait_for("a transfer", || fetch.fetched(4).iter().any(|name| name.starts_with(".big.log.")));
}

#[test]
fn b_08_a_server_that_never_answers_is_given_up() {
    let fetch = world();
    let stall = Stall::before(fetch.sshd.port(), 0);
    fetch.stack.set("SSH_CONNECT_TIMEOUT", "2s");
    fetch.commands(&fetch.command_with(4, stall.port(), "-av"));
    let began = Instant::now();
    fetch.once().ends_with(69).says(&["does not answer"]).says(&["timed out"]);
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    assert_eq!(processes_with(&format!("-p {}", stall.port())), Vec::<String>::new());
}

#[test]
fn b_08_a_line_that_goes_silent_in_mid_transfer_is_given_up() {
    let fetch = world();
    let stall = Stall::before(fetch.sshd.port(), 1_000_000);
    fetch.stack.set("SSH_STALL_TIMEOUT", "4s");
    fetch.commands(&fetch.command_with(4, stall.port(), "-av"));
    let began = Instant::now();
    fetch.once().ends_with(69).says(&["not responding"]).says(&["Command failed", "does not answer"]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(stall.passed() >= 1_000_000);
    nothing_half(&fetch);
    assert_eq!(processes_with(&format!("-p {}", stall.port())), Vec::<String>::new());
}

#[test]
fn b_08_a_command_that_takes_too_long_is_stopped_with_all_its_processes() {
    let fetch = world();
    fetch.stack.set("RSYNC_TIMEOUT", "3s");
    fetch.commands(&fetch.command_with(4, fetch.sshd.port(), "-av --bwlimit=30"));
    fetch.once().ends_with(124).says(&["Command failed", "124 (took too long)", "RSYNC_TIMEOUT"]);
    nothing_half(&fetch);
    assert_eq!(processes_with(&format!("-p {}", fetch.sshd.port())), Vec::<String>::new());
}

#[test]
fn a_server_that_dies_in_mid_transfer_is_tried_again_and_no_half_file_stays() {
    let mut fetch = world();
    fetch.stack.set("RSYNC_RETRIES", "40").set("RSYNC_RETRY_DELAY", "500ms");
    fetch.commands(&fetch.command_with(4, fetch.sshd.port(), SLOWLY));
    let running = fetch.stack.start(&["once"]);
    wait_for_transfer(&fetch);
    fetch.sshd.kill();
    std::thread::sleep(Duration::from_secs(1));
    assert!(!fetch.fetched(4).contains(&"big.log".to_owned()));
    fetch.sshd.start_again();
    running.wait().succeeds().says(&["WARN", "tried again", "attempt=1"]).says(&["Command done"]);
    assert_eq!(fetch.fetched(4), ["big.log"]);
    nothing_half(&fetch);
}

#[test]
fn b_09_a_wish_to_stop_ends_a_transfer_at_once_and_cleanly() {
    for words in ["once", "run"] {
        let fetch = world();
        fetch.commands(&fetch.command_with(4, fetch.sshd.port(), SLOWLY));
        let running = fetch.stack.start(&[words]);
        wait_for_transfer(&fetch);
        let began = Instant::now();
        let outcome = running.terminate();
        let took = began.elapsed();
        // A loaded machine gets more than the two seconds that it takes on an idle one.
        assert!(took < Duration::from_secs(8), "{took:?}\n{outcome}");
        println!("{words} ended {} ms after TERM", took.as_millis());
        outcome.ends_with(if words == "once" { 143 } else { 0 }).says(&["Command was stopped", "rsync-1"]);
        assert_eq!(fetch.fetched(4), Vec::<String>::new());
        assert_eq!(processes_with(&format!("-p {}", fetch.sshd.port())), Vec::<String>::new());
    }
}

#[test]
fn b_09_a_wish_to_stop_ends_a_pause_between_attempts() {
    let fetch = world();
    fetch.stack.set("RSYNC_RETRIES", "5").set("RSYNC_RETRY_DELAY", "60s");
    fetch.commands(&fetch.command_with(4, tests::sshd::free_port(), "-av"));
    let running = fetch.stack.start(&["once"]);
    wait_for("the end of the first attempt", || fetch.stack.folder().join("rsync/rsync.history.json").exists());
    std::thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    running.terminate().ends_with_one_of(&[69, 143]);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn leftovers_of_a_killed_rsync_are_removed_after_a_day() {
    let fetch = world();
    let folder = fetch.stack.logs_of(4);
    fs::create_dir_all(&folder).unwrap();
    let old = folder.join(".big.log.Ab12Cd");
    for (name, age) in [(".big.log.Ab12Cd", 48), (".big.log.Xy12Zw", 1)] {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age * 3600)).unwrap();
    }
    fetch
        .commands(&fetch.command_with(4, fetch.sshd.port(), "-av"))
        .once()
        .succeeds()
        .says(&["Removed unfinished files", ".big.log.Ab12Cd"]);
    assert!(!old.exists());
    assert_eq!(fetch.fetched(4), [".big.log.Xy12Zw", "big.log"]);
}
