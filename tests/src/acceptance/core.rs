//! The cases that every sidecar with a job must pass, whatever its job is.

use std::time::Duration;

use rustix::process::Signal;

use super::{As, Subject, World, is_alive, wait_until};

/// Says what a job needs to be ready, and waits for signals in small steps.
const WAIT: &str = "touch @/ready; while :; do sleep 0.05; done";

/// Makes a test of each core case, for a subject, as a normal process and as the first process.
#[macro_export]
macro_rules! core_cases {
    ($subject:expr; $($case:ident),* $(,)?) => {
        mod as_process {
            $( #[test] fn $case() { $crate::acceptance::$case(&$subject, $crate::acceptance::As::Process); } )*
        }
        mod as_first_process {
            $( #[test] fn $case() { $crate::acceptance::$case(&$subject, $crate::acceptance::As::First); } )*
        }
    };
}

/// Exit codes of the job are those of `once`.
pub fn c_001_exit_codes_are_passed_unchanged(subject: &Subject, how: As) {
    for code in [0, 1, 2, 42, 126, 127, 143, 255] {
        World::new(subject).job(&format!("exit {code}")).once(how).is(code);
    }
}

/// A signal is 128 and its number.
pub fn c_002_a_killed_job_is_128_and_the_signal(subject: &Subject, how: As) {
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11)] {
        World::new(subject).job(&format!("kill -{name} $$")).once(how).is(128 + number).says(name);
    }
}

/// Asked to stop without a job under way, it ends at once, with 0.
pub fn c_004_an_idle_stop_is_quick_and_well(subject: &Subject, how: As) {
    let world = World::new(subject).job("true").env("RUN_AT_START", "no");
    let mut life = world.start(how, &["run"]);
    life.says("Schedule");
    let end = life.stop().is(0);
    assert!(end.took < Duration::from_secs(5), "{:?}", end.took);
}

/// A job that hears TERM ends in its own way.
pub fn c_005_a_job_that_hears_term_ends_in_its_own_way(subject: &Subject, how: As) {
    let world = World::new(subject).job(&format!("trap 'echo farewell > @/farewell; exit 0' TERM; {WAIT}"));
    let life = world.start_and_wait(how);
    life.stop().is(0).says("A job is asked to end");
    assert_eq!(world.read("farewell"), "farewell\n");
    assert!(world.read("state/job.history.json").contains("\"result\":\"stopped\""));
}

/// With the policy `finish` a job is not signalled.
pub fn c_006_a_job_may_finish_when_the_policy_says_so(subject: &Subject, how: As) {
    let job = "trap 'echo heard > @/heard' TERM; touch @/ready; i=0; while [ $i -lt 10 ]; do sleep 0.1; i=$((i+1)); done; echo done > @/done";
    let world = World::new(subject).job(job).env("STOP_POLICY", "finish").env("SHUTDOWN_GRACE", "40s");
    world.start_and_wait(how).stop().is(0);
    assert_eq!((world.read("done").as_str(), world.read("heard").as_str()), ("done\n", ""));
}

/// A job that ignores TERM is killed at the deadline, and the log says which and how old it was.
pub fn c_007_a_job_that_ignores_term_is_killed_at_the_deadline(subject: &Subject, how: As) {
    let world = World::new(subject).job(&format!("trap '' TERM; {WAIT}")).env("SHUTDOWN_GRACE", "2s");
    let end = world.start_and_wait(how).stop().is(0).says("A job did not end when asked and is killed");
    assert!(end.took >= Duration::from_secs(2) && end.took < Duration::from_secs(20), "{:?}", end.took);
    let last = end.last_line();
    assert!(last.contains("killed=\"") && last.contains(" after 2"), "the job and its age: {last}");
}

/// A second TERM does not wait for the deadline.
pub fn c_008_a_second_term_kills_at_once(subject: &Subject, how: As) {
    let world = World::new(subject).job(&format!("trap '' TERM; {WAIT}")).env("SHUTDOWN_GRACE", "600s");
    let mut life = world.start_and_wait(how);
    life.signal(Signal::TERM);
    life.says("A job is asked to end");
    assert!(life.stop().is(0).took < Duration::from_secs(20));
}

/// INT is TERM; QUIT does not wait.
pub fn c_009_int_stops_and_quit_stops_at_once(subject: &Subject, how: As) {
    let world = World::new(subject).job(WAIT);
    let mut life = world.start_and_wait(how);
    life.signal(Signal::INT);
    life.end().is(0).says("A job is asked to end");
    let world = World::new(subject).job(&format!("trap '' TERM; {WAIT}")).env("SHUTDOWN_GRACE", "600s");
    let mut life = world.start_and_wait(how);
    life.signal(Signal::QUIT);
    life.end().is(0).says("is killed");
}

