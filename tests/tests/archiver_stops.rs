//! Being stopped, killed and started twice: what Matomo loses, and what the operator is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tests::console::Console;

const PROGRAM: &str = env!("CARGO_BIN_EXE_archiver");

fn console() -> Console {
    Console::new(PROGRAM)
}

/// Until the stand-in has said something.
fn until_site_1(running: &mut tests::console::Sidecar) {
    running.until_it_says("Site archived");
}

fn outcomes(console: &Console) -> Vec<String> {
    let ended = console.run(&["history", "--json"]);
    let runs: Vec<Value> = serde_json::from_str(&ended.output).unwrap();
    runs.iter().map(|run| run["outcome"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn c_006_a_stop_lets_the_run_finish_within_its_grace() {
    let console = console();
    let mut running = console.plays("slow 1500").start(&["once"]);
    until_site_1(&mut running);
    running.signal(Signal::TERM);
    running.wait().ends_with(0).says(&["may finish first"]).says(&["outcome=ok", "8 archives of 2 sites"]);
    assert_eq!(outcomes(&console), ["ok"]);
}

#[test]
fn c_007_when_the_grace_is_over_the_signal_is_passed_on_and_stuck_sites_are_named() {
    let console = console();
    // What may still be at work is not freed, only named.
    console.plays("hang").set("SHUTDOWN_GRACE", "2s").set("ARCHIVE_FREE_STUCK", "yes");
    let mut running = console.start(&["once"]);
    until_site_1(&mut running);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    // The row that the archiver leaves behind when it is cut off.
    console.queue(&format!(r#"[{{"Site":"1","Status":"Processing","Started":"{now}"}}]"#));
    running.signal(Signal::TERM);
    let ended = running.wait();
    ended.ends_with(143).says(&["outcome=stopped"]).says(&["Site is stuck", "site=1", "archiver once free"]);
    ended.never_says("stay stuck");
    assert_eq!(outcomes(&console), ["stopped"]);
    assert_gone(&console);
}

#[test]
fn c_005_with_the_policy_now_the_signal_is_passed_on_at_once() {
    for (scenario, code) in [("hang", 143), ("handler", 143)] {
        let console = console();
        let mut running = console.plays(scenario).set("STOP_POLICY", "now").start(&["once"]);
        until_site_1(&mut running);
        let asked = Instant::now();
        running.signal(Signal::TERM);
        running.wait().ends_with(code).says(&["outcome=stopped"]);
        assert!(asked.elapsed() < Duration::from_secs(20), "{scenario}: the grace is 30 s");
    }
}

#[test]
fn c_008_a_second_term_ends_a_stubborn_archiver_at_once() {
    let console = console();
    let mut running = console.plays("stubborn").set("SHUTDOWN_GRACE", "1h").start(&["once"]);
    until_site_1(&mut running);
    running.signal(Signal::TERM).until_it_says("may finish first");
    running.signal(Signal::TERM);
    running.wait().ends_with(143).says(&["outcome=stopped"]);
    assert_gone(&console);
}

#[test]
fn c_083_a_run_that_takes_too_long_is_ended() {
    let console = console();
    console.plays("hang").set("JOB_TIMEOUT", "1s").set("SHUTDOWN_GRACE", "5s");
    console.run(&["once"]).ends_with(124).says(&["outcome=\"timed out\""]);
    console.plays("stubborn").set("SHUTDOWN_GRACE", "1s").run(&["once"]).ends_with(124);
    assert_eq!(outcomes(&console), ["timed-out", "timed-out"]);
    assert_gone(&console);
}

/// No process of this console is left.
fn assert_gone(console: &Console) {
    let root = console.root().to_string_lossy().into_owned();
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let listed = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap().stdout;
        let listed = String::from_utf8_lossy(&listed);
        let Some(left) = listed.lines().find(|line| line.contains(&root)) else { return };
        assert!(Instant::now() < give_up, "still there: {left}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn c_118_two_archivers_never_run_under_one_lock() {
    let console = console();
    let mut first = console.plays("slow 2000").start(&["once"]);
    until_site_1(&mut first);
    console.run(&["once"]).ends_with(75).says(&["outcome=skipped", "under way here since"]);
    console.run(&["once", "scheduled-tasks"]).ends_with(75);
    first.wait().ends_with(0);
    assert_eq!(console.calls_of("core:archive").len(), 1);
    console.plays("ok").run(&["once"]).ends_with(0);
}

#[test]
fn c_119_two_starts_within_min_interval_are_one_run() {
    let console = console();
    console.set("MIN_INTERVAL", "1h").set("MATOMO_ARCHIVE_CRON", "* * * * * *");
    console.run(&["once"]).ends_with(0);
    console
        .run(&["once"])
        .ends_with(0)
        .says(&["Nothing to do: the job ran a short while ago", "MIN_INTERVAL is 1 hour"]);
    // Another job is another matter, and so is a signal.
    console.run(&["once", "scheduled-tasks"]).ends_with(0).says(&["outcome=ok"]);
    let mut running = console.start(&["run"]);
    running.until_it_says("This run is left out: the job ran a short while ago").signal(Signal::USR1);
    running.until_it_says("outcome=ok").signal(Signal::TERM);
    running.wait().ends_with(0);
    assert_eq!(console.calls_of("core:archive").len(), 2);
    // One that was cut off together with us counts: that is what a loop of restarts is made of.
    let fresh = self::console();
    fresh.set("MIN_INTERVAL", "1h");
    let mut running = fresh.plays("stubborn").start(&["once"]);
    until_site_1(&mut running);
    running.signal(Signal::KILL);
    running.wait();
    assert_gone(&fresh);
    fresh.plays("ok").run(&["once"]).ends_with(0).says(&["Nothing to do"]);
}

/// An archiver that somebody started by hand.
struct ByHand(Child);

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_archiver_started_by_hand_is_seen_and_named() {
    let console = console();
    console.plays("hang");
    let by_hand =
        Command::new("php").arg(console.root().join("console")).arg("core:archive").stdout(Stdio::null()).spawn();
    let by_hand = ByHand(by_hand.unwrap());
    let give_up = Instant::now() + Duration::from_secs(30);
    while console.calls_of("core:archive").is_empty() {
        assert!(Instant::now() < give_up, "the archiver does not start");
        thread::sleep(Duration::from_millis(10));
    }
    let pid = by_hand.0.id().to_string();
    console.set("CONCURRENT_ARCHIVERS", "1").run(&["once"]).ends_with(75).says(&["outcome=skipped", "by hand", &pid]);
    console.run(&["once", "free"]).ends_with(0).says(&["no row of the archiving queue is stuck"]);
    console.queue(r#"[{"Site":"1","Status":"Processing","Started":"2020-01-01 00:00:00"}]"#);
    console.run(&["once", "free"]).ends_with(75).says(&["not ours is at work"]);
    assert_eq!(console.calls_of("core:archive").len(), 1, "ours was not started");
    drop(by_hand);
    console.plays("ok").unset("CONCURRENT_ARCHIVERS").run(&["once"]).ends_with(0);
}

/// Kills an archiver in the middle of site 1, whose row of the queue stays.
fn cut_off(console: &Console) {
    let mut running = console.plays("stubborn").start(&["once"]);
    until_site_1(&mut running);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    running.signal(Signal::KILL);
    assert_eq!(running.wait().signal(), Some(9));
    assert_gone(console);
    console.queue(&format!(r#"[{{"Site":"1","Status":"Processing","Started":"{now}"}}]"#));
}

#[test]
fn a_run_that_is_killed_together_with_us_is_remembered_and_its_child_dies() {
    let console = console();
    cut_off(&console);
    let ended = console.plays("ok").run(&["once"]);
    ended.ends_with(0).says(&["did not end in order", "cut off together"]).says(&["Site is stuck", "site=1"]);
    assert_eq!(outcomes(&console), ["killed", "warnings"]);
}

#[test]
fn f5_rows_left_behind_by_a_failure_are_named_at_once_and_by_the_next_run() {
    let console = console();
    let now = jiff::Timestamp::now();
    console.queue(&format!(r#"[{{"Site":"7","Status":"Processing","Started":"{now}"}}]"#));
    let failed = console.plays("errors").run(&["once"]);
    failed.says(&["outcome=failed"]).says(&["Site is stuck", "site=7"]);
    console.plays("ok").run(&["once"]).ends_with(0).says(&["Site is stuck", "site=7"]).says(&["left out: site 7"]);
}

#[test]
fn c_004_term_while_idle_ends_with_0() {
    let console = console();
    console.set("MATOMO_ARCHIVE_CRON", "0 0 1 1 *");
    let mut running = console.start(&["run"]);
    running.until_it_says("Schedule");
    // The health file is there when the program waits.
    while !console.state().join("health.json").exists() {
        thread::sleep(Duration::from_millis(5));
    }
    running.signal(Signal::TERM);
    running.wait().ends_with(0).says(&["Stopped, as asked"]);
    assert_eq!(console.calls_of("core:archive").len(), 0, "a first start waits for its slot");
}

#[test]
fn a_start_looks_back_at_what_was_left_behind() {
    let console = console();
    cut_off(&console);
    console.set("MATOMO_ARCHIVE_CRON", "0 0 1 1 *");
    let mut running = console.start(&["run"]);
    running.until_it_says("The last run did not end in order");
    running.until("it names the site", |heard| heard.contains("Site is stuck") && heard.contains("site=1"));
    running.signal(Signal::TERM);
    running.wait().ends_with(0);
    assert_eq!(console.calls_of("core:archive").len(), 1, "it only looks");
    assert_eq!(outcomes(&console), ["killed"]);
    console.run(&["status"]).ends_with(0).says(&["1", "stuck: archiver once free"]).never_says("under way");
    // A Matomo that is not there yet is nobody's fault at a start.
    console.stop_database();
    let mut running = console.start(&["run"]);
    running.until_it_says("Schedule").signal(Signal::TERM);
    running.wait().ends_with(0).never_says("WARN");
}

#[test]
fn c_012_term_while_waiting_for_matomo_is_heard() {
    let console = console();
    console.stop_database();
    let mut running = console.set("WAIT_FOR_MATOMO", "1h").start(&["once"]);
    running.until_it_says("waiting for it").signal(Signal::TERM);
    running.wait().says(&["outcome=stopped", "asked to stop while Matomo was not ready"]);
}

#[test]
fn c_112_a_state_folder_that_cannot_be_written_is_told() {
    let console = console();
    console
        .set("STATE_DIR", "/proc/nowhere")
        .run(&["once"])
        .ends_with(73)
        .says(&["/proc/nowhere"])
        .says(&["STATE_DIR"]);
}
