//! What makes a log the same log: neither its name nor its inode nor its date, but the bytes that were read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::SignedDuration;
use tests::fault::{Fault, Faults};
use tests::log::{Format, Line};
use tests::matomo::Setup;
use tests::stack::{ALL_IN, FAILED, Stack, TRY_AGAIN};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;
const LEDGER_SITE: u64 = 9;

fn stack() -> Stack {
    Stack::new(PROGRAM, Setup { ledger_site: Some(LEDGER_SITE), ..Setup::default() })
}

/// A stand-in that takes its time, so that something can happen in the middle of a pass.
fn slow_stack() -> Stack {
    let setup = Setup { ledger_site: Some(LEDGER_SITE), pace: Duration::from_millis(20), ..Setup::default() };
    Stack::new(PROGRAM, setup)
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| Format::Combined.write(line) + "\n").collect()
}

/// A log of a site, and the folder that it lies in.
fn log(stack: &Stack, name: &str) -> PathBuf {
    fs::create_dir_all(stack.logs_of(SITE)).unwrap();
    stack.logs_of(SITE).join(name)
}

fn append(file: &Path, more: &str) {
    OpenOptions::new().append(true).create(true).open(file).unwrap().write_all(more.as_bytes()).unwrap();
}

/// An import that is under way: some hits are stored, most are not.
fn under_way(stack: &Stack) -> tests::stack::Running {
    let importer = stack.start(&["once"]);
    stack.matomo().wait_for("the first hits", |seen| seen.hits >= 50);
    importer
}

#[test]
fn a_log_that_is_rotated_while_it_is_imported_is_imported_once() {
    let stack = slow_stack();
    let (file, mut lines) = (log(&stack, "access.log"), stack.lines(800));
    fs::write(&file, text(&lines)).unwrap();
    let importer = under_way(&stack);
    append(&file, &text(&more(&stack, &mut lines, 30)));
    fs::rename(&file, log(&stack, "access.log.1")).unwrap();
    fs::write(&file, text(&more(&stack, &mut lines, 200))).unwrap();
    importer.wait().ends_with_one_of(&[ALL_IN, TRY_AGAIN]);
    stack.until_all_is_in(3);
    stack.holds_in_any_order(SITE, &lines);
}

/// More lines, which belong to all that must arrive.
fn more(stack: &Stack, all: &mut Vec<Line>, count: usize) -> Vec<Line> {
    let more = stack.lines(count);
    all.extend(more.iter().cloned());
    more
}

#[test]
fn a_log_that_is_copied_and_truncated_while_it_is_imported_is_imported_once() {
    let stack = slow_stack();
    let (file, mut lines) = (log(&stack, "access.log"), stack.lines(800));
    fs::write(&file, text(&lines)).unwrap();
    let importer = under_way(&stack);
    fs::copy(&file, log(&stack, "access.log.1")).unwrap();
    // As logrotate does: the file itself stays, and the web server goes on at its new end.
    OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
    append(&file, &text(&more(&stack, &mut lines, 200)));
    importer.wait().ends_with_one_of(&[ALL_IN, TRY_AGAIN, FAILED]);
    stack.until_all_is_in(3);
    stack.holds_in_any_order(SITE, &lines);
}

/// An IIS log with a beginning of this many bytes that is the same in each.
fn iis(remark_bytes: usize, paths: impl IntoIterator<Item = String>) -> String {
    let remark = "#Remark: as on every server of this farm\n";
    let mut log = remark.repeat(remark_bytes.div_ceil(remark.len()));
    log += "#Fields: date time c-ip cs-method cs-uri-stem sc-status cs(User-Agent)\n";
    for (second, path) in paths.into_iter().enumerate() {
        let (minute, second) = (second / 60, second % 60);
        log += &format!("2026-01-01 00:{minute:02}:{second:02} 192.0.2.1 GET {path} 200 Firefox\n");
    }
    log
}

/// The addresses at the site, in order of the alphabet.
fn paths(stack: &Stack) -> Vec<String> {
    stack.matomo().rests();
    let address = |hit: &tests::matomo::Hit| hit.text("url").rsplit('/').next().unwrap_or_default().to_owned();
    let mut all: Vec<String> = stack.matomo().hits_of(SITE).iter().map(address).collect();
    all.sort();
    all
}

fn numbered(letter: char, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{letter}{number:03}")).collect()
}

fn rooted(names: &[String]) -> impl Iterator<Item = String> {
    names.iter().map(|name| format!("/{name}"))
}

