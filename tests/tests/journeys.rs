//! Passes over whole folders: several sites, formats and servers, a second pass, a stop, and the daemon.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tests::log::{self, Format};
use tests::matomo::Setup;
use tests::stack::Stack;

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;
const LEDGER_SITE: u64 = 9;

fn stack() -> Stack {
    Stack::new(PROGRAM, Setup { ledger_site: Some(LEDGER_SITE), ..Setup::default() })
}

/// A stand-in that takes its time, so that something can happen in the middle of an import.
fn slow_stack() -> Stack {
    let pace = Duration::from_millis(20);
    Stack::new(PROGRAM, Setup { ledger_site: Some(LEDGER_SITE), pace, ..Setup::default() })
}

#[test]
fn a_second_pass_imports_nothing() {
    let stack = stack();
    let lines = stack.writes(SITE, 120);
    stack.once().succeeds();
    let marks = stack.matomo().marks();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
    assert_eq!(stack.matomo().marks(), marks);
}

#[test]
fn several_sites_are_kept_apart() {
    let sites = vec![(4, "https://www.example.org".to_owned()), (7, "https://data.example.org".to_owned())];
    let stack = Stack::new(PROGRAM, Setup { sites, ledger_site: Some(LEDGER_SITE), ..Setup::default() });
    let (of_four, of_seven) = (stack.writes(4, 100), stack.writes(7, 80));
    stack.once().succeeds();
    stack.holds_exactly(4, &of_four);
    stack.holds_exactly(7, &of_seven);
}

#[test]
fn every_format_is_recognised() {
    for format in [Format::Combined, Format::VhostCombined, Format::NginxJson] {
        let stack = stack();
        let lines = stack.lines(60);
        log::hourly(&stack.logs_of(SITE), &lines, format).unwrap();
        stack.once().succeeds();
        stack.holds_exactly(SITE, &lines);
    }
}

#[test]
fn without_options_only_pages_and_downloads_of_people_are_hits() {
    let stack = stack();
    // An empty variable is one that is not set; any other option takes the place of the default ones.
    stack.set("MATOMO_IMPORT_OPTIONS", "--exclude-path=/no/such/path");
    let mut lines = stack.writes(SITE, 300);
    stack.once().succeeds();
    lines.retain(log::Line::counted_by_default);
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn two_balanced_servers_are_merged_into_one_stream_in_time_order() {
    let stack = stack();
    stack.set("MATOMO_RECORDERS", "4");
    let lines = stack.gaps_of(30).lines(800);
    log::balanced(&stack.logs_of(SITE), &lines, Format::Combined, 5).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn connections_are_used_again_and_no_more_than_the_recorders() {
    let stack = stack();
    stack.set("MATOMO_RECORDERS", "3").writes(SITE, 600);
    stack.once().succeeds();
    let requests = stack.matomo().requests();
    assert!(requests.iter().any(|request| request.on_connection > 3), "{requests:#?}");
    assert!(stack.matomo().in_flight_max() <= 3);
}

#[test]
fn a_stop_in_mid_import_loses_nothing() {
    let stack = slow_stack();
    let lines = stack.writes(SITE, 400);
    let running = stack.run_in_background();
    stack.matomo().wait_for("the first hits", |seen| seen.hits > 0);
    running.terminate().succeeds();
    stack.until_all_is_in(4);
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn the_daemon_imports_what_arrives_while_it_runs() {
    let stack = stack();
    let mut lines = stack.writes(SITE, 60);
    let running = stack.run_in_background();
    stack.matomo().wait_for("the first logs", |seen| seen.hits >= 60);
    lines.extend(stack.writes(SITE, 60));
    stack.matomo().wait_for("the logs that came later", |seen| seen.hits >= 120);
    running.terminate().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn reports_of_imported_days_are_invalidated() {
    let stack = stack();
    stack.set("INVALIDATE_HOURS", "00:00-00:00").writes(SITE, 60);
    stack.once().succeeds();
    let days = stack.matomo().invalidated();
    assert_eq!(days.get(&SITE).map(|dates| dates.iter().any(|date| date == "2026-01-01")), Some(true), "{days:?}");
}

#[test]
fn reports_are_invalidated_only_in_the_hours_for_it_and_their_days_wait_till_then() {
    let stack = stack();
    let hours = |from: i64, to: i64| {
        let time =
            |hours| (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours)).strftime("%H:%M").to_string();
        format!("{}-{}", time(from), time(to))
    };
    stack.set("INVALIDATE_HOURS", &hours(2, 3)).writes(SITE, 60);
    stack.once().succeeds();
    assert_eq!(stack.matomo().invalidated(), std::collections::BTreeMap::new());
    stack.set("INVALIDATE_HOURS", &hours(-1, 1)).once().succeeds();
    assert!(stack.matomo().invalidated()[&SITE].contains(&"2026-01-01".to_owned()));
}
