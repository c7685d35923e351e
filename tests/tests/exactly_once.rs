//! Each line is counted once: without any fault, under every fault, under all of them mixed, and killed at any instant.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use tests::fault::{Fault, FaultMix, Faults};
use tests::log::{self, Format, Line};
use tests::matomo::{Outcome, Setup, Switch};
use tests::random::Random;
use tests::stack::{ALL_IN, FAILED, Stack, TRY_AGAIN, UNREACHABLE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;
const LEDGER_SITE: u64 = 9;
/// Together the four journeys below are killed more than 200 times.
const KILLS_EACH: usize = 55;
const SIGKILL: i32 = 9;

fn with_ledger(faults: impl Into<Faults>) -> Setup {
    Setup { ledger_site: Some(LEDGER_SITE), faults: faults.into(), silence: Duration::from_secs(3), ..Setup::default() }
}

#[test]
fn without_a_fault_every_line_is_counted_once_and_one_pass_is_enough() {
    for setup in [Setup::default(), with_ledger(Faults::none())] {
        let stack = Stack::new(PROGRAM, setup);
        let lines = stack.gaps_of(60).writes(SITE, 600);
        stack.once().succeeds();
        stack.holds_exactly(SITE, &lines);
    }
}

#[test]
fn every_batch_carries_one_mark_of_its_own() {
    let stack = Stack::new(PROGRAM, with_ledger(Faults::none()));
    let lines = stack.writes(SITE, 200);
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
    let marks = stack.matomo().marks();
    // 200 lines in batches of at most 25.
    assert!(marks.len() >= 8, "{marks:?}");
    assert!(marks.values().all(|count| *count == 1), "{marks:?}");
}

#[test]
fn a_fault_that_surely_stored_nothing_needs_no_ledger_site() {
    let faults = Faults::every(3, Fault::Disabled).until(9);
    let stack = Stack::new(PROGRAM, Setup { faults, ..Setup::default() });
    let lines = stack.writes(SITE, 200);
    stack.until_all_is_in(12);
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn without_a_ledger_site_recent_hits_are_found_by_their_page_view() {
    for fault in [Fault::CommitThenDrop, Fault::Truncate, Fault::Reset, Fault::Status(500)] {
        let stack = Stack::new(PROGRAM, Setup { faults: Faults::every(3, fault).until(9), ..Setup::default() });
        let lines = writes_dated(&stack, now() - 3_600);
        stack.until_all_is_in(12);
        stack.holds_exactly(SITE, &lines);
    }
}

#[test]
fn without_a_ledger_site_old_hits_in_doubt_wait_for_a_decision_and_are_never_guessed() {
    let faults = Faults::every(1, Fault::CommitThenDrop).after(1).until(3);
    let stack = Stack::new(PROGRAM, Setup { faults, ..Setup::default() });
    stack.set("MATOMO_RECORDERS", "1");
    let lines = stack.writes(SITE, 200);
    stack.once().ends_with(FAILED).says(&["set aside"]);
    stack.holds_exactly(SITE, &lines);
    // The first hit of the day went alone, and as nobody knows whether it is there, so did the second.
    stack.run(&["retry"]).says(&["2 lines are set aside"]);
    stack.once().ends_with(FAILED).says(&["Lines are still set aside"]);
    // They had arrived: the operator saw it in Matomo.
    stack.run(&["retry", "--skip"]).succeeds().says(&["2 lines"]);
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn lines_set_aside_that_had_not_arrived_are_sent_again_on_demand() {
    let faults = Faults::every(1, Fault::Reset).after(1).until(3);
    let stack = Stack::new(PROGRAM, Setup { faults, ..Setup::default() });
    stack.set("MATOMO_RECORDERS", "1");
    let lines = stack.writes(SITE, 200);
    stack.once().ends_with(FAILED);
    assert_eq!(stack.matomo().hits().len(), 198);
    stack.once().ends_with(FAILED);
    assert_eq!(stack.matomo().hits().len(), 198, "nobody decided anything yet");
    stack.run(&["retry", "--resend"]).succeeds();
    stack.once().succeeds();
    stack.holds_in_any_order(SITE, &lines);
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn writes_dated(stack: &Stack, second: i64) -> Vec<Line> {
    let lines = log::Traffic::seeded(5).starting_at(second).with_gaps_of(1).lines(250);
    log::write(&stack.logs_of(SITE).join("access.log"), &lines, Format::Combined).unwrap();
    lines
}

/// Every third of the first nine requests goes wrong in one way; then all is well again.
fn survives(fault: Fault) {
    let stack = Stack::new(PROGRAM, with_ledger(Faults::every(3, fault).until(9)));
    let lines = stack.writes(SITE, 250);
    stack.until_all_is_in(15);
    stack.holds_exactly(SITE, &lines);
    let requests = stack.matomo().requests();
    let struck = requests.iter().filter(|request| request.outcome == Outcome::Fault(fault)).count();
    assert!(struck > 0, "{fault:?} never happened");
}

#[test]
fn answers_that_refuse_lose_and_double_nothing() {
    for fault in [Fault::Status(500), Fault::Status(502), Fault::Status(429), Fault::Disabled, Fault::ErrorText] {
        survives(fault);
    }
}

#[test]
fn answers_that_are_not_matomos_lose_and_double_nothing() {
    for fault in [Fault::Redirect, Fault::Html] {
        survives(fault);
    }
}

#[test]
fn connections_that_break_before_the_commit_lose_and_double_nothing() {
    for fault in [Fault::Hang, Fault::Close, Fault::Reset] {
        survives(fault);
    }
}

#[test]
fn connections_that_break_after_the_commit_lose_and_double_nothing() {
    for fault in [Fault::CommitThenDrop, Fault::CommitThenHang, Fault::Truncate] {
        survives(fault);
    }
}

#[test]
fn a_commit_after_the_gateway_gave_up_doubles_nothing() {
    survives(Fault::Late(Duration::from_millis(120)));
}

#[test]
fn a_short_count_is_not_a_reason_to_send_again() {
    survives(Fault::Short);
}

#[test]
fn what_a_swallowed_deadlock_left_out_is_sent_again_and_nothing_else() {
    for fault in Fault::PARTIAL {
        // A count that stays short ends its passes with an error: it has a test of its own.
        if !matches!(fault, Fault::Uncounted(_)) {
            let stack = Stack::new(PROGRAM, with_ledger(Faults::every(3, fault).until(9)));
            let lines = stack.writes(SITE, 250);
            stack.until_all_is_in(15);
            // What was lost comes after what was stored: only the order of time is lost.
            stack.holds_in_any_order(SITE, &lines);
        }
    }
}

#[test]
fn a_batch_whose_visits_were_deleted_since_is_believed_by_its_marks() {
    let stack = Stack::new(PROGRAM, with_ledger(Faults::every(3, Fault::CommitThenDrop).until(9)));
    stack.matomo().set(Switch::VisitsPurged, true);
    let lines = stack.writes(SITE, 250);
    stack.until_all_is_in(15);
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn hits_that_matomo_stores_and_does_not_count_are_told_and_never_sent_again() {
    let stack = Stack::new(PROGRAM, with_ledger(Faults::every(3, Fault::Uncounted(1)).until(4)));
    let lines = stack.writes(SITE, 250);
    stack.once().ends_with_one_of(&[FAILED, TRY_AGAIN]);
    stack.until_all_is_in(15);
    stack.holds_in_any_order(SITE, &lines);
}

#[test]
fn a_commit_after_a_broken_answer_doubles_nothing() {
    for fault in Fault::LATE {
        survives(fault);
    }
}

#[test]
fn a_mix_of_all_faults_loses_and_doubles_nothing() {
    for seed in [1, 2, 3] {
        let stack = Stack::new(PROGRAM, with_ledger(Faults::from(FaultMix::seeded(seed, 0.3)).until(60)));
        let mut lines = stack.writes(SITE, 300);
        stack.until_all_is_in(60);
        lines.extend(stack.writes(SITE, 100));
        stack.until_all_is_in(60);
        stack.holds_exactly(SITE, &lines);
    }
}

/// Lines of one chapter of a journey, written wherever and however the journey likes.
type Chapter = fn(&Stack, usize) -> Vec<Line>;

/// Import chapter after chapter, killed at seeded instants until it was killed often enough, then once in peace.
fn survives_kills(seed: u64, variables: &[(&str, &str)], faults: impl Into<Faults>, chapter: Chapter) {
    let stack = Stack::new(PROGRAM, Setup { pace: Duration::from_millis(2), ..with_ledger(faults) });
    stack.set("IMPORT_ATTEMPTS", "1000").set("MATOMO_BATCH_SIZE", "10").set("MATOMO_IN_DOUBT_WAIT", "50ms");
    for (name, value) in variables {
        stack.set(name, value);
    }
    let mut random = Random::seeded(seed);
    let mut lines = chapter(&stack, 0);
    let begun = Instant::now();
    stack.until_all_is_in(20);
    // The instants are spread over a whole run and a little more, however fast this machine is.
    let whole_run = begun.elapsed().min(Duration::from_secs(2)).mul_f64(1.2);
    let (mut kills, mut chapters, mut all_in) = (0, 1, true);
    while kills < KILLS_EACH {
        if all_in {
            lines.extend(chapter(&stack, chapters));
            chapters += 1;
        }
        let outcome = stack.start(&["once"]).kill_after(random.duration(Duration::ZERO, whole_run));
        kills += usize::from(outcome.signal() == Some(SIGKILL));
        all_in = outcome.code() == Some(ALL_IN);
        if outcome.signal().is_none() {
            outcome.ends_with_one_of(&[ALL_IN, TRY_AGAIN, UNREACHABLE]);
        }
    }
    stack.until_all_is_in(60);
    stack.holds_exactly(SITE, &lines);
    assert!(!stack.matomo().marks().is_empty());
}

#[test]
fn killed_at_random_instants_with_one_recorder() {
    survives_kills(101, &[("MATOMO_RECORDERS", "1")], Faults::none(), |stack, _| stack.gaps_of(60).writes(SITE, 100));
}

#[test]
fn killed_at_random_instants_with_four_recorders() {
    survives_kills(102, &[("MATOMO_RECORDERS", "4")], Faults::none(), |stack, _| stack.gaps_of(60).writes(SITE, 160));
}

#[test]
fn killed_at_random_instants_with_two_servers_and_gzip() {
    survives_kills(103, &[], Faults::none(), |stack, chapter| {
        let lines = stack.gaps_of(60).lines(120);
        let folder = stack.logs_of(SITE).join(format!("chapter-{chapter}"));
        let files = log::balanced(&folder, &lines, Format::Combined, chapter as u64).unwrap();
        for file in files.iter().step_by(2) {
            log::compress(file).unwrap();
        }
        lines
    });
}

#[test]
fn killed_at_random_instants_while_the_wire_breaks() {
    let quick =
        [Fault::Status(500), Fault::Reset, Fault::Close, Fault::CommitThenDrop, Fault::Truncate, Fault::Status(502)];
    let faults = FaultMix::seeded(104, 0.15).of(&quick);
    survives_kills(104, &[], faults, |stack, _| stack.gaps_of(60).writes(SITE, 100));
}

#[test]
fn killed_right_after_matomo_stored_a_batch_and_before_the_answer() {
    let stack = Stack::new(PROGRAM, with_ledger(Faults::none()));
    stack.set("MATOMO_REQUEST_TIMEOUT", "30s").set("MATOMO_IN_DOUBT_WAIT", "50ms");
    let lines = stack.writes(SITE, 300);
    for _ in 0..4 {
        let before = stack.matomo().seen();
        // The first two requests of a run ask whether marks and hits are welcome; the ones after them are stored and
        // never answered.
        stack.matomo().set_faults(Faults::every(1, Fault::CommitThenHang).after(before.received + 2));
        let running = stack.start(&["once"]);
        stack.matomo().wait_for("a stored batch", |seen| seen.hits > before.hits);
        assert_eq!(running.kill().signal(), Some(SIGKILL));
        stack.matomo().rests();
    }
    stack.matomo().set_faults(Faults::none());
    stack.until_all_is_in(5);
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn killed_when_the_kth_request_arrives() {
    let stack = Stack::new(PROGRAM, Setup { pace: Duration::from_millis(5), ..with_ledger(Faults::none()) });
    stack.set("MATOMO_BATCH_SIZE", "10");
    let lines = stack.writes(SITE, 400);
    for kth in 1..=8 {
        let already = stack.matomo().seen().received;
        let running = stack.start(&["once"]);
        stack.matomo().wait_for("its next requests", |seen| seen.received >= already + kth);
        running.kill();
        stack.matomo().rests();
    }
    stack.until_all_is_in(10);
    stack.holds_exactly(SITE, &lines);
}