#[test]
fn logs_that_begin_with_the_same_70_kib_are_all_imported() {
    let stack = stack();
    let (first, second) = (numbered('a', 50), numbered('b', 50));
    fs::write(log(&stack, "one.log"), iis(70 << 10, rooted(&first))).unwrap();
    fs::write(log(&stack, "two.log"), iis(70 << 10, rooted(&second))).unwrap();
    stack.once().succeeds();
    assert_eq!(paths(&stack), [first, second].concat());
}

#[test]
fn an_iis_log_that_is_rotated_by_number_is_imported_although_the_new_one_begins_alike_and_is_shorter() {
    let stack = stack();
    let (first, second, third) = (numbered('a', 60), numbered('b', 20), numbered('c', 3));
    let file = log(&stack, "u_ex.log");
    fs::write(&file, iis(0, rooted(&first))).unwrap();
    stack.once().succeeds();
    fs::rename(&file, log(&stack, "u_ex.log.1")).unwrap();
    fs::write(&file, iis(0, rooted(&second))).unwrap();
    stack.once().succeeds();
    fs::rename(log(&stack, "u_ex.log.1"), log(&stack, "u_ex.log.2")).unwrap();
    fs::rename(&file, log(&stack, "u_ex.log.1")).unwrap();
    fs::write(&file, iis(0, rooted(&third))).unwrap();
    stack.once().succeeds();
    assert_eq!(paths(&stack), [first, second, third].concat());
}