/// The signal for the job can be chosen.
pub fn c_013_the_signal_for_the_job_can_be_chosen(subject: &Subject, how: As) {
    let job = format!("trap 'echo int > @/farewell; exit 0' INT; {WAIT}");
    let world = World::new(subject).job(&job).env("STOP_SIGNAL_TO_JOB", "INT");
    world.start_and_wait(how).stop().is(0);
    assert_eq!(world.read("farewell"), "int\n");
}

/// What is in force can be printed, and read again.
pub fn c_105_print_config_can_be_fed_back(subject: &Subject, how: As) {
    let world = World::new(subject).job("true").env("OVERLAP", "queue").env("JITTER", "5m");
    let printed = world.run(how, &["print-config"]).is(0).output;
    let again = World::new(subject).job("true");
    let pairs = printed.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let again = pairs.fold(again, |world, (name, value)| world.env(name, value));
    assert_eq!(again.run(how, &["print-config"]).is(0).output, printed);
    assert!(printed.contains("OVERLAP=queue") && printed.contains("JITTER=5m"), "{printed}");
}

/// Settings that cannot be used leave the old ones in force.
pub fn c_106_a_broken_reload_keeps_the_old_settings(subject: &Subject, how: As) {
    let world = World::new(subject).job("true").env("RUN_AT_START", "no");
    world.write("cron", "0 0 1 1 *");
    let world = world.cron("").env(&format!("{}_FILE", subject.cron), "@/cron");
    let mut life = world.start(how, &["run"]);
    life.says("Schedule");
    world.write("cron", "not a schedule");
    life.signal(Signal::HUP);
    life.says("Settings cannot be used; the old ones stay in force");
    life.signal(Signal::USR2);
    life.says(" Status ");
    life.signal(Signal::USR1);
    life.says("Run ended");
    wait_until("the notice is in the health", || {
        world.run(As::Process, &["health"]).output.contains("the old ones are in force")
    });
    world.write("cron", "* * * * * *");
    life.signal(Signal::HUP);
    life.says("every second");
    life.says("trigger=schedule");
    assert!(!world.run(As::Process, &["health"]).is(0).output.contains("the old ones are in force"));
    life.stop().is(0);
}

/// A background child in the job's group is ended with it.
pub fn c_023_a_background_child_is_ended_and_counted(subject: &Subject, how: As) {
    let world = World::new(subject).job("sleep 600 & exit 0");
    world.once(how).is(0).says("A job left processes running; they are asked to end").says("count=1");
}

/// A background child that left the session is found all the same.
pub fn c_024_a_child_in_a_session_of_its_own_is_ended(subject: &Subject, how: As) {
    let job = "setsid sh -c 'trap \"\" TERM; echo $$ > @/pid; while :; do sleep 0.05; done' >/dev/null 2>&1 & while [ ! -s @/pid ]; do sleep 0.02; done";
    let world = World::new(subject).job(job);
    world.once(how).is(0).says("A job left processes running").says("did not end when asked and are killed");
    if how == As::Process {
        let pid = world.read("pid");
        wait_until("the background child is gone", || !is_alive(&pid));
    }
}

/// Nor is the child of a daemon that began a session, cleared the environment and ended: no mark tells whose it was.
pub fn c_024_the_child_of_a_daemon_that_ended_is_ended(subject: &Subject, how: As) {
    let child = r#"sh -c "trap \"\" TERM; echo \$\$ > @/pid; while :; do sleep 0.05; done""#;
    let daemon = format!("setsid env -i PATH=$PATH sh -c '{child} & wait'");
    let job = format!("trap : TERM; {daemon} & while :; do sleep 0.05; test -s @/pid && touch @/ready; done");
    let world = World::new(subject).job(&job).env("SHUTDOWN_GRACE", "1s");
    world.start_and_wait(how).stop().is(0);
    if how == As::Process {
        let pid = world.read("pid");
        assert!(!is_alive(&pid), "the child of the daemon is left");
    }
}

/// A grandchild has time to say farewell.
pub fn c_025_a_grandchild_says_farewell(subject: &Subject, how: As) {
    let grandchild =
        "sh -c 'trap \"sleep 0.5; echo bye > @/farewell; exit\" TERM; touch @/ready; while :; do sleep 0.05; done'";
    let world = World::new(subject).job(&format!("{grandchild} & wait"));
    world.start_and_wait(how).stop().is(0);
    assert_eq!(world.read("farewell"), "bye\n");
}

/// A background child that holds the output open does not hold up the job.
pub fn c_026_output_held_open_does_not_hold_up_the_job(subject: &Subject, how: As) {
    let world = World::new(subject).job("echo said; sleep 600 & exit 3");
    let end = world.once(how).is(3).says("said");
    assert!(end.took < Duration::from_secs(20), "{:?}", end.took);
}
