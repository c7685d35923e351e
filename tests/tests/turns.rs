//! Sites take turns: one site's backlog does not keep the fresh logs of others waiting, and every line arrives once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tests::log::{self, Format, Line};
use tests::matomo::Setup;
use tests::stack::Stack;

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
/// The site with the backlog comes first in every listing.
const BACKLOG: u64 = 4;
const FRESH: u64 = 7;

/// A stand-in that takes its time, and turns that end within files.
fn stack() -> Stack {
    let sites = vec![(BACKLOG, "https://www.example.org".to_owned()), (FRESH, "https://data.example.org".to_owned())];
    let pace = Duration::from_millis(20);
    let stack = Stack::new(PROGRAM, Setup { sites, ledger_site: Some(9), pace, ..Setup::default() });
    stack.set("SITE_TURN", "100ms").set("IMPORT_WINDOW", "50");
    stack
}

/// How many hits of the backlog were stored when the last fresh one was.
fn backlog_before_the_last_fresh(stack: &Stack) -> usize {
    let hits = stack.matomo().hits();
    let last = hits.iter().rposition(|hit| hit.site() == FRESH).unwrap();
    hits[..last].iter().filter(|hit| hit.site() == BACKLOG).count()
}

fn backlog(stack: &Stack) -> Vec<Line> {
    let lines = stack.gaps_of(20).lines(2_000);
    log::balanced(&stack.logs_of(BACKLOG), &lines, Format::Combined, 3).unwrap();
    lines
}

#[test]
fn little_work_goes_first() {
    let stack = stack();
    let (old, fresh) = (backlog(&stack), stack.writes(FRESH, 40));
    stack.once().succeeds();
    assert_eq!(backlog_before_the_last_fresh(&stack), 0);
    stack.holds_exactly(BACKLOG, &old);
    stack.holds_exactly(FRESH, &fresh);
}

#[test]
fn a_fresh_log_that_arrives_while_a_backlog_is_imported_does_not_wait_for_its_end() {
    let stack = stack();
    let old = backlog(&stack);
    let running = stack.start(&["once"]);
    stack.matomo().wait_for("a part of the backlog", |seen| seen.hits >= 200);
    let fresh = stack.writes(FRESH, 40);
    running.wait().succeeds().says(&["turn of the site is over"]);
    let before = backlog_before_the_last_fresh(&stack);
    assert!(before < old.len() * 3 / 4, "{before} of {} lines of the backlog went first", old.len());
    stack.holds_exactly(BACKLOG, &old);
    stack.holds_exactly(FRESH, &fresh);
}

#[test]
fn two_backlogs_take_turns() {
    let stack = stack();
    let (one, other) = (backlog(&stack), stack.writes_file(FRESH, "access_log.old", 1_000));
    stack.once().succeeds();
    let sites: Vec<u64> = stack.matomo().hits().iter().map(tests::matomo::Hit::site).collect();
    let changes = sites.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes >= 3, "the sites changed {changes} times");
    stack.holds_exactly(BACKLOG, &one);
    stack.holds_exactly(FRESH, &other);
}

#[test]
fn kills_between_and_within_turns_cost_nothing() {
    let stack = stack();
    let (old, fresh) = (backlog(&stack), stack.writes(FRESH, 200));
    for milliseconds in [60, 120, 180, 240, 300, 360] {
        stack.start(&["once"]).kill_after(Duration::from_millis(milliseconds));
    }
    stack.until_all_is_in(5);
    stack.holds_exactly(BACKLOG, &old);
    stack.holds_exactly(FRESH, &fresh);
}

#[test]
fn a_file_that_cannot_be_read_is_tried_once_a_pass_however_many_turns_there_are() {
    let stack = stack();
    stack.set("IMPORT_ATTEMPTS", "2");
    let old = backlog(&stack);
    let packed = log::compressed(&stack.lines(300), Format::Combined);
    std::fs::write(stack.logs_of(BACKLOG).join("access_log.0.gz"), &packed[..packed.len() / 2]).unwrap();
    stack.once().ends_with(tests::stack::TRY_AGAIN).never_says("quarantined");
    stack.once().ends_with(tests::stack::FAILED).says(&["quarantined"]);
    stack.holds_exactly(BACKLOG, &old);
}
