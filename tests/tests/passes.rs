//! Passes of log-analytics one after the other: not too soon, kept in a history, asked for and changed by signals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tests::acceptance::wait_until;
use tests::matomo::Setup;
use tests::stack::{Running, Stack};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;

fn stack() -> Stack {
    Stack::new(PROGRAM, Setup { ledger_site: Some(9), ..Setup::default() })
}

fn signal(running: &Running, signal: Signal) {
    kill_process(running.pid(), signal).unwrap();
}

#[test]
fn c_119_two_starts_within_min_interval_are_one_pass() {
    let stack = stack();
    stack.set("MIN_INTERVAL", "1h");
    let first = stack.writes(SITE, 20);
    stack.once().succeeds();
    let later = stack.writes(SITE, 20);
    stack.once().succeeds().says(&["Nothing to do: the job ran a short while ago"]);
    stack.holds_exactly(SITE, &first);
    // A pass that was cut off counts as well: that is what a loop of restarts is made of.
    let file = stack.folder().join("ledger/import.history.json");
    let text = fs::read_to_string(&file).unwrap().replace("\"success\"", "null");
    fs::write(&file, text).unwrap();
    stack.once().succeeds().says(&["Nothing to do"]);
    // `run` leaves its slots out, and a signal asks for a pass all the same.
    let running = stack.run_in_background();
    wait_until("it is under way", || stack.folder().join("ledger/health.json").exists());
    thread::sleep(Duration::from_millis(2_500));
    assert!(!stack.run(&["history"]).stdout.contains("schedule"));
    signal(&running, Signal::USR1);
    wait_until("the pass has ended", || stack.run(&["history"]).stdout.contains("success      asked"));
    running.terminate().succeeds().says(&["This run is left out: the job ran a short while ago"]);
    stack.holds_exactly(SITE, &[first, later].concat());
}

#[test]
fn history_shows_every_pass_and_how_it_ended() {
    let stack = stack();
    stack.run(&["history"]).succeeds().says(&["no run yet"]);
    stack.writes(SITE, 20);
    stack.once().succeeds();
    let address = stack.matomo().url();
    stack.set("MATOMO_URL", "http://127.0.0.1:9").set("MATOMO_REQUEST_ATTEMPTS", "1");
    stack.writes(SITE, 20);
    stack.once();
    stack.set("MATOMO_URL", &address);
    let shown = stack.run(&["history"]).succeeds().stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines[0].contains("success") && lines[0].contains("once") && lines[1].contains("fail"), "{shown}");
    let json = stack.run(&["history", "--json"]).succeeds().stdout;
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert!(last["exit"].as_u64().is_some_and(|code| code != 0) && !json.contains(stack.matomo().token()), "{json}");
    // A history of a later version is not overwritten, and stops no import.
    let (history, later) = (stack.folder().join("ledger/import.history.json"), r#"{"version":9,"runs":[]}"#);
    fs::write(&history, later).unwrap();
    assert_eq!(stack.run(&["history"]).code(), Some(73));
    stack.once().succeeds();
    assert_eq!(fs::read_to_string(&history).unwrap(), later);
}

#[test]
fn signals_ask_for_passes_for_the_standing_and_for_new_settings() {
    let stack = stack();
    let (cron, token) = (stack.folder().join("cron"), stack.folder().join("token"));
    fs::write(&cron, "0 0 1 1 *").unwrap();
    fs::write(&token, stack.matomo().token()).unwrap();
    stack.unset("MATOMO_IMPORT_LOGS_CRON").unset("MATOMO_TOKEN");
    stack.set("MATOMO_IMPORT_LOGS_CRON_FILE", &cron.to_string_lossy());
    stack.set("MATOMO_TOKEN_FILE", &token.to_string_lossy());
    let first = stack.writes(SITE, 20);
    // The first start makes up for what went by.
    let running = stack.run_in_background();
    let ended = |count| stack.run(&["history"]).stdout.matches(" success ").count() == count;
    wait_until("the first pass has ended", || ended(1));
    let later = stack.writes(SITE, 20);
    signal(&running, Signal::USR2);
    signal(&running, Signal::USR1);
    wait_until("the second pass has ended", || ended(2));
    stack.holds_exactly(SITE, &[first.clone(), later.clone()].concat());
    fs::write(&cron, "not a schedule").unwrap();
    signal(&running, Signal::HUP);
    wait_until("health says so", || stack.run(&["health"]).stdout.contains("the old ones are in force"));
    fs::write(&cron, "* * * * * *").unwrap();
    let last = stack.writes(SITE, 20);
    signal(&running, Signal::HUP);
    wait_until("passes follow the new schedule", || stack.run(&["history"]).stdout.matches(" success ").count() > 2);
    assert!(!stack.run(&["health"]).stdout.contains("the old ones"));
    let ended = running.terminate().succeeds().says(&[" Status ", "health="]);
    ended.says(&["Settings cannot be used; the old ones stay in force"]).says(&["Settings were read again"]);
    stack.holds_exactly(SITE, &[first, later, last].concat());
}
