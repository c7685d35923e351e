//! Descendants beyond the core cases.

use std::time::Duration;

use tests::acceptance::{As, World, wait_until};

use crate::subject;

#[test]
fn c_021_orphans_are_buried_and_no_result_is_lost() {
    for how in [As::Process, As::First] {
        let job = "i=0; while [ $i -lt 1000 ]; do (true & true & true & true & true &); i=$((i+1)); done; touch @/ready; while [ ! -e @/go ]; do sleep 0.05; done; exit 7";
        let world = World::new(&subject()).job(job);
        let life = world.start(how, &["once"]);
        wait_until("all orphans were left", || world.path("ready").exists());
        let mut zombies = usize::MAX;
        wait_until("no zombie is left", || {
            zombies = zombies_below(life.pid.as_raw_pid());
            zombies == 0
        });
        world.write("go", "");
        life.end().is(7);
    }
}

/// Zombies among the children of the subject, and of the process it keeps when it is the first one.
fn zombies_below(pid: i32) -> usize {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let stat = |child: &str| std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    let is_zombie = |child: &str| stat(child).rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
    let below = |child: &str| if is_zombie(child) { 1 } else { zombies_below(child.parse().unwrap()) };
    children.split_whitespace().map(below).sum()
}

#[test]
fn c_022_many_jobs_at_once_keep_their_exit_codes() {
    for how in [As::Process, As::First] {
        World::new(&subject())
            .job("true")
            .run(how, &["soak", "3000"])
            .is(0)
            .says("3000 jobs, 0 with a wrong exit code");
    }
}

#[test]
fn c_027_a_fork_storm_is_stopped() {
    let storm = "storm() { while :; do (sleep 0.3; :) & n=$((n+1)); [ $n -gt 40 ] && { n=0; wait; }; done; }; trap '' TERM; touch @/ready; n=0; storm & storm & wait";
    for how in [As::Process, As::First] {
        let world = World::new(&subject()).job(storm).env("SHUTDOWN_GRACE", "1s");
        let end = world.start_and_wait(how).stop().is(0);
        assert!(end.took < Duration::from_secs(30), "{:?}", end.took);
    }
}

#[test]
fn c_029_it_starts_beside_another_first_process() {
    let world = World::new(&subject()).job("test $$ -ne 1");
    world.once(As::Process).is(0);
}
