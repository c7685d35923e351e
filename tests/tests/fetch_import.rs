//! The first two links of the chain together: rsync-client fetches from a server that goes on writing and rotating, and
//! log-analytics imports each line once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use tests::fetch::{Fetch, wait_for};
use tests::log::{Format, Line};
use tests::matomo::Setup;
use tests::stack::Outcome;

const FETCH: &str = env!("CARGO_BIN_EXE_rsync-client");
const IMPORT: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;

fn world() -> Fetch {
    let fetch = Fetch::with(FETCH, Setup { ledger_site: Some(9), ..Setup::default() });
    fetch.trust();
    fetch.commands(&fetch.command(SITE));
    fetch
}

fn import(fetch: &Fetch) -> Outcome {
    fetch.stack.start_other(Path::new(IMPORT), &["once"], Vec::new()).wait()
}

/// More lines at the end of the log that the server is writing.
fn append(fetch: &Fetch, lines: &[Line]) {
    use std::io::Write;
    let path = fetch.sshd.source().join("access.log");
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    for line in lines {
        writeln!(file, "{}", Format::Combined.write(line)).unwrap();
    }
}

/// As logrotate does: the newest becomes .1, and what was .1 becomes .2.
fn rotate(fetch: &Fetch) {
    let source = fetch.sshd.source();
    for (from, to) in
        [("access.log.2", "access.log.3"), ("access.log.1", "access.log.2"), ("access.log", "access.log.1")]
    {
        if source.join(from).exists() {
            fs::rename(source.join(from), source.join(to)).unwrap();
        }
    }
}

#[test]
fn every_line_arrives_once_although_the_source_rotates_between_passes() {
    let fetch = world();
    let mut lines = Vec::new();
    for round in 0..6 {
        let fresh = fetch.stack.lines(40);
        append(&fetch, &fresh[..25]);
        fetch.once().succeeds();
        import(&fetch).succeeds();
        // The rest of the log comes after it was fetched once, and then it is rotated.
        append(&fetch, &fresh[25..]);
        lines.extend(fresh);
        if round % 2 == 0 {
            fetch.once().succeeds();
        }
        rotate(&fetch);
    }
    fetch.once().succeeds();
    import(&fetch).succeeds();
    import(&fetch).succeeds();
    fetch.stack.holds_exactly(SITE, &lines);
}

#[test]
fn files_under_way_are_never_seen_by_the_importer() {
    let fetch = world();
    let lines = fetch.stack.lines(20_000);
    append(&fetch, &lines);
    fetch.commands(&fetch.command_with(SITE, fetch.sshd.port(), "-av --bwlimit=600"));
    let running = fetch.stack.start(&["once"]);
    wait_for("a transfer", || fetch.fetched(SITE).iter().any(|name| name.starts_with(".access.log.")));
    import(&fetch).succeeds();
    assert_eq!(fetch.stack.matomo().seen().hits, 0);
    assert_eq!(fetch.fetched(SITE).len(), 1, "the transfer was over before anybody looked: {:?}", fetch.fetched(SITE));
    running.kill();
    // A killed rsync leaves its half file, which is none of the importer's business either.
    import(&fetch).succeeds();
    assert_eq!(fetch.stack.matomo().seen().hits, 0);
}

#[test]
fn the_importer_shows_when_logs_last_arrived() {
    let fetch = world();
    append(&fetch, &fetch.stack.lines(20));
    fetch.once().succeeds();
    let status = fetch.stack.start_other(Path::new(IMPORT), &["status", "--json"], Vec::new()).wait().succeeds();
    let sites: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(sites[0]["last_fetched"], fetch.state()["sites"]["4"]["last_fetched"], "{sites}");
    assert_eq!(sites[0]["last_changed"], fetch.state()["sites"]["4"]["last_changed"], "{sites}");
    let table = fetch.stack.start_other(Path::new(IMPORT), &["status"], Vec::new()).wait().succeeds();
    table.says(&["LAST FETCHED", "LOGS ARRIVED"]);
}
