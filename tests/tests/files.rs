//! What happens to a log file between two passes, and what the importer makes of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use jiff::SignedDuration;
use tests::log::{self, Format, Line};
use tests::matomo::Setup;
use tests::stack::{ALL_IN, FAILED, Stack, TRY_AGAIN};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;
const LEDGER_SITE: u64 = 9;
const LOG: &str = "access_log.2026-01-01-00";

fn stack() -> Stack {
    Stack::new(PROGRAM, Setup { ledger_site: Some(LEDGER_SITE), ..Setup::default() })
}

/// A stand-in that takes its time, so that something can happen in the middle of an import.
fn slow_stack() -> Stack {
    let pace = Duration::from_millis(20);
    Stack::new(PROGRAM, Setup { ledger_site: Some(LEDGER_SITE), pace, ..Setup::default() })
}

#[test]
fn a_file_with_another_name_is_not_imported_again() {
    let stack = stack();
    let lines = stack.writes_file(SITE, LOG, 80);
    stack.once().succeeds();
    let file = stack.logs_of(SITE).join(LOG);
    let renamed = stack.logs_of(SITE).join("access_log.2026-01-01-00.1");
    fs::rename(&file, &renamed).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);

    log::compress(&renamed).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_fresh_copy_is_not_imported_again() {
    let stack = stack();
    let lines = stack.writes_file(SITE, LOG, 80);
    stack.once().succeeds();
    let file = stack.logs_of(SITE).join(LOG);
    // What rsync does when it fetches the same log again: a new file takes the place of the old one.
    let arriving = stack.logs_of(SITE).join(".arriving");
    fs::copy(&file, &arriving).unwrap();
    fs::rename(&arriving, &file).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_grown_file_continues_where_it_ended() {
    let stack = stack();
    let mut lines = stack.writes_file(SITE, LOG, 60);
    stack.once().succeeds();
    let more = stack.lines(45);
    let mut file = OpenOptions::new().append(true).open(stack.logs_of(SITE).join(LOG)).unwrap();
    for line in &more {
        writeln!(file, "{}", Format::Combined.write(line)).unwrap();
    }
    lines.extend(more);
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

/// The last line that was imported had no end; what follows it must not be taken for its rest a second time.
#[test]
fn a_continuation_that_is_interrupted_loses_no_line_behind_one_that_had_no_end() {
    for (hits_before, politely) in [(10, true), (60, false), (60, true), (120, false)] {
        let stack = Stack::new(
            PROGRAM,
            Setup { ledger_site: Some(LEDGER_SITE), pace: Duration::from_millis(5), ..Setup::default() },
        );
        stack.set("MATOMO_BATCH_SIZE", "10").set("MATOMO_RECORDERS", "1").set("IMPORT_WINDOW", "10");
        stack.set("MATOMO_IN_DOUBT_WAIT", "50ms");
        let mut lines = stack.writes_file(SITE, LOG, 30);
        let log = stack.logs_of(SITE).join(LOG);
        let text = fs::read_to_string(&log).unwrap();
        fs::write(&log, text.trim_end()).unwrap();
        stack.once().succeeds();
        let more = stack.lines(300);
        let mut file = OpenOptions::new().append(true).open(&log).unwrap();
        writeln!(file).unwrap();
        for line in &more {
            writeln!(file, "{}", Format::Combined.write(line)).unwrap();
        }
        lines.extend(more);
        let running = stack.start(&["once"]);
        stack.matomo().wait_for("some of the continuation", |seen| seen.hits >= 30 + hits_before);
        let _ = if politely { running.terminate() } else { running.kill() };
        stack.matomo().rests();
        stack.until_all_is_in(5);
        stack.holds_exactly(SITE, &lines);
    }
}

#[test]
fn a_file_that_somebody_may_still_write_is_left_alone() {
    let stack = stack();
    let hour = || jiff::Timestamp::now().strftime("access_log.%Y-%m-%d-%H").to_string();
    let unfinished = [".access_log.2026-01-01-00", ".access_log.2026-01-01-01.Ab12Cd", &hour()];
    let mut lines = Vec::new();
    for name in unfinished {
        lines.extend(stack.writes_file(SITE, name, 20));
    }
    stack.once().succeeds();
    // When the hour turned in the meantime, the file of the hour before may be imported.
    if hour() == unfinished[2] {
        stack.holds_exactly(SITE, &[]);
    }
    for (at, name) in unfinished.iter().enumerate() {
        let settled = format!("access_log.2026-01-02-0{at}");
        fs::rename(stack.logs_of(SITE).join(name), stack.logs_of(SITE).join(settled)).unwrap();
    }
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn an_archive_is_young_until_it_rested_for_the_settle_time_and_of_a_plain_file_whole_lines_are_read() {
    let stack = stack();
    let lines = stack.lines(40);
    let folder = stack.logs_of(SITE);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(LOG), log::compressed(&lines[20..], Format::Combined)).unwrap();
    let whole: String = lines[..20].iter().map(|line| Format::Combined.write(line) + "\n").collect();
    fs::write(folder.join("access.log"), whole + "192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] \"GET /half").unwrap();
    stack.set("SETTLE_TIME", "1h").once().succeeds();
    stack.holds_exactly(SITE, &lines[..20]);
    let file = fs::File::options().write(true).open(stack.logs_of(SITE).join(LOG)).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7_200)).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_truncated_gzip_is_not_sent_half() {
    let stack = stack();
    let lines = stack.lines(400);
    let packed = log::compressed(&lines, Format::Combined);
    let file = stack.logs_of(SITE).join("access_log.2026-01-01-00.gz");
    fs::create_dir_all(stack.logs_of(SITE)).unwrap();
    fs::write(&file, &packed[..packed.len() * 2 / 3]).unwrap();
    stack.once().ends_with_one_of(&[ALL_IN, TRY_AGAIN]);
    assert_eq!(stack.matomo().hits().len(), 0);
    fs::write(&file, &packed).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_file_that_vanishes_between_two_passes_stops_nobody() {
    let stack = slow_stack();
    stack.writes_file(SITE, LOG, 200);
    let running = stack.start(&["once"]);
    stack.matomo().wait_for("the first hits", |seen| seen.hits > 0);
    running.kill();
    fs::remove_file(stack.logs_of(SITE).join(LOG)).unwrap();
    let already = stack.matomo().hits().len();
    let lines = stack.writes_file(SITE, "access_log.2026-01-02-00", 50);
    stack.matomo().rests();
    stack.once().ends_with(FAILED).says(&["went away before all of it was imported"]);
    stack.matomo().rests();
    let arrival = stack.arrival(SITE, &lines);
    assert!(arrival.missing.is_empty(), "{arrival}");
    assert!(stack.matomo().hits().len() >= already + 50);
}

#[test]
fn odd_bytes_lose_no_line_but_their_own() {
    let stack = stack();
    let lines = stack.lines(30);
    let mut bytes = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        bytes.extend(Format::Combined.write(line).bytes());
        bytes.extend(if at % 2 == 0 { &b"\n"[..] } else { b"\r\n" });
        bytes.extend(match at {
            3 => &b"\x16\x03\x01\x02\x00\x01\x00\xfc\n"[..],
            5 => b"\n\n",
            7 => b"\0\0\0\0\n",
            9 => b"\xff\xfe\xfd nothing like a request\n",
            _ => b"",
        });
        if at == 11 {
            bytes.extend(vec![b'x'; 2 << 20]);
            bytes.push(b'\n');
        }
    }
    fs::create_dir_all(stack.logs_of(SITE)).unwrap();
    fs::write(stack.logs_of(SITE).join(LOG), bytes).unwrap();
    stack.once().succeeds().says(&["invalid"]);
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn one_byte_that_is_not_utf_8_does_not_cost_the_batch() {
    let stack = stack();
    let lines = stack.lines(30);
    let mut bytes: Vec<u8> = lines.iter().flat_map(|line| (Format::Combined.write(line) + "\n").into_bytes()).collect();
    let odd = Line { path: "/caf".to_owned(), ..lines[29].clone() };
    bytes.extend(
        Format::Combined
            .write(&odd)
            .replace("/caf", "/caf\u{1}")
            .bytes()
            .map(|byte| if byte == 1 { 0xe9 } else { byte }),
    );
    bytes.push(b'\n');
    fs::create_dir_all(stack.logs_of(SITE)).unwrap();
    fs::write(stack.logs_of(SITE).join(LOG), bytes).unwrap();
    stack.once().succeeds();
    let arrival = stack.arrival(SITE, &lines);
    assert!(arrival.missing.is_empty() && arrival.surplus.len() == 1, "{arrival}");
}

/// Lines so many hours ahead of our clock, a second from one to the next.
fn ahead(stack: &Stack, count: usize, hours: i64) -> Vec<Line> {
    let first = jiff::Timestamp::now().as_second() + hours * 3_600;
    stack.lines(count).into_iter().zip(first..).map(|(line, second)| Line { second, ..line }).collect()
}

#[test]
fn a_line_dated_less_than_two_days_ahead_makes_its_file_wait_until_its_time_has_come() {
    for hours in [2, 47] {
        let stack = stack();
        let mut lines = stack.lines(20);
        lines.extend(ahead(&stack, 5, hours));
        log::write(&stack.logs_of(SITE).join(LOG), &lines, Format::Combined).unwrap();
        stack.once().succeeds().says(&["File waits: a line is dated in the future"]);
        stack.holds_exactly(SITE, &lines[..20]);
        // Matomo's clock decides; ours must not be a day behind it.
        if hours < 24 {
            stack.matomo().set_clock_ahead(SignedDuration::from_hours(hours + 1));
            stack.once().succeeds();
            stack.holds_exactly(SITE, &lines);
        }
    }
}

#[test]
fn a_line_dated_more_than_two_days_ahead_is_left_out_and_holds_up_no_other() {
    let stack = stack();
    let (before, wrong, behind) = (stack.lines(20), ahead(&stack, 1, 49), stack.lines(20));
    log::write(&stack.logs_of(SITE).join(LOG), &[&before[..], &wrong, &behind].concat(), Format::Combined).unwrap();
    stack.once().succeeds().never_says("File waits");
    stack.holds_exactly(SITE, &[before, behind].concat());
}

#[test]
fn a_line_longer_than_a_mebibyte_is_invalid_and_the_next_one_arrives() {
    let stack = stack();
    let (long, lines) = (stack.lines(1), stack.lines(20));
    // Its beginning could be read, and would be a hit.
    let long = Format::Combined.write(&long[0]) + " " + &"x".repeat(2 << 20) + "\n";
    let text: String = lines.iter().map(|line| Format::Combined.write(line) + "\n").collect();
    fs::create_dir_all(stack.logs_of(SITE)).unwrap();
    fs::write(stack.logs_of(SITE).join(LOG), long + &text).unwrap();
    stack.once().succeeds().says(&["invalid", "1"]);
    stack.holds_exactly(SITE, &lines);
}
