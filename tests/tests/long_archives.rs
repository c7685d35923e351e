//! A wish to stop while an archive is read through that would take hours: a few megabytes that unpack to terabytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tests::fetch::wait_for;
use tests::log::{self, Format, Line};
use tests::matomo::Setup;
use tests::stack::{EVERYTHING, Outcome, Running, Stack};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;
const NAME: &str = "access_log.bz2";
/// Of empty lines: packed, a hundred bytes.
const PIECE_BYTES: usize = 90 << 20;
const PIECES: usize = 100_000;
/// A glance at its first lines is over by then.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

struct Long {
    stack: Stack,
    lines: Vec<Line>,
    archive: PathBuf,
    /// The archive without what makes it long.
    short: Vec<u8>,
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn long() -> Long {
    let stack = Stack::new(PROGRAM, Setup { ledger_site: Some(9), ..Setup::default() });
    let lines = stack.lines(40);
    let archive = stack.logs_of(SITE).join(NAME);
    log::write(&archive, &lines, Format::Combined).unwrap();
    let short = packed(&fs::read(&archive).unwrap());
    fs::write(&archive, [&*short, &packed(&vec![b'\n'; PIECE_BYTES]).repeat(PIECES)].concat()).unwrap();
    Long { stack, lines, archive, short }
}

/// Stops it once it is seen at the archive, and seen there again.
fn stopped(running: Running, archive: &Path) -> Outcome {
    let opened = PathBuf::from(format!("/proc/{}/fd", running.pid().as_raw_nonzero()));
    let is_open = || {
        let files = fs::read_dir(&opened).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == archive)
    };
    for _ in 0..LOOKS {
        wait_for("the archive being read", is_open);
        thread::sleep(BETWEEN_LOOKS);
    }
    running.terminate()
}

#[test]
fn a_pass_stops_while_it_reads_an_archive_through_and_loses_nothing() {
    let Long { stack, lines, archive, short } = long();
    let stopped = stopped(stack.start(&["once"]), &archive).succeeds().never_says("IMPORT_LOG_ERROR");
    stopped.says(&["what is left is for the next pass"]);
    assert_eq!(stack.matomo().seen().hits, 0);
    fs::write(&archive, short).unwrap();
    stack.once().succeeds().never_says("Asked to stop");
    stack.holds_exactly(SITE, &lines);
}

#[test]
fn a_takeover_reads_no_archive_through_and_imports_nothing_of_it() {
    let Long { stack, .. } = long();
    let state = stack.folder().join("processed").join(SITE.to_string());
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("log.2026-01"), format!("/analytics/logs/{SITE}/{NAME}\n")).unwrap();
    stack.once().succeeds().says(&["State of the shell image is taken over", "imported=1"]);
    stack.once().succeeds();
    assert_eq!(stack.matomo().seen().hits, 0);
}

#[test]
fn import_stops_while_it_reads_an_archive_through() {
    let Long { stack, archive, .. } = long();
    let (url, token) = (format!("--url={}", stack.matomo().url()), format!("--token-auth={}", stack.matomo().token()));
    let site = format!("--idsite={SITE}");
    let words = ["import", &url, &token, &site, archive.to_str().unwrap()];
    let everything: Vec<&str> = EVERYTHING.split(' ').collect();
    let stopped = stopped(stack.start(&[&words[..], &everything].concat()), &archive);
    stopped.ends_with(1).says(&["asked to stop"]);
    assert_eq!(stack.matomo().seen().hits, 0);
}
