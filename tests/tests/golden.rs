//! `log-analytics import` sends what Matomo's own importer sends: every `must` case of the golden set.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tests::golden::{Case, Golden};
use tests::matomo::Setup;
use tests::stack::Stack;

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const TOKEN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const THREADS: usize = 4;

/// Cases that do not pass yet, and why. One that passes must leave the list.
const KNOWN_GAPS: [(&str, &str); 0] = [];

#[test]
fn the_same_hits_and_counters_as_matomos_own_importer() {
    let Some(golden) = Golden::find(std::env::var_os("SHARED_DIR").map(PathBuf::from)) else {
        println!("GOLDEN CASES NOT RUN: there is neither $SHARED_DIR/golden nor ../shared/golden");
        return;
    };
    let cases = golden.cases("must").unwrap();
    let failures = run_all(&golden, &cases);
    let is_gap = |case: &str| KNOWN_GAPS.iter().any(|(gap, _)| *gap == case);
    let closed: Vec<&str> =
        KNOWN_GAPS.iter().map(|(gap, _)| *gap).filter(|gap| failures.iter().all(|(case, _)| case != gap)).collect();
    let new: Vec<&str> = failures.iter().filter(|(case, _)| !is_gap(case)).map(|(_, report)| report.as_str()).collect();
    println!("{} cases, {} differ, {} of them known", cases.len(), failures.len(), KNOWN_GAPS.len());
    assert!(closed.is_empty(), "these pass now, take them out of KNOWN_GAPS in tests/tests/golden.rs: {closed:?}");
    assert!(new.is_empty(), "{} of {} cases differ\n\n{}", new.len(), cases.len(), new.join("\n"));
}

/// Name and report of every case that differs, by name.
fn run_all(golden: &Golden, cases: &[Case]) -> Vec<(String, String)> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(report) = run(golden, case) {
                        failures.lock().unwrap().push((case.case.clone(), report));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    failures
}

/// One case against a stand-in of its own; a report when something differs.
fn run(golden: &Golden, case: &Case) -> Option<String> {
    let sites = case.sites.iter().map(|(id, url)| (id.parse().unwrap(), url.as_str().unwrap().to_owned())).collect();
    let stack = Stack::new(PROGRAM, Setup { sites, token: TOKEN.to_owned(), ..Setup::default() });
    // Matomo's importer is told everything on the command line.
    for name in ["MATOMO_URL", "MATOMO_TOKEN", "MATOMO_IMPORT_OPTIONS", "MATOMO_RECORDERS", "MATOMO_BATCH_SIZE"] {
        stack.unset(name);
    }
    let (url, token) = (format!("--url={}", stack.matomo().url()), format!("--token-auth={TOKEN}"));
    let inputs = golden.inputs(case);
    let input = if case.stdin { std::fs::read(&inputs[0]).unwrap() } else { Vec::new() };
    let files: Vec<&str> =
        if case.stdin { vec!["-"] } else { inputs.iter().map(|file| file.to_str().unwrap()).collect() };
    let options = case.options.iter().map(String::as_str);
    let words: Vec<&str> = ["import", &url, &token].into_iter().chain(options).chain(files).collect();
    let outcome = stack.start_with_input(&words, input).wait();

    let mut found = golden.expectation(case).unwrap().check(&stack.matomo().hits(), &outcome.stdout);
    if outcome.code() != Some(case.exit) {
        found.push(format!(
            "exit code: expected {}, got {:?} {}",
            case.exit,
            outcome.code(),
            last_lines(&outcome.stderr)
        ));
    }
    (!found.is_empty()).then(|| format!("{}\n  {}\n", case.case, found.join("\n  ")))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(3)..].iter().map(|line| format!("\n    | {line}")).collect()
}
