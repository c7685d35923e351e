//! What the archiver finds and remembers: where Matomo is, how its sites stand, and who else is at work.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::acceptance::script;
use tests::console::Console;

const PROGRAM: &str = env!("CARGO_BIN_EXE_archiver");

/// Lets the only run of the history have been so many hours ago.
fn age(console: &Console, hours: i64) {
    let file = console.state().join("history.jsonl");
    let mut run: Value = serde_json::from_str(fs::read_to_string(&file).unwrap().trim()).unwrap();
    for name in ["started", "ended"] {
        let moment: Timestamp = run[name].as_str().unwrap().parse().unwrap();
        run[name] = json!(moment - SignedDuration::from_hours(hours));
    }
    fs::write(&file, format!("{run}\n")).unwrap();
}

#[test]
fn status_says_which_site_is_stale_and_what_failed() {
    let console = Console::new(PROGRAM);
    console.run(&["status"]).ends_with(0).says(&["No run has ended yet"]);
    console.run(&["once"]).ends_with(0);
    age(&console, 3);
    console.plays("errors").run(&["once"]).ends_with(1);
    let status = console.run(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status.ends_with(0).output).unwrap();
    let job = &status["jobs"][0];
    assert_eq!((job["job"].as_str(), job["failures_in_a_row"].as_u64()), (Some("archive"), Some(1)), "{status}");
    assert!(job["last_good"].as_str() < job["last_run"].as_str(), "{status}");
    let site = |at: usize| (&status["sites"][at]["site"], status["sites"][at]["stale_minutes"].as_i64().unwrap());
    assert!(site(0).0 == 1 && site(0).1 < 60, "{status}");
    assert!(site(1).0 == 2 && site(1).1 >= 180, "{status}");
    console.run(&["status"]).ends_with(0).says(&["archive", "failed", "1 error"]).says(&["81.5", "3h"]);
}

#[test]
fn status_names_the_job_under_way_and_sites_that_the_last_run_did_not_mention() {
    let console = Console::new(PROGRAM);
    let mut running = console.plays("slow 3000").start(&["once"]);
    running.until_it_says("Site archived");
    console.run(&["status"]).ends_with(0).says(&["Job archive is under way on host"]).says(&["No run has ended yet"]);
    running.wait().ends_with(0);
    console.run(&["status"]).ends_with(0).never_says("under way").never_says("not in the last run");
    console.plays("nothing").run(&["once"]).ends_with(0);
    console.run(&["status"]).ends_with(0).says(&["nothing to do"]).says(&["not in the last run"]);
}

#[test]
fn an_archiver_on_another_host_with_the_same_state_is_named() {
    let console = Console::new(PROGRAM);
    fs::create_dir_all(console.state()).unwrap();
    let lock = File::create(console.state().join("lock")).unwrap();
    lock.lock().unwrap();
    let now = Timestamp::now();
    let there = json!({"job": "archive", "started": now, "seen": now, "host": "another-host", "pid": 7});
    fs::write(console.state().join("running.json"), there.to_string()).unwrap();
    let ended = console.run(&["once"]);
    ended.ends_with(75).says(&["outcome=skipped", "job archive is under way on host another-host since"]);
    assert!(console.calls().is_empty());
    drop(lock);
    console.run(&["once"]).ends_with(0).says(&["did not end in order", "cut off together", "another-host"]);
}

#[test]
fn matomo_is_found_in_the_layouts_of_both_images() {
    for (above, place) in [("/var", "/var/www/html"), ("/opt", "/opt/bitnami/matomo")] {
        let outside = tempfile::tempdir().unwrap();
        let image = outside.path().join("image");
        let inner = outside.path().join("inner");
        let console = Console::new(&image.to_string_lossy());
        let root = console.root();
        script(&image, &format!("#!/bin/sh\nexec unshare --mount {} \"$@\"\n", inner.display()), 0o755);
        let mounts = format!(
            "#!/bin/sh\nset -e\nmount -t tmpfs none {above}\nmkdir -p {place}\nmount --bind {} {place}\nexec {PROGRAM} \"$@\"\n",
            root.display()
        );
        script(&inner, &mounts, 0o755);
        console.unset("MATOMO_CONSOLE").run(&["check"]).ends_with(0).says(&["ok", place]);
        console.run(&["once"]).ends_with(0).says(&["outcome=ok"]);
        assert_eq!(console.calls_of("core:archive").len(), 1, "{place}");
        if above == "/opt" {
            // Bitnami keeps PHP out of the search path.
            let php = "php=$(readlink -f \"$(command -v php)\")\nmkdir -p /opt/bitnami/php/bin\ncp \"$php\" /opt/bitnami/php/bin/php
mount --bind /dev/null \"$php\"\nPATH=/nowhere\nexec";
            script(&inner, &mounts.replace("exec", php), 0o755);
            console.run(&["once"]).ends_with(0).says(&["/opt/bitnami/php/bin/php"]).says(&["outcome=ok"]);
        }
    }
}
