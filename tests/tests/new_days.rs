//! A backlog of days that Matomo has not seen yet, over several connections: each line is counted once, and nobody's visit
//! is torn in two. Matomo 5 makes a salt for each new day of a site, and requests at work at once meet at its lock.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tests::log::{self, Format, Line, Traffic, YEAR_2026};
use tests::matomo::{Outcome, Setup};
use tests::stack::Stack;

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;
const LEDGER_SITE: u64 = 9;
const LINES_A_DAY: u64 = 400;
const DAY_SECONDS: i64 = 86_400;
const MORNING_SECONDS: i64 = 8 * 3_600;

/// Lines of so many days, each with an hour of visitors who stay for a while.
fn days(count: u64) -> Vec<Line> {
    let day = |day: u64| {
        let morning = YEAR_2026 + day as i64 * DAY_SECONDS + MORNING_SECONDS;
        let traffic = Traffic::seeded(55 + day).starting_at(morning).with_gaps_of(20);
        traffic.numbered_from(day * LINES_A_DAY).lines(LINES_A_DAY as usize)
    };
    (0..count).flat_map(day).collect()
}

/// A stand-in that takes a quarter of a millisecond for each hit, a tenth of what a real Matomo was measured to take.
fn setup() -> Setup {
    Setup { ledger_site: Some(LEDGER_SITE), hit_pace: Duration::from_micros(250), ..Setup::default() }
}

/// A stack whose binary runs with its own default settings, but for how long it waits before it sends again.
fn stack_with_defaults() -> Stack {
    let stack = Stack::new(PROGRAM, setup());
    for name in ["IMPORT_ATTEMPTS", "MATOMO_BATCH_SIZE", "MATOMO_IMPORT_OPTIONS", "MATOMO_RECORDERS"] {
        stack.unset(name);
    }
    stack.unset("MATOMO_REQUEST_TIMEOUT").unset("MATOMO_IN_DOUBT_WAIT");
    stack
}

/// What one pass over the lines, as one log, leaves at Matomo.
fn imported(lines: &[Line], recorders: &str) -> Stack {
    let stack = stack_with_defaults();
    stack.set("MATOMO_RECORDERS", recorders);
    log::write(&stack.logs_of(SITE).join("access.log"), lines, Format::Combined).unwrap();
    stack.once().succeeds();
    stack
}

/// Rows and visits at Matomo, and how many of these are parts of a torn one.
fn counts(stack: &Stack) -> (usize, usize, usize) {
    let matomo = stack.matomo();
    (matomo.hits_of(SITE).len(), matomo.visits_of(SITE).len(), matomo.visits_torn(SITE))
}

/// Four connections leave what one leaves, and that is each line once.
fn four_connections_are_as_good_as_one(lines: &[Line]) {
    let one = imported(lines, "1");
    one.holds_exactly(SITE, lines);
    let four = imported(lines, "4");
    let requests = four.matomo().requests();
    let deadlocks = requests.iter().filter(|request| matches!(request.outcome, Outcome::Deadlock { .. })).count();
    assert_eq!(
        counts(&four),
        counts(&one),
        "rows, visits and torn ones over four connections and over one, for {} lines; {deadlocks} deadlocks",
        lines.len()
    );
    four.holds_exactly(SITE, lines);
}

#[test]
fn ten_new_days_over_four_connections_are_counted_as_over_one() {
    four_connections_are_as_good_as_one(&days(10));
}

#[test]
fn one_new_day_over_four_connections_is_counted_as_over_one() {
    let mut traffic = Traffic::seeded(55).starting_at(YEAR_2026).with_gaps_of(20);
    four_connections_are_as_good_as_one(&traffic.lines(6_000));
}
