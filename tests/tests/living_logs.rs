//! The importer against web servers that write, rotate, copy, mirror and compress their logs while it runs, against a Matomo
//! that fails in every way, and killed at random instants: each line once.
//!
//! `LIVING_LOGS_SEEDS=30` plays more seeds than usual, `LIVING_LOGS_SEED=17` only one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use tests::fault::{FaultMix, Faults};
use tests::log::{Rotation, WebServer, web_servers};
use tests::matomo::Setup;
use tests::random::Random;
use tests::stack::{ALL_IN, FAILED, Running, Stack, TRY_AGAIN, UNREACHABLE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;
const SEEDS: u64 = 6;
const LINES: usize = 1_000;
const KILLS: usize = 8;
const SIGKILL: i32 = 9;
/// A run lives at most so long where it is killed.
const LONGEST_LIFE: Duration = Duration::from_millis(200);
/// Between two things that happen to the logs.
const LONGEST_REST: Duration = Duration::from_millis(15);

#[test]
fn logs_that_are_rotated_by_renaming() {
    every_line_once(Rotation::Rename, 0);
}

#[test]
fn logs_that_are_copied_and_truncated() {
    every_line_once(Rotation::CopyTruncate, 1);
}

#[test]
fn logs_that_are_mirrored_and_replaced() {
    every_line_once(Rotation::Mirror, 2);
}

fn every_line_once(rotation: Rotation, part: u64) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("LIVING_LOGS_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("LIVING_LOGS_SEEDS").unwrap_or(SEEDS)).filter(|seed| seed % 3 == part).collect(),
    };
    for seed in seeds {
        println!("seed {seed}");
        play(rotation, seed);
    }
}

fn play(rotation: Rotation, seed: u64) {
    let faults = Faults::from(FaultMix::seeded(seed, 0.2));
    let pace = Duration::from_millis(2);
    let stack = Stack::new(
        PROGRAM,
        Setup { ledger_site: Some(9), faults, pace, silence: Duration::from_secs(2), ..Setup::default() },
    );
    for (name, value) in [
        ("IMPORT_ATTEMPTS", "1000"),
        ("MATOMO_BATCH_SIZE", "10"),
        ("MATOMO_IN_DOUBT_WAIT", "50ms"),
        ("SETTLE_TIME", "0s"),
    ] {
        stack.set(name, value);
    }
    let mut random = Random::seeded(seed);
    let lines = stack.lines(LINES);
    let mut servers = web_servers(&stack.logs_of(SITE), rotation, &lines, seed, &mut random);
    let mut kills = 0;
    while kills < KILLS {
        let importer = stack.start(&["once"]);
        live(&importer, &mut servers, &mut random);
        let outcome = importer.kill();
        println!("{outcome}");
        kills += usize::from(outcome.signal() == Some(SIGKILL));
        if outcome.signal().is_none() {
            outcome.ends_with_one_of(&[ALL_IN, FAILED, TRY_AGAIN, UNREACHABLE]);
        }
    }
    servers.iter_mut().for_each(|server| server.finish(&mut random));
    age(&stack.logs_of(SITE));
    stack.matomo().set_faults(Faults::none());
    stack.until_all_is_in(60);
    stack.holds_in_any_order(SITE, &lines);
}

/// Things happen to the logs until the importer has ended or lived long enough.
fn live(importer: &Running, servers: &mut [WebServer], random: &mut Random) {
    let is_killed = random.chance(0.7);
    let length = random.duration(Duration::ZERO, LONGEST_LIFE);
    let begun = Instant::now();
    while !importer.has_ended() && (!is_killed || begun.elapsed() < length) {
        let server = random.below(servers.len() as u64) as usize;
        let what = servers[server].happen(random);
        if !what.is_empty() {
            println!("{} web{}: {what}", Timestamp::now(), server + 1);
        }
        sleep(random.duration(Duration::ZERO, LONGEST_REST));
    }
}

/// Nobody wrote to the logs for more than a day, so that last lines without an end are taken.
fn age(folder: &Path) {
    let then = SystemTime::now() - Duration::from_secs(30 * 3_600);
    for entry in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            age(&entry);
        } else {
            File::open(entry).unwrap().set_modified(then).unwrap();
        }
    }
}
