//! `maintenance` against a real MariaDB and a web side that obeys the configuration, healthy and not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod failures;
mod hostile;
mod kills;
mod lock;
mod neighbours;
mod plugins;
mod reports;
mod restore;
mod run;
mod secrets;
mod sets;
mod tls;
mod upgrade;

use std::thread;
use std::time::{Duration, Instant};

use tests::installation::{Installation, Run};
use tests::mariadb::MariaDb;

const PROGRAM: &str = env!("CARGO_BIN_EXE_maintenance");

fn healthy() -> Installation {
    Installation::new(PROGRAM, 2)
}

/// Waits for a fact.
#[track_caller]
fn until(what: &str, fact: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(150);
    while !fact() {
        assert!(Instant::now() < give_up, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether the server is busy with the big tables of a dump right now.
fn is_dumping(database: &MariaDb) -> bool {
    !connections_that_dump(database).is_empty()
}

fn connections_that_dump(database: &MariaDb) -> Vec<String> {
    let ids = database.ask(
        "SELECT id FROM information_schema.processlist \
         WHERE info LIKE '%SQL_NO_CACHE%matomo_log%' AND info NOT LIKE '%processlist%'",
    );
    ids.lines().map(str::to_owned).collect()
}

/// Asks a run to stop, as a container engine does.
fn terminate(run: &Run) {
    let pid = rustix::process::Pid::from_raw(run.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}
