//! rsync-client as a daemon: schedule, overlap, tasks, health, exec.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use tests::fetch::{Fetch, wait_for};
use tests::sshd::free_port;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rsync-client");
const EVERY_SECOND: &str = "* * * * * *";

#[test]
fn run_fetches_at_the_start_and_again_on_its_schedule() {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.writes("a.log", "line\n").commands(&fetch.command(4));
    // Hourly as in EEA's sentence: the first start does not wait for the hour.
    let running = fetch.run();
    wait_for("the first pass", || fetch.fetched(4) == ["a.log"]);
    wait_for("the health", || fetch.stack.run(&["health"]).code() == Some(0));
    // A run that a stop cuts short would be made up for.
    wait_for("its end", || fetch.stack.run(&["history"]).output().contains("rsync-1"));
    running.terminate().succeeds().says(&["Schedule", "at minute 0 past every hour"]);
    fetch.stack.run(&["health"]).ends_with(1).says(&["does not run any more"]);
    // Not stale any more: a second life waits for its time.
    fetch.writes("b.log", "line\n");
    let running = fetch.run();
    wait_for("the start", || fetch.stack.run(&["health"]).code() == Some(0));
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    running.terminate().succeeds().never_says("Command starts");
    fetch.stack.set("MATOMO_RSYNC_LOGS_CRON", EVERY_SECOND);
    let running = fetch.run();
    wait_for("a scheduled pass", || fetch.fetched(4) == ["a.log", "b.log"]);
    running.terminate().succeeds();
}

#[test]
fn b_10_a_pass_longer_than_the_interval_skips_and_says_so() {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.stack.set("MATOMO_RSYNC_LOGS_CRON", EVERY_SECOND);
    let marks = fetch.stack.folder().join("marks");
    fetch.commands(&format!("echo begin >> {0}; sleep 3; echo end >> {0}", marks.display()));
    let running = fetch.run();
    let count = |word: &str| fs::read_to_string(&marks).unwrap_or_default().matches(word).count();
    wait_for("three passes", || count("end") >= 3);
    running.terminate().succeeds().says(&["WARN", "left out because the job still runs"]);
    let text = fs::read_to_string(&marks).unwrap();
    assert!(!text.contains("begin\nbegin"), "two passes at once: {text}");
}

#[test]
fn two_passes_never_run_at_once_not_even_in_two_containers() {
    let fetch = Fetch::trusted(PROGRAM);
    let mark = fetch.stack.folder().join("mark");
    fetch.commands(&format!("echo here > {}; sleep 5", mark.display()));
    let first = fetch.stack.start(&["once"]);
    wait_for("the first pass", || mark.exists());
    fetch.once().ends_with(75).says(&["another process runs rsync"]);
    first.wait().succeeds();
}

#[test]
fn b_11_delete_never_touches_our_state() {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.writes("a.log", "line\n").commands(&fetch.command(4));
    fetch.once().succeeds();
    fetch.once().succeeds();
    let state = tests::fetch::names(&fetch.stack.folder().join("rsync"));
    assert!(state.contains(&"state.json".to_owned()) && state.contains(&"rsync.history.json".to_owned()), "{state:?}");
    assert_eq!(fetch.fetched(4), ["a.log"]);
    let before = fetch.state()["sites"]["4"]["last_changed"].clone();
    // The source loses everything: what arrived and when is still known.
    fs::remove_file(fetch.sshd.source().join("a.log")).unwrap();
    fetch.once().succeeds().says(&["WARN", "--delete without --max-delete"]);
    assert_eq!(fetch.fetched(4), Vec::<String>::new());
    assert_eq!(fetch.state()["sites"]["4"]["last_changed"], before);
}

#[test]
fn dangerous_options_draw_one_warning_each() {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.writes("a.log", "line\n");
    for (options, words) in [
        ("-avP", "--partial"),
        ("-av --inplace", "--inplace"),
        ("-av --append", "--append"),
        ("-av --delete", "--max-delete"),
    ] {
        let outcome = fetch.commands(&fetch.command_with(4, fetch.sshd.port(), options)).once().succeeds();
        assert_eq!(outcome.stdout.matches("deserves a look").count(), 1, "{outcome}");
        outcome.says(&["WARN", "command 1", words]);
    }
    let calm = fetch.command_with(4, fetch.sshd.port(), "-av --delete --max-delete=10");
    fetch.commands(&calm).once().succeeds().never_says("deserves a look");
    fetch.commands(&calm.replace("/logs/4/", "/logs/")).once().succeeds().says(&["WARN", "no site's folder"]);
}

