//! Jobs at the times of their schedules: in turn, on days when the clocks change, after downtime; and who is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tests::console::Console;

const PROGRAM: &str = env!("CARGO_BIN_EXE_archiver");

fn console() -> Console {
    Console::new(PROGRAM)
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
fn c_082_too_many_failures_of_one_job_in_a_row_end_the_program() {
    let console = console();
    console.plays("errors").set("MATOMO_ARCHIVE_CRON", "* * * * * *").set("MAX_CONSECUTIVE_FAILURES", "2");
    let ended = console.run(&["run"]);
    ended.ends_with(1).says(&[
        "Too many runs failed in a row",
        "job=archive",
        "failures=2",
        "MAX_CONSECUTIVE_FAILURES",
    ]);
    assert_eq!(console.calls_of("core:archive").len(), 2);
    // Each job counts for itself, however well the others do; what failed in an earlier life is no failure of this one.
    console.plays("ok").set("CONSOLE_JOB_ODD", "* * * * * * no:command");
    let ended = console.run(&["run"]);
    ended.ends_with(1).says(&["Too many runs failed in a row", "job=odd", "failures=2"]);
    assert_eq!(console.calls_of("no:command").len(), 2);
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
    std::io::Write::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 503"), "{answer}");
    running.signal(Signal::TERM);
    running.wait().ends_with(0);
}
