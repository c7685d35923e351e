//! Time: expressions at the door, overlap, restarts, clocks that move.

use std::time::Duration;

use tests::acceptance::{As, World};

use crate::subject;

#[test]
fn c_053_what_is_no_schedule_is_refused_with_a_hint() {
    for expression in ["* * * * * * *", "60 * * * *", "0 0 31 2 *", "hello", "@often", "'5 * * * *"] {
        World::new(&subject()).job("true").cron(expression).run(As::Process, &["check"]).is(78).says("JOB_CRON");
    }
}

#[test]
fn c_054_the_schedule_is_told_in_words_with_its_next_runs() {
    let world = World::new(&subject()).job("true").cron("0 5 * * * *").env("RUN_AT_START", "no");
    let end = world.run(As::Process, &["check"]).is(0).says("past every hour");
    assert_eq!(end.output.matches("next 20").count(), 3);
    let mut life = world.start(As::Process, &["run"]);
    life.says("Schedule schedule=");
    life.stop().is(0);
}

#[test]
fn c_066_an_unknown_zone_is_refused_and_none_is_utc() {
    let world = World::new(&subject()).job("true").env("TZ", "Europe/Kopenhagen");
    world.run(As::Process, &["check"]).is(78).says("time zone");
    World::new(&subject()).job("true").env("TZ", "").run(As::Process, &["check"]).is(0).says("(UTC)");
}

#[test]
fn c_067_a_slot_during_a_run_is_left_out_queued_or_replaces_it() {
    let world = World::new(&subject()).job("echo x >> @/runs; sleep 2.5").cron("* * * * * *");
    let mut life = world.start(As::Process, &["run"]);
    life.says("left out because the job still runs");
    life.stop().is(0);
    let world = World::new(&subject()).job("echo x >> @/runs; sleep 1.5").cron("* * * * * *").env("OVERLAP", "queue");
    let mut life = world.start(As::Process, &["run"]);
    life.says("it runs once more afterwards");
    life.says("trigger=catch-up");
    life.stop().is(0);
    let world =
        World::new(&subject()).job("echo x >> @/runs; exec sleep 600").cron("* * * * * *").env("OVERLAP", "replace");
    let mut life = world.start(As::Process, &["run"]);
    life.says("it is stopped for a new run");
    life.says("trigger=catch-up");
    assert!(life.stop().is(0).took < Duration::from_secs(20));
}

#[test]
fn c_069_a_restart_runs_a_slot_once_and_catches_up_once() {
    let world = World::new(&subject()).job("echo ran >> @/runs").cron("0 0 * * *");
    let mut life = world.start(As::Process, &["run"]);
    life.says("Run ended");
    life.stop().is(0);
    // The same day again: nothing is due.
    let mut life = world.start(As::Process, &["run"]);
    life.says("Schedule");
    std::thread::sleep(Duration::from_millis(500));
    life.stop().is(0);
    assert_eq!(world.read("runs"), "ran\n");
    // After a downtime of many slots: one run, unless they are too long ago.
    let long_ago = world.read("state/job.history.json").replace("202", "201");
    world.write("state/job.history.json", &long_ago);
    let world = world.env("CATCH_UP_WITHIN", "1s");
    let mut life = world.start(As::Process, &["run"]);
    life.says("Schedule");
    std::thread::sleep(Duration::from_millis(500));
    life.stop().is(0);
    assert_eq!(world.read("runs"), "ran\n");
    let world = world.env("CATCH_UP_WITHIN", "");
    let mut life = world.start(As::Process, &["run"]);
    life.says("Run ended");
    life.stop().is(0);
    assert_eq!(world.read("runs"), "ran\nran\n");
}

#[test]
fn c_072_an_idle_program_does_not_wake_up() {
    let world = World::new(&subject()).job("true").env("RUN_AT_START", "no");
    let mut life = world.start(As::Process, &["run"]);
    life.says("Schedule");
    std::thread::sleep(Duration::from_secs(1));
    let switches = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", life.pid.as_raw_pid())).unwrap();
        let status = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
        let count = |status: String| {
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        status.map(count).sum::<u64>()
    };
    let before = switches();
    std::thread::sleep(Duration::from_secs(20));
    assert_eq!(switches(), before);
    life.stop().is(0);
}