#[test]
fn a_copy_of_a_small_log_counts_once() {
    let stack = stack();
    let lines = stack.lines(6);
    fs::write(log(&stack, "access.log"), text(&lines)).unwrap();
    stack.once().succeeds();
    for copy in ["copy.log", "access.log.bak", "access.log.0"] {
        fs::copy(log(&stack, "access.log"), log(&stack, copy)).unwrap();
    }
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_log_and_a_longer_copy_of_it_in_one_pass_count_once() {
    for names in [["a.log", "b.log"], ["b.log", "a.log"]] {
        let stack = stack();
        let lines = stack.lines(150);
        fs::write(log(&stack, names[0]), text(&lines[..100])).unwrap();
        fs::write(log(&stack, names[1]), text(&lines)).unwrap();
        stack.until_all_is_in(3);
        stack.holds_exactly(SITE, &lines);
    }
}

#[test]
fn hourly_copies_of_a_growing_log_count_each_line_once() {
    let stack = stack();
    let lines = stack.lines(200);
    for hour in 1..=4 {
        fs::write(log(&stack, &format!("access.log.{hour:02}")), text(&lines[..hour * 50])).unwrap();
        stack.once().succeeds();
    }
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_log_that_is_replaced_by_another_of_its_name_and_first_line_is_imported() {
    let stack = stack();
    let (file, lines) = (log(&stack, "access.log"), stack.lines(160));
    fs::write(&file, text(&lines[..100])).unwrap();
    stack.once().succeeds();
    // The first line of both is not a hit, so that no line is twice in the logs.
    let remark = "# rotated\n";
    let other = log(&stack, "other.log");
    fs::write(&other, remark.to_owned() + &text(&lines[100..130])).unwrap();
    stack.once().ends_with(ALL_IN);
    fs::write(&other, remark.to_owned() + &text(&lines[130..])).unwrap();
    stack.once().ends_with(ALL_IN);
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_log_that_is_replaced_by_another_of_the_same_length_is_imported() {
    let stack = stack();
    let (file, lines) = (log(&stack, "access.log"), stack.lines(30));
    let first = text(&lines);
    fs::write(&file, &first).unwrap();
    stack.once().succeeds();
    let other = first.replace("/2026:", "/2025:");
    assert!(other != first && other.len() == first.len());
    fs::write(&file, other).unwrap();
    stack.once().succeeds();
    stack.matomo().rests();
    assert_eq!(stack.matomo().hits_of(SITE).len(), 60);
}

#[test]
fn of_a_log_that_is_cut_shorter_no_line_is_sent_again() {
    let stack = stack();
    let (file, lines) = (log(&stack, "access.log"), stack.lines(60));
    fs::write(&file, text(&lines)).unwrap();
    stack.once().succeeds();
    File::options().write(true).open(&file).unwrap().set_len(text(&lines[..30]).len() as u64).unwrap();
    stack.once().ends_with(FAILED).says(&["IMPORT_LOG_ERROR File is set aside", "is shorter"]);
    stack.once().says(&["File is still quarantined"]);
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn lines_that_come_later_into_a_hole_and_behind_it_are_imported() {
    let stack = stack();
    let (file, lines) = (log(&stack, "access.log"), stack.lines(120));
    let (before, behind) = (text(&lines[..40]), text(&lines[80..]));
    fs::write(&file, &before).unwrap();
    stack.once().succeeds();
    // A server that kept its place writes on behind the truncation of another: NUL bytes lie between.
    let mut handle = OpenOptions::new().write(true).open(&file).unwrap();
    handle.seek(SeekFrom::Start(before.len() as u64 + 4_096)).unwrap();
    handle.write_all(behind.as_bytes()).unwrap();
    drop(handle);
    stack.once().succeeds();
    let wanted: Vec<Line> = lines[..40].iter().chain(&lines[80..]).cloned().collect();
    stack.holds_exactly(SITE, &wanted);
}

#[test]
fn a_log_whose_addresses_are_masked_in_place_is_not_imported_again() {
    let stack = stack();
    let (file, lines) = (log(&stack, "access.log"), stack.lines(100));
    fs::write(&file, text(&lines)).unwrap();
    stack.once().succeeds();
    let masked = fs::read_to_string(&file).unwrap();
    let masked: String =
        masked.lines().map(|line| line.replacen(|letter: char| letter.is_ascii_digit(), "0", 2) + "\n").collect();
    assert_eq!(masked.len() as u64, fs::metadata(&file).unwrap().len());
    fs::write(&file, masked).unwrap();
    let outcome = stack.once();
    assert_eq!(stack.matomo().hits_of(SITE).len(), lines.len(), "{outcome}");
}

#[test]
fn a_last_line_that_is_cut_waits_for_its_rest() {
    let stack = stack();
    let (file, lines) = (log(&stack, "access.log"), stack.lines(60));
    let whole = text(&lines);
    let cut = text(&lines[..40]).len() + 50;
    fs::write(&file, &whole[..cut]).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines[..40]);
    append(&file, &whole[cut..]);
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_link_in_the_folder_of_the_logs_leads_nowhere() {
    let stack = stack();
    let lines = stack.lines(20);
    fs::write(log(&stack, "access.log"), text(&lines)).unwrap();
    let elsewhere = stack.folder().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("secret.log"), text(&stack.lines(20))).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("secret.log"), log(&stack, "linked.log")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, log(&stack, "linked")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", log(&stack, "endless.log")).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

/// All files of the ledger of the site, put aside or back.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_ledger_that_is_restored_from_a_backup_sends_nothing_twice() {
    let stack = stack();
    let mut lines = stack.writes(SITE, 120);
    stack.once().succeeds();
    let (ledger, backup) = (stack.folder().join("ledger"), stack.folder().join("backup"));
    copy_folder(&ledger, &backup);
    lines.extend(stack.writes(SITE, 120));
    stack.once().succeeds();
    fs::remove_dir_all(&ledger).unwrap();
    copy_folder(&backup, &ledger);
    lines.extend(stack.writes(SITE, 40));
    stack.until_all_is_in(3);
    stack.holds_in_any_order(SITE, &lines);
}

#[test]
fn a_ledger_that_was_deleted_sends_nothing_twice() {
    let stack = stack();
    let mut lines = stack.writes(SITE, 200);
    stack.once().succeeds();
    fs::remove_dir_all(stack.folder().join("ledger")).unwrap();
    lines.extend(stack.writes(SITE, 40));
    stack.once().succeeds().says(&["it is rebuilt from them"]);
    stack.holds_in_any_order(SITE, &lines);
}

#[test]
fn a_ledger_that_is_deleted_while_matomo_still_stores_what_a_killed_importer_sent_sends_nothing_twice() {
    let stack = slow_stack();
    let lines = stack.writes(SITE, 600);
    let importer = under_way(&stack);
    stack.matomo().set_faults(Faults::every(1, Fault::Late(Duration::from_secs(2))));
    stack.matomo().wait_for("a batch that is stored late", |seen| seen.late > 0);
    importer.kill();
    stack.matomo().set_faults(Faults::none());
    fs::remove_dir_all(stack.folder().join("ledger")).unwrap();
    stack.once().succeeds().says(&["it is rebuilt from them"]);
    stack.holds_in_any_order(SITE, &lines);
}

#[test]
fn what_matomo_lost_with_its_database_is_sent_again_without_a_new_log() {
    let stack = stack();
    let mut lines = stack.writes(SITE, 120);
    stack.once().succeeds();
    let backup = stack.matomo().backup();
    lines.extend(stack.writes(SITE, 120));
    stack.once().succeeds();
    stack.matomo().restore(backup);
    stack.once().says(&["Matomo lost the last batches"]);
    stack.until_all_is_in(3);
    stack.holds_in_any_order(SITE, &lines);
}

#[test]
fn two_passes_at_once_send_each_line_once_even_if_somebody_removes_the_locks() {
    let stack = slow_stack();
    let lines = stack.writes(SITE, 600);
    let first = under_way(&stack);
    for entry in walk(&stack.folder().join("ledger")) {
        if entry.extension().is_some_and(|extension| extension == "lock") {
            fs::remove_file(entry).unwrap();
        }
    }
    let second = stack.once();
    let first = first.wait();
    assert!(first.signal().is_none() && second.signal().is_none());
    stack.until_all_is_in(4);
    stack.holds_in_any_order(SITE, &lines);
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() { files.extend(walk(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}

/// Lines of the last hour, by our own clock.
fn recent(stack: &Stack, count: usize) -> Vec<Line> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut lines = stack.lines(count);
    let first = lines[0].second;
    for line in &mut lines {
        line.second += i64::try_from(now).unwrap() - 3_600 - first;
    }
    lines
}

#[test]
fn a_clock_that_is_behind_the_server_loses_and_doubles_nothing() {
    let stack = stack();
    stack.matomo().set_clock_ahead(SignedDuration::from_hours(26));
    let lines = recent(&stack, 60);
    fs::write(log(&stack, "access.log"), text(&lines)).unwrap();
    let outcome = stack.once();
    stack.matomo().set_clock_ahead(SignedDuration::ZERO);
    stack.until_all_is_in(3);
    let arrival = stack.arrival(SITE, &lines);
    assert!(arrival.missing.is_empty() && arrival.surplus.is_empty(), "{arrival}\n{outcome}");
}

#[test]
fn an_import_by_hand_below_the_folder_of_a_site_goes_through_the_ledger() {
    let stack = stack();
    let (file, lines) = (log(&stack, "access.log"), stack.lines(80));
    fs::write(&file, text(&lines)).unwrap();
    stack.run(&["import", &file.to_string_lossy()]).succeeds();
    stack.once().succeeds();
    stack.run(&["import", &file.to_string_lossy()]).succeeds();
    // Without options fewer lines are hits, and a line that is none is as imported as the others.
    let hits: Vec<Line> = lines.into_iter().filter(Line::counted_by_default).collect();
    stack.holds_exactly(SITE, &hits);
}

#[test]
fn a_file_is_imported_anew_when_a_person_says_so_and_only_then() {
    let stack = stack();
    let (file, lines) = (log(&stack, "access.log"), stack.lines(30));
    fs::write(&file, text(&lines)).unwrap();
    stack.once().succeeds();
    let (site, name) = (SITE.to_string(), file.to_string_lossy().into_owned());
    stack.run(&["reimport", "--site", &site, "--file", &name]).succeeds().says(&["--yes"]);
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
    stack.run(&["reimport", "--site", &site, "--file", &name, "--yes"]).succeeds();
    stack.once().succeeds();
    assert_eq!(stack.matomo().hits_of(SITE).len(), 60);
    stack.once().succeeds();
    assert_eq!(stack.matomo().hits_of(SITE).len(), 60, "once more, not for ever");
    stack.run(&["reimport", "--site", &site, "--file", "/nowhere/access.log", "--yes"]).says(&["knows no file"]);
}

#[test]
fn lines_that_no_one_could_read_are_a_state_and_retry_reads_them_once_the_settings_fit() {
    let stack = stack();
    let lines = stack.lines(40);
    let odd: String = lines.iter().map(|line| format!("x|{}\n", Format::Combined.write(line))).collect();
    fs::write(log(&stack, "access.log"), odd).unwrap();
    stack.set("IMPORT_ATTEMPTS", "1");
    stack.once().ends_with(FAILED).says(&["quarantined"]);
    stack.once().says(&["still quarantined"]);
    assert!(stack.matomo().hits().is_empty());
    stack.run(&["retry", "--site", "7"]).says(&["7"]);
    let pattern = r#"x\|(?P<ip>\S+) \S+ \S+ \[(?P<date>.*?) (?P<timezone>.*?)\] "\S+ (?P<path>.*?) \S+" (?P<status>\d+) (?P<length>\S+) "(?P<referrer>.*?)" "(?P<user_agent>.*?)""#;
    stack.set("MATOMO_IMPORT_OPTIONS", &format!("{} --log-format-regex='{pattern}'", tests::stack::EVERYTHING));
    stack.run(&["retry"]).succeeds();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_damaged_archive_beside_a_whole_log_holds_it_up_no_longer_than_its_own_turn() {
    let stack = stack();
    let lines = stack.lines(40);
    fs::write(log(&stack, "access.log"), text(&lines)).unwrap();
    let broken = log(&stack, "broken.log.gz");
    fs::write(&broken, b"\x1f\x8b\x08\x00 this is no archive").unwrap();
    File::options()
        .write(true)
        .open(&broken)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(86_400))
        .unwrap();
    stack.once().ends_with_one_of(&[TRY_AGAIN, FAILED]);
    stack.holds_exactly(SITE, &lines);
}
