//! Descendants beyond the core cases.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::acceptance::{As, Life, World, is_alive, wait_until};

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

/// Lets the kernel refuse one thing, to become the parent of orphans (prctl 36), and runs the rest of the words.
const NO_SUBREAPER: &str = r#"
import ctypes, os, platform, struct, sys
LOAD, JUMP_IF, ANSWER = 0x20, 0x15, 0x06
PRCTL = {"x86_64": 157, "aarch64": 167}[platform.machine()]
rules = [(LOAD, 0, 0, 0), (JUMP_IF, 0, 3, PRCTL), (LOAD, 0, 0, 16), (JUMP_IF, 0, 1, 36),
         (ANSWER, 0, 0, 0x00050000 | 1), (ANSWER, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn c_028_without_the_permission_to_adopt_orphans_it_works_and_says_so_once() {
    // A child in a session of its own is found by its mark, although it is nobody's child any more.
    let job = "echo works; setsid sh -c 'trap \"echo farewell > @/farewell; exit\" TERM; echo $$ > @/orphan; while :; do sleep 0.05; done' & while [ ! -s @/orphan ]; do sleep 0.02; done; exit 7";
    let world = World::new(&subject()).job(job);
    world.write("refuse.py", NO_SUBREAPER);
    let inner = world.command(As::Process, &["once"]);
    let mut command = Command::new("python3");
    command.arg(world.path("refuse.py")).arg(inner.get_program()).args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let end = Life::new(on_file(command, &world), As::Process, world.path("page")).end().is(7).says("job| works");
    let refused = "orphans of jobs cannot be adopted here; they are looked for by their mark";
    assert_eq!(end.output.matches(refused).count(), 1, "{}", end.output);
    assert_eq!(world.read("farewell"), "farewell\n");
    assert!(!is_alive(world.read("orphan").trim()), "the orphan is left");
}

/// Both streams to the file `page` of the world.
fn on_file(mut command: Command, world: &World) -> Command {
    let file = File::create(world.path("page")).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    command
}
