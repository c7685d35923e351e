//! The other sidecars while Matomo is locked: they wait, count no failure, and go on by themselves.

use rustix::process::Signal;
use tests::console::Console;
use tests::installation::Installation;
use tests::matomo::{Setup, Switch};
use tests::stack::Stack;
use tests::web::Web;

use crate::PROGRAM;

#[test]
fn c7_13_the_importer_waits_while_matomo_is_locked_and_goes_on_by_itself() {
    let matomo = Installation::new(PROGRAM, 0);
    let stack = Stack::new(env!("CARGO_BIN_EXE_log-analytics"), Setup::default());
    stack.set("IMPORT_ATTEMPTS", "1");
    let lines = stack.writes(4, 100);
    matomo.run(&["lock"]).ends_with(0);
    // The stand-in for the importer follows the same switch as the web side.
    stack.matomo().set(Switch::RecordingOff, matomo.web.get("/matomo.php").0 == 503);
    for _ in 0..3 {
        let outcome = stack.once();
        assert!(matches!(outcome.code(), Some(69 | 75)), "{outcome}");
    }
    let status = stack.run(&["status", "--json"]).succeeds();
    assert!(
        status.stdout.contains("\"quarantined\": []") || status.stdout.contains("\"quarantined\":[]"),
        "no attempt was counted: {status}"
    );
    matomo.run(&["unlock"]).ends_with(0);
    stack.matomo().set(Switch::RecordingOff, matomo.web.get("/matomo.php").0 == 503);
    stack.until_all_is_in(3);
    stack.holds_exactly(4, &lines);
}

#[test]
fn c7_13_the_archiver_waits_while_matomo_is_locked_and_goes_on_by_itself() {
    let console = Console::new(env!("CARGO_BIN_EXE_archiver"));
    let web = Web::start(console.root().join("config/config.ini.php"));
    let matomo = Installation::new(PROGRAM, 0);
    matomo.set("MATOMO_DIR", &console.root().display().to_string()).set("MATOMO_URL", &web.url());
    console.set("MATOMO_ARCHIVE_CRON", "* * * * * *");
    let mut archiver = console.start(&["run"]);
    archiver.until_it_says("outcome=ok");
    matomo.run(&["lock"]).ends_with(0);
    archiver.until("three runs in maintenance mode", |heard| heard.matches("outcome=maintenance").count() >= 3);
    console.run(&["health"]).ends_with(0).says(&["paused"]);
    matomo.run(&["unlock"]).ends_with(0);
    let before = archiver.heard().matches("outcome=ok").count();
    archiver.until("work again", |heard| heard.matches("outcome=ok").count() > before + 1);
    console.run(&["health"]).ends_with(0).says(&["ok:"]);
    archiver.signal(Signal::TERM);
    archiver.wait().ends_with(0).never_says("Job ended badly");
}
