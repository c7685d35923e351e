//! What an operator asks the importer, and what it never tells anybody.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tests::fault::{Fault, Faults};
use tests::log::{self, Format, Line};
use tests::matomo::{Setup, TOKEN};
use tests::stack::{ALL_IN, FAILED, SETTINGS, Stack, TRY_AGAIN};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;

fn stack() -> Stack {
    Stack::new(PROGRAM, Setup { ledger_site: Some(9), ..Setup::default() })
}

/// Is this number anywhere in the answer?
fn mentions(value: &Value, number: u64) -> bool {
    match value {
        Value::Number(found) => found.as_u64() == Some(number),
        Value::Array(items) => items.iter().any(|item| mentions(item, number)),
        Value::Object(map) => map.values().any(|item| mentions(item, number)),
        _ => false,
    }
}

fn status(stack: &Stack) -> Value {
    let outcome = stack.run(&["status", "--json"]);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("status is not JSON: {error}\n{outcome}"))
}

#[test]
fn status_counts_what_was_imported() {
    let stack = stack();
    stack.writes(SITE, 123);
    assert!(!mentions(&status(&stack), 123));
    stack.once().succeeds();
    let answer = status(&stack);
    assert!(mentions(&answer, 123), "{answer:#}");
    stack.run(&["status"]).succeeds().says(&["123"]);
}

#[test]
fn invalid_lines_are_counted() {
    let stack = stack();
    let lines = stack.lines(40);
    let junk = "no request\n".repeat(17);
    fs::create_dir_all(stack.logs_of(SITE)).unwrap();
    let file = stack.logs_of(SITE).join("access_log.2026-01-01-00");
    log::write(&file, &lines, Format::Combined).unwrap();
    fs::write(&file, fs::read_to_string(&file).unwrap() + &junk).unwrap();
    stack.once().succeeds().says(&["invalid", "17"]);
    stack.holds_exactly(SITE, &lines);
}

/// The lines of an archive, its bytes, and where it belongs.
fn archive(stack: &Stack) -> (Vec<Line>, Vec<u8>, PathBuf) {
    let lines = stack.lines(300);
    let packed = log::compressed(&lines, Format::Combined);
    fs::create_dir_all(stack.logs_of(SITE)).unwrap();
    (lines, packed, stack.logs_of(SITE).join("access_log.2026-01-01-00.gz"))
}

#[test]
fn a_broken_file_is_given_up_after_its_attempts_and_imported_by_retry_once_it_is_whole() {
    let stack = stack();
    stack.set("IMPORT_ATTEMPTS", "2");
    let (lines, packed, file) = archive(&stack);
    fs::write(&file, &packed[..packed.len() / 2]).unwrap();
    stack.once().ends_with(TRY_AGAIN);
    stack.once().ends_with(FAILED).says(&["IMPORT_LOG_ERROR File is quarantined"]);
    stack.once().succeeds().says(&["File is still quarantined"]);
    stack.run(&["status"]).says(&["quarantined at site 4", "access_log.2026-01-01-00.gz"]);
    fs::write(&file, &packed).unwrap();
    stack.run(&["retry"]).succeeds();
    stack.until_all_is_in(2);
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_file_that_changed_has_all_its_attempts_again() {
    let stack = stack();
    stack.set("IMPORT_ATTEMPTS", "2");
    let (lines, packed, file) = archive(&stack);
    for part in [packed.len() / 2, packed.len() * 2 / 3, packed.len() * 3 / 4] {
        fs::write(&file, &packed[..part]).unwrap();
        stack.once().ends_with(TRY_AGAIN).never_says("quarantined");
    }
    fs::write(&file, &packed).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_busy_site_is_left_alone_and_the_pass_ends_with_75() {
    let pace = std::time::Duration::from_millis(50);
    let stack = Stack::new(PROGRAM, Setup { ledger_site: Some(9), pace, ..Setup::default() });
    let lines = stack.writes(SITE, 600);
    let first = stack.start(&["once"]);
    stack.matomo().wait_for("the first hits", |seen| seen.hits > 0);
    stack.once().ends_with(TRY_AGAIN).says(&["Another importer is at work on the site"]);
    first.wait().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn hits_leave_no_faster_than_the_limit_of_requests_a_second() {
    let stack = stack();
    stack.set("MATOMO_MAX_REQUESTS_PERS", "40");
    let lines = stack.writes(SITE, 101);
    let begin = std::time::Instant::now();
    stack.once().succeeds();
    assert!(begin.elapsed() >= std::time::Duration::from_millis(1_900), "{:?}", begin.elapsed());
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn check_reports_all_problems_at_once() {
    let stack = stack();
    stack.unset("MATOMO_URL").set("MATOMO_RECORDERS", "many").set("SETTLE_TIME", "soon");
    let outcome = stack.run(&["check"]).ends_with(SETTINGS);
    outcome.says(&["MATOMO_URL"]).says(&["MATOMO_RECORDERS"]).says(&["SETTLE_TIME"]);
}

#[test]
fn check_is_content_with_good_settings_and_imports_nothing() {
    let stack = stack();
    stack.writes(SITE, 30);
    stack.run(&["check"]).succeeds();
    stack.holds_exactly(SITE, &[]);
}

#[test]
fn health_follows_the_last_success() {
    let stack = stack();
    stack.writes(SITE, 30);
    let before = stack.run(&["health"]);
    assert_ne!(before.code(), Some(ALL_IN), "healthy before anything was done\n{before}");
    let running = stack.run_in_background();
    stack.matomo().wait_for("all hits", |seen| seen.hits >= 30);
    until(|| stack.run(&["health"]).code() == Some(ALL_IN));
    running.terminate().succeeds();
}

/// Waits for a fact.
fn until(fact: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !fact() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "it never came true");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn secrets_are_in_no_output_and_in_no_file() {
    let stack = stack();
    stack.set("LOG_LEVEL", "trace");
    stack.writes(SITE, 100);
    for words in [&["check"][..], &["once"], &["status"], &["status", "--json"], &["health"], &["--help"]] {
        stack.run(words).never_says(TOKEN);
    }
    for fault in Fault::KINDS.into_iter().filter(|fault| *fault != Fault::Hang) {
        stack.writes(SITE, 20);
        stack.matomo().set_faults(Faults::every(2, fault));
        stack.once().never_says(TOKEN);
        stack.matomo().set_faults(Faults::none());
    }
    stack.set("MATOMO_URL", "http://operator:pa55w0rd@127.0.0.1:9").once().never_says(TOKEN).never_says("pa55w0rd");
    stack.set("LOG_FORMAT", "json").once().never_says(TOKEN).never_says("pa55w0rd");
    let files = walk(stack.folder());
    let leaked = files.iter().find(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).contains(TOKEN));
    assert_eq!(leaked, None, "the token is on disk");
}

/// All files below a folder.
fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn the_state_of_one_pass_serves_the_next_in_another_container() {
    let stack = stack();
    let lines = stack.writes(SITE, 60);
    stack.once().succeeds();
    stack.set("HOSTNAME", "another-container");
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}
