//! The story of an upgrade: a volume on which the shell image has worked, our first pass, our second, and the way back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use tests::log::{self, Format, Line};
use tests::matomo::Setup;
use tests::repository::root;
use tests::stack::Stack;

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;

/// A volume as the shell image leaves it: some files imported over two months, one given up, one failed once, one new.
struct Volume {
    stack: Stack,
    fresh: Vec<Line>,
}

fn volume() -> Volume {
    let stack = Stack::new(PROGRAM, Setup { ledger_site: Some(9), ..Setup::default() });
    stack.set("INVALIDATE_HOURS", "00:00-00:00");
    let write = |name: &str| {
        let lines = stack.lines(40);
        log::write(&stack.logs_of(SITE).join(name), &lines, Format::Combined).unwrap();
        lines
    };
    for name in ["access_log.2026-01-01-00", "web 1/access_log.2026-01-01-00", "access_log.2026-02-01-00"] {
        write(name);
    }
    let packed = log::compress(&stack.logs_of(SITE).join("access_log.2026-02-01-00"));
    packed.unwrap();
    write("access_log.given-up");
    let mut fresh = write("access_log.failed-once");
    fresh.extend(write("access_log.2026-02-02-00"));
    let state = stack.folder().join("processed").join(SITE.to_string());
    fs::create_dir_all(&state).unwrap();
    // The shell image saw the volume where its own container had it.
    let listed =
        |names: &[&str]| -> String { names.iter().map(|name| format!("/analytics/logs/{SITE}/{name}\n")).collect() };
    let months = [
        ("log.2026-01", listed(&["access_log.2026-01-01-00", "web 1/access_log.2026-01-01-00", "gone/access_log.1"])),
        ("log.2026-02", listed(&["access_log.2026-02-01-00.gz", "access_log.given-up"])),
        ("error", listed(&["access_log.given-up", "access_log.failed-once", "access_log.given-up"])),
        ("invalidate", "2026-01-01\n2026-01-15\n".to_owned()),
    ];
    for (name, text) in months {
        fs::write(state.join(name), text).unwrap();
    }
    Volume { stack, fresh }
}

/// Every file below a folder, with its content and date.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        match entry.path() {
            path if path.is_dir() => found.extend(everything(&path)),
            path => {
                let modified = entry.metadata().unwrap().modified().unwrap();
                found.insert(path.clone(), (fs::read(path).unwrap(), modified));
            }
        }
    }
    found
}

#[test]
fn what_the_shell_image_imported_is_not_imported_again_and_what_it_gave_up_is_shown() {
    let Volume { stack, fresh } = volume();
    let before = everything(&stack.folder().join("processed"));
    stack.once().succeeds().says(&["State of the shell image is taken over", "imported=3", "quarantined=1"]);
    stack.holds_exactly(SITE, &fresh);
    stack.run(&["status"]).says(&["access_log.given-up", "two failures"]);
    let days = stack.matomo().invalidated();
    assert!(days[&SITE].iter().any(|day| day == "2026-01-15"), "{days:?}");
    // The second pass, and one with another name for a file that was taken over.
    let logs = stack.logs_of(SITE);
    fs::rename(logs.join("access_log.2026-01-01-00"), logs.join("access_log.rotated.1")).unwrap();
    stack.once().succeeds().never_says("taken over");
    stack.holds_exactly(SITE, &fresh);
    assert_eq!(everything(&stack.folder().join("processed")), before, "the way back is open");
}

#[test]
fn a_file_that_was_given_up_is_imported_once_a_person_says_so() {
    let Volume { stack, fresh } = volume();
    stack.once().succeeds();
    stack.run(&["retry"]).succeeds().says(&["1 quarantined files are released"]);
    stack.once().succeeds();
    assert_eq!(stack.matomo().hits_of(SITE).len(), fresh.len() + 40);
}

#[test]
fn a_listed_file_that_comes_back_unchanged_is_known_and_a_new_one_of_its_name_is_imported() {
    let Volume { stack, mut fresh } = volume();
    stack.once().succeeds();
    let back = stack.logs_of(SITE).join("gone/access_log.1");
    log::write(&back, &stack.lines(30), Format::Combined).unwrap();
    File::options()
        .write(true)
        .open(&back)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(86_400))
        .unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &fresh);
    fs::remove_file(&back).unwrap();
    let lines = stack.lines(30);
    log::write(&back, &lines, Format::Combined).unwrap();
    stack.once().succeeds();
    fresh.extend(lines);
    stack.holds_exactly(SITE, &fresh);
}

#[test]
fn a_crash_in_the_middle_of_the_takeover_imports_nothing_twice() {
    for milliseconds in [0, 2, 4, 6, 8, 10, 12, 15, 18, 22, 30] {
        let Volume { stack, fresh } = volume();
        stack.start(&["once"]).kill_after(Duration::from_millis(milliseconds));
        stack.until_all_is_in(5);
        stack.holds_exactly(SITE, &fresh);
    }
}

/// Runs one pass of the shell image over the volume of a stack.
fn shell_image(stack: &Stack, month: &str) {
    let status = Command::new("sh")
        .arg(root().join("tests/src/shell_image.sh"))
        .env("ROOT", stack.folder())
        .env("MONTH", month)
        .env("HOUR", "2026-03-01-00")
        .env("IMPORTER", PROGRAM)
        .env("MATOMO_URL", stack.matomo().url())
        .env("MATOMO_TOKEN", stack.matomo().token())
        .status();
    assert!(status.unwrap().success());
}

