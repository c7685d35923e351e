//! Being stopped, killed, started twice and set to the clock: what Matomo loses, and what the operator is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
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
    let mut running = console.plays("hang").set("SHUTDOWN_GRACE", "2s").start(&["once"]);
    until_site_1(&mut running);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    // The row that the archiver leaves behind when it is cut off.
    console.queue(&format!(r#"[{{"Site":"1","Status":"Processing","Started":"{now}"}}]"#));
    running.signal(Signal::TERM);
    let ended = running.wait();
    ended.ends_with(143).says(&["outcome=stopped"]).says(&["Site is stuck", "site=1", "archiver once free"]);
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
    console.run(&["once", "free"]).ends_with(75).says(&["not ours is at work"]);
    assert_eq!(console.calls_of("core:archive").len(), 1, "ours was not started");
    drop(by_hand);
    console.plays("ok").unset("CONCURRENT_ARCHIVERS").run(&["once"]).ends_with(0);
}

#[test]
fn a_run_that_is_killed_together_with_us_is_remembered_and_its_child_dies() {
    let console = console();
    let mut running = console.plays("stubborn").start(&["once"]);
    until_site_1(&mut running);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    running.signal(Signal::KILL);
    assert_eq!(running.wait().signal(), Some(9));
    assert_gone(&console);
    console.queue(&format!(r#"[{{"Site":"1","Status":"Processing","Started":"{now}"}}]"#));
    let ended = console.plays("ok").run(&["once"]);
    ended.ends_with(0).says(&["did not end in order", "cut off together"]).says(&["Site is stuck", "site=1"]);
    assert_eq!(outcomes(&console), ["killed", "ok"]);
}

#[test]
fn run_works_at_its_slots_and_its_health_follows() {
    let console = console();
    console.set("MATOMO_ARCHIVE_CRON", "* * * * * *");
    console.run(&["health"]).ends_with(1).says(&["cannot read the health"]);
    let mut running = console.start(&["run"]);
    running.until_it_says("Schedule").until("two runs have ended", |heard| heard.matches("Job ended").count() >= 2);
    console.run(&["health"]).ends_with(0).says(&["ok:", "8 archives"]);
    console.plays("errors");
    running.until_it_says("Job ended badly");
    wait_for_health(&console, 1, "failing:");
    console.plays("maintenance");
    running.until_it_says("outcome=maintenance");
    wait_for_health(&console, 1, "failing:");
    console.plays("ok");
    wait_for_health(&console, 0, "ok:");
    console.plays("maintenance");
    wait_for_health(&console, 0, "paused");
    running.signal(Signal::TERM);
    running.wait().ends_with(0).says(&["Stopped, as asked"]);
}

fn wait_for_health(console: &Console, code: i32, word: &str) {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let ended = console.run(&["health"]);
        if ended.code() == Some(code) && ended.output.contains(word) {
            return;
        }
        assert!(Instant::now() < give_up, "no health with {word}\n{ended}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn jobs_of_one_container_take_turns() {
    let console = console();
    console
        .set("MATOMO_ARCHIVE_CRON", "* * * * * *")
        .set("SCHEDULED_TASKS_CRON", "* * * * * *")
        .set("CONSOLE_JOB_LDAP2", "* * * * * * loginldap:synchronize-users");
    let mut running = console.start(&["run"]);
    running.until("each ran twice", |heard| {
        ["job=archive ", "job=scheduled-tasks ", "job=ldap2 "]
            .iter()
            .all(|job| heard.matches(&format!("Job ended {job}")).count() >= 2)
    });
    running.signal(Signal::TERM);
    let ended = running.wait();
    // One at a time: each start is followed by its end.
    let events: Vec<&str> =
        ended.output.lines().filter(|line| line.contains("Job starts") || line.contains("Job ended")).collect();
    for pair in events.chunks(2) {
        assert!(
            pair[0].contains("Job starts") && pair.get(1).is_none_or(|end| end.contains("Job ended")),
            "{events:#?}"
        );
    }
    let archive = &console.calls_of("core:archive")[0];
    assert!(archive["words"].to_string().contains("--disable-scheduled-tasks"));
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
    assert_eq!(console.calls().len(), 0, "a first start waits for its slot");
}

#[test]
fn c_012_term_while_waiting_for_matomo_is_heard() {
    let console = console();
    console.stop_database();
    let mut running = console.set("WAIT_FOR_MATOMO", "1h").start(&["once"]);
    running.until_it_says("waiting for it").signal(Signal::TERM);
    running.wait().says(&["outcome=stopped", "asked to stop while Matomo was not ready"]);
}

fn at(moment: &str) -> jiff::Timestamp {
    moment.parse().unwrap()
}

#[test]
fn c_061_the_hour_that_summer_time_takes_away_has_no_run() {
    let console = console();
    console.set("TZ", "Europe/Copenhagen").set("MATOMO_ARCHIVE_CRON", "0 0 * * * *");
    let check = console.start_at(at("2026-03-28T23:30:00Z"), &["check"]).wait();
    check.says(&["next 2026-03-29 01:00:00, 2026-03-29 03:00:00, 2026-03-29 04:00:00"]);
    let mut running = console.start_at(at("2026-03-29T00:59:55Z"), &["run"]);
    running.until_it_says("next=\"2026-03-29 03:00:00+02:00, 2026-03-29 04:00:00+02:00");
    running.until_it_says("Job ended");
    thread::sleep(Duration::from_millis(1_500));
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.output.matches("Job starts").count(), 1, "{ended}");
}

#[test]
fn c_062_the_hour_that_comes_twice_has_two_hourly_runs() {
    let console = console();
    console.set("TZ", "Europe/Copenhagen").set("MATOMO_ARCHIVE_CRON", "0 0 * * * *");
    let check = console.start_at(at("2026-10-24T23:30:00Z"), &["check"]).wait();
    check.says(&["next 2026-10-25 02:00:00, 2026-10-25 02:00:00, 2026-10-25 03:00:00"]);
}

#[test]
fn c_069_downtime_over_several_slots_is_caught_up_once() {
    let console = console();
    console.run(&["once"]).ends_with(0);
    // As if that run had been long ago.
    let history = console.state().join("history.jsonl");
    let text = fs::read_to_string(&history).unwrap();
    let mut run: Value = serde_json::from_str(text.trim()).unwrap();
    run["started"] = "2026-01-01T00:00:00Z".into();
    run["ended"] = "2026-01-01T00:01:00Z".into();
    fs::write(&history, format!("{run}\n")).unwrap();
    let mut running = console.set("MATOMO_ARCHIVE_CRON", "0 0 1 * *").start(&["run"]);
    running.until_it_says("Job ended");
    thread::sleep(Duration::from_secs(1));
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.output.matches("Job starts").count(), 1, "{ended}");
    let mut again = console.start(&["run"]);
    again.until_it_says("Schedule");
    thread::sleep(Duration::from_secs(1));
    again.signal(Signal::TERM);
    assert_eq!(again.wait().output.matches("Job starts").count(), 0, "a restart is no reason to run");
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

/// Lines that a listener gets, one per request.
fn listener() -> (u16, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut line = String::new();
            let read = BufReader::new(stream.try_clone().unwrap()).read_line(&mut line);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            if read.is_err() || tell.send(line).is_err() {
                return;
            }
        }
    });
    (port, told)
}

#[test]
fn a_watchman_hears_of_every_run_and_health_answers_by_http() {
    let (port, told) = listener();
    let console = console();
    console
        .plays("errors")
        .set("MATOMO_ARCHIVE_CRON", "* * * * * *")
        .set("NOTIFY_PING_URL", &format!("http://127.0.0.1:{port}/watch"));
    console.set("HEALTH_LISTEN", "127.0.0.1:0");
    let mut running = console.start(&["run"]);
    running.until_it_says("Health is answered by HTTP");
    let patience = Duration::from_secs(60);
    let next = || told.recv_timeout(patience).unwrap();
    assert!(next().contains("/watch/start"));
    assert!(next().contains("/watch/fail"));
    console.plays("ok");
    let give_up = Instant::now() + patience;
    loop {
        let line = next();
        if !line.contains("/watch/") {
            break;
        }
        assert!(Instant::now() < give_up, "no run went well: {line}");
    }
    let heard = running.heard();
    let address = heard.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    running.signal(Signal::TERM);
    running.wait().ends_with(0);
}