#[test]
fn c_103_cron_tasks_run_on_our_schedule() {
    let fetch = Fetch::trusted(PROGRAM);
    let mark = fetch.stack.folder().join("mark");
    fetch.stack.set("CRON_TASK_1", &format!("@every 1s echo \"first; task\" >> {}", mark.display()));
    fetch.stack.set("CRON_TASK_2", "@every 1s exit 3");
    // `client` is what the old entrypoint called it.
    let running = fetch.stack.start(&["client"]);
    wait_for("two runs", || fs::read_to_string(&mark).unwrap_or_default().matches("first; task\n").count() >= 2);
    running.terminate().succeeds().says(&["Schedule", "every second"]).says(&[
        "Command failed",
        "cron-task-2",
        "exit=3",
    ]);
    fetch.stack.set("CRON_TASK_3", "not a schedule");
    fetch.stack.run(&["client"]).ends_with(78).says(&["CRON_TASK_3"]);
}

#[test]
fn tasks_alone_are_healthy_and_the_health_tells_of_each() {
    let fetch = Fetch::new(PROGRAM);
    fetch.stack.set("CRON_TASK_1", "@every 1s true");
    let running = fetch.stack.start(&["client"]);
    wait_for("the health", || fetch.stack.run(&["health"]).code() == Some(0));
    wait_for("a run", || fetch.stack.run(&["health"]).output().contains("ok: last run"));
    running.terminate().succeeds();
    fetch.stack.run(&["health"]).ends_with(1).says(&["does not run any more"]);
    fetch.stack.set("CRON_TASK_2", "@every 1s exit 3");
    fetch.commands("true");
    let running = fetch.run();
    wait_for("the failure", || fetch.stack.run(&["health"]).output().contains("cron-task-2: failing"));
    fetch.stack.run(&["health"]).ends_with(1).says(&["cron-task-1: ok"]).says(&["rsync: "]);
    running.terminate().succeeds();
}

#[test]
fn nothing_to_do_is_a_fault_of_the_settings() {
    let fetch = Fetch::new(PROGRAM);
    fetch.stack.run(&["run"]).ends_with(78).says(&["RSYNC_COMMANDS", "CRON_TASK_"]);
    fetch.stack.run(&["once"]).ends_with(78).says(&["RSYNC_COMMANDS is not set"]);
    fetch.stack.run(&["check"]).ends_with(78).says(&["FAULT", "RSYNC_COMMANDS"]);
}

#[test]
fn c_103_other_words_are_run_as_a_program_with_our_ssh() {
    let fetch = Fetch::trusted(PROGRAM);
    fetch.writes("a.log", "line\n");
    // What EEA's catalog starts: sh -c ${RSYNC_COMMANDS}, with nothing about keys in it.
    let command = fetch.command(4);
    fs::create_dir_all(fetch.stack.logs_of(4)).unwrap();
    let key = fetch.stack.run(&["key"]).stdout;
    fetch.stack.run(&["sh", "-c", &command]).succeeds().says(&["Please add this ssh key"]).says(&[key.trim()]);
    assert_eq!(fetch.fetched(4), ["a.log"]);
    fetch.stack.run(&["exec", "sh", "-c", "exit 42"]).ends_with(42);
    fetch.stack.run(&["sh", "-c", "exit 7"]).ends_with(7);
    fetch.stack.run(&["exec", "no-such-program"]).ends_with(127);
    fetch.stack.run(&["onec"]).ends_with(127).says(&["onec", "neither a command"]).says(&["--help"]);
}

#[test]
fn check_reports_everything_at_once_and_probes_the_servers() {
    let fetch = Fetch::trusted(PROGRAM);
    let refused = fetch.command_with(5, free_port(), "-av");
    fetch.commands(&format!("{} ; {refused}", fetch.command(4)));
    fetch
        .stack
        .run(&["check"])
        .succeeds()
        .says(&["ok", "2 commands"])
        .says(&["advice", "--max-delete"])
        .says(&["SHA256:"]);
    let outcome = fetch.stack.run(&["check", "--probe"]).ends_with(69);
    outcome.says(&["ok", "answers and accepts our key"]).says(&["FAULT", "does not answer"]);
    fetch.sshd.trusts("");
    fetch
        .commands(&fetch.command(4))
        .stack
        .run(&["check", "--probe"])
        .ends_with(1)
        .says(&["FAULT", "does not accept our key"]);
}