fn write(stack: &Stack, name: &str, count: usize) -> Vec<Line> {
    let lines = stack.lines(count);
    log::write(&stack.logs_of(SITE).join(name), &lines, Format::Combined).unwrap();
    lines
}

/// A volume on which a shell script in the manner of the shell image worked for two months. Answers the lines that Matomo
/// has, and those that are still to come.
fn worked_on() -> (Stack, Vec<Line>, Vec<Line>) {
    let stack = Stack::new(PROGRAM, Setup { ledger_site: Some(9), ..Setup::default() });
    stack.set("INVALIDATE_HOURS", "00:00-00:00").gaps_of(3_000);
    let logs = stack.logs_of(SITE);
    let mut there = write(&stack, "access_log.2026-01-01-00", 40);
    there.extend(write(&stack, "web 1/access_log.2026-01-02-00", 40));
    fs::write(logs.join("access_log.given-up"), "this is no log\n".repeat(40)).unwrap();
    shell_image(&stack, "2026-01");
    there.extend(write(&stack, "access_log.2026-02-01-00", 40));
    log::compress(&logs.join("access_log.2026-02-01-00")).unwrap();
    fs::write(logs.join("access_log.failed-once"), "neither is this\n".repeat(40)).unwrap();
    shell_image(&stack, "2026-02");
    stack.holds_exactly(SITE, &there);
    let mut to_come = write(&stack, "access_log.failed-once", 40);
    to_come.extend(write(&stack, "access_log.2026-02-03-00", 40));
    (stack, there, to_come)
}

#[test]
fn a_volume_on_which_the_shell_image_worked_is_carried_on_with() {
    let (stack, mut all, to_come) = worked_on();
    let processed = stack.folder().join("processed");
    let before = everything(&processed);
    assert_eq!(before.len(), 4, "two ledgers, the failures and the days: {:?}", before.keys());
    let holds = ["site 4", "3 files marked as imported", "1 given up", "the first pass takes it over"];
    stack.run(&["check"]).succeeds().says(&holds);
    stack.once().succeeds().says(&["State of the shell image is taken over", "imported=3", "quarantined=1"]);
    all.extend(to_come);
    stack.holds_exactly(SITE, &all);
    stack.run(&["check"]).says(&["site 4", "it was taken over"]);
    stack.run(&["status"]).says(&["taken over from the shell image at site 4", "3 files as imported, 1 given up"]);
    stack.run(&["status"]).says(&["quarantined at site 4", "access_log.given-up", "two failures"]);
    let listed: Vec<String> = stack.matomo().invalidated().remove(&SITE).unwrap();
    for day in fs::read_to_string(processed.join("4/invalidate")).unwrap().lines() {
        assert!(listed.iter().any(|listed| listed == day), "{day} is not in {listed:?}");
    }
    // A second pass, a rotation of what was taken over, and a growing file.
    stack.once().succeeds().never_says("taken over").never_says("File imported");
    let logs = stack.logs_of(SITE);
    fs::rename(logs.join("access_log.2026-01-01-00"), logs.join("access_log.1")).unwrap();
    log::compress(&logs.join("access_log.1")).unwrap();
    fs::rename(logs.join("web 1/access_log.2026-01-02-00"), logs.join("access_log.2")).unwrap();
    stack.once().succeeds();
    stack.holds_exactly(SITE, &all);
    assert_eq!(everything(&processed), before, "the way back is open");
}

#[test]
fn going_back_to_the_shell_image_and_coming_again_costs_only_what_was_imported_since() {
    let (stack, mut there, to_come) = worked_on();
    stack.once().succeeds();
    there.extend(to_come.clone());
    stack.holds_exactly(SITE, &there);
    // Back: it takes what its lists do not name, and what we imported is not in them.
    let later = write(&stack, "access_log.2026-03-05-00", 40);
    shell_image(&stack, "2026-03");
    let hits = || stack.matomo().hits_of(SITE).len();
    assert_eq!(hits(), there.len() + to_come.len() + later.len());
    // And again: what it imported meanwhile is known, although it is younger than our first pass.
    let fresh = write(&stack, "access_log.2026-03-06-00", 40);
    let before = hits();
    stack.once().succeeds().says(&["State of the shell image is taken over"]);
    assert_eq!(hits(), before + fresh.len());
    stack.once().succeeds().never_says("taken over");
    assert_eq!(hits(), before + fresh.len());
}

#[test]
fn an_archive_that_was_imported_and_is_damaged_now_waits_for_a_person() {
    let (stack, mut there, to_come) = worked_on();
    there.extend(to_come);
    let archive = stack.logs_of(SITE).join("access_log.2026-02-01-00.gz");
    let packed = fs::read(&archive).unwrap();
    fs::write(&archive, &packed[..packed.len() - 20]).unwrap();
    // The lists were written a moment ago, perhaps within the same tick of the file system's clock.
    let later = SystemTime::now() + Duration::from_secs(1);
    File::options().write(true).open(&archive).unwrap().set_modified(later).unwrap();
    stack.once().succeeds().says(&["imported=2", "quarantined=2"]);
    stack.run(&["status"]).says(&["access_log.2026-02-01-00.gz", "marked this name as imported"]);
    stack.holds_exactly(SITE, &there);
}
