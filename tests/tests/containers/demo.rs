//! The way of a log line through containers alone: a server with rotating logs, rsync-client, log-analytics, Matomo.

use std::thread;
use std::time::{Duration, Instant};

use tests::engine::Project;

/// The web server of the demo writes for 24 seconds; the rest is for slow machines.
const DEMO_MAX: Duration = Duration::from_secs(150);

#[test]
fn every_line_of_a_rotating_log_arrives_once_and_the_key_is_in_the_log() {
    let demo = Project::of(&["compose/demo/compose.yml"]);
    demo.up(&[]);
    let begin = Instant::now();
    // The stand-in says so when the web server is done, and as many different hits came as there are lines.
    while !demo.logs("matomo").contains("EQUAL: each of 1200 lines arrived once") {
        assert!(begin.elapsed() < DEMO_MAX, "{}\n{}", demo.logs("matomo"), demo.logs("rsync-client"));
        thread::sleep(Duration::from_secs(1));
    }
    let log = demo.logs("rsync-client");
    assert!(log.contains("Please add this ssh key") && log.contains("| ssh-ed25519 AAAA"), "{log}");
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}
