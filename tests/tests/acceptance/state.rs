//! State on disk: full, read-only, missing, shared, old and new.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tests::acceptance::{As, World};

use crate::subject;

/// A small or read-only file system, gone with its guard.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(path: std::path::PathBuf, options: &str) -> Self {
        Self::of("tmpfs", path, options)
    }

    fn of(kind: &str, path: std::path::PathBuf, options: &str) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", kind, "-o", options, kind]).arg(&path).status().unwrap();
        assert!(mounted.success());
        Self(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn c_111_a_full_disk_is_told_harms_nothing_and_heals() {
    let world = World::new(&subject()).job("true");
    let disk = Mount::tmpfs(world.path("state"), "size=256k");
    world.once(As::Process).is(0);
    let filler = disk.0.join("filler");
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=1k", "count=1024"])
        .arg(format!("of={}", filler.display()))
        .output();
    assert!(!full.unwrap().status.success(), "the disk is not full");
    world.once(As::Process).is(73).says("the disk is full");
    world.run(As::Process, &["history"]).is(0).says("success");
    std::fs::remove_file(filler).unwrap();
    world.once(As::Process).is(0);
    assert_eq!(world.run(As::Process, &["history"]).is(0).output.matches("success").count(), 2);
}

#[test]
fn c_112_a_read_only_volume_is_told() {
    let world = World::new(&subject()).job("true");
    let _disk = Mount::tmpfs(world.path("state"), "ro,size=256k");
    world.once(As::Process).is(73).says("mounted read-only");
}

#[test]
fn c_113_a_folder_that_cannot_be_made_is_told() {
    let world = World::new(&subject()).job("true");
    world.write("file", "");
    world.env("STATE_DIR", "@/file/state").once(As::Process).is(73).says("cannot create");
}

#[test]
fn c_114_a_volume_that_comes_late_is_waited_for_and_one_that_never_comes_is_not() {
    let world = World::new(&subject()).job("true").env("VOLUME_WAIT", "10m");
    let _disk = Mount::tmpfs(world.path("state"), "ro,size=256k");
    let mut life = world.start(As::Process, &["run"]);
    life.says("The folder of the state cannot be used yet");
    let options = ["-o", "remount,rw,size=256k"];
    assert!(Command::new("mount").args(options).arg(world.path("state")).status().unwrap().success());
    life.says("The folder of the state is there");
    life.says("Run ended");
    life.stop().is(0);
    let world = World::new(&subject()).job("true").env("VOLUME_WAIT", "1s");
    world.write("file", "");
    let world = world.env("STATE_DIR", "@/file/state");
    world.run(As::Process, &["run"]).is(73).says("cannot be used yet").says("cannot create");
    let world = world.env("VOLUME_WAIT", "10m");
    let mut life = world.start(As::Process, &["run"]);
    life.says("cannot be used yet");
    life.stop().is(0);
}

#[test]
fn c_115_state_survives_a_kill_at_any_moment() {
    let world = World::new(&subject()).job("echo ran >> @/runs");
    for attempt in 0..300_u64 {
        let mut life = world.start(As::Process, &["once"]);
        std::thread::sleep(Duration::from_micros(attempt * 100));
        // It may have ended already.
        let _ = rustix::process::kill_process(life.pid, Signal::KILL);
        let _ = life.is_alive();
        drop(life.end());
        let json = world.run(As::Process, &["history", "--json"]).is(0).output;
        assert!(!json.contains("damaged"), "{json}");
    }
    world.once(As::Process).is(0);
}

#[test]
fn c_116_of_two_runners_on_one_volume_one_runs_each_slot() {
    let world = World::new(&subject()).job("date +%s >> @/runs; sleep 0.2").cron("*/2 * * * * *");
    let one = world.start(As::Process, &["run"]);
    let other = world.start(As::Process, &["run"]);
    tests::acceptance::wait_until("some runs", || world.read("runs").lines().count() >= 4);
    // The one that is killed leaves nothing behind that stops the other.
    let mut killed = one;
    killed.signal(Signal::KILL);
    killed.end().is(137);
    let before = world.read("runs").lines().count();
    tests::acceptance::wait_until("the other goes on", || world.read("runs").lines().count() >= before + 2);
    other.stop().is(0);
    let json = world.run(As::Process, &["history", "--json"]).is(0).output;
    let slots: Vec<String> = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        // The run that was killed with its runner served nothing; the other may make up for it.
        .filter(|run| run["result"] != "interrupted")
        .map(|run| run["slot"].to_string())
        .filter(|slot| slot != "null")
        .collect();
    let mut once = slots.clone();
    once.dedup();
    assert_eq!(slots, once, "a slot was served twice");
}

#[test]
fn c_116_a_stopped_holder_keeps_its_right_and_goes_on() {
    let job = "echo $$ >> @/runs; touch @/ready; while [ ! -e @/go ]; do sleep 0.05; done; echo done >> @/runs";
    let world = World::new(&subject()).job(job);
    let mut holder = world.start_and_wait(As::Process);
    holder.signal(Signal::STOP);
    // The system keeps the lock for it, so nobody takes over, and nobody has to be fenced off afterwards.
    world.once(As::Process).is(75).says("does not run a second time beside itself");
    world.write("go", "");
    holder.signal(Signal::CONT);
    holder.says("Run ended");
    assert_eq!(world.read("runs").lines().count(), 2, "{}", world.read("runs"));
    holder.stop().is(0);
    world.once(As::Process).is(0);
}

#[test]
fn c_117_the_lock_holds_on_an_overlay() {
    let world = World::new(&subject()).job("touch @/ready; while [ ! -e @/go ]; do sleep 0.05; done");
    let layers = Mount::tmpfs(world.path("layers"), "size=4m");
    for layer in ["lower", "upper", "work"] {
        std::fs::create_dir(layers.0.join(layer)).unwrap();
    }
    // The file of the lock lies in the lower layer, as in an image, and is copied up when it is taken.
    std::fs::write(layers.0.join("lower/job.lock"), "").unwrap();
    let of = |layer: &str| layers.0.join(layer).display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", of("lower"), of("upper"), of("work"));
    let _overlay = Mount::of("overlay", world.path("state"), &options);
    let holder = world.start_and_wait(As::Process);
    world.once(As::Process).is(75);
    world.write("go", "");
    holder.stop().is(0);
    world.once(As::Process).is(0);
}

#[test]
fn c_118_once_beside_a_run_waits_or_tries_again_later() {
    let world = World::new(&subject()).job("touch @/ready; while [ ! -e @/go ]; do sleep 0.05; done");
    let life = world.start_and_wait(As::Process);
    world.once(As::Process).is(75).says("does not run a second time beside itself");
    let world = world.env("LOCK_WAIT", "10m");
    let mut waits = world.start(As::Process, &["once"]);
    waits.says("sidecar starts");
    world.write("go", "");
    waits.end().is(0).says("Run ended");
    life.stop().is(0);
}

#[test]
fn c_119_two_starts_within_min_interval_are_one_run() {
    let world = World::new(&subject()).job("echo ran >> @/runs").env("MIN_INTERVAL", "1h");
    world.once(As::Process).is(0);
    world.once(As::Process).is(0).says("Nothing to do: the job ran a short while ago");
    assert_eq!(world.read("runs"), "ran\n");
}

#[test]
fn c_120_older_state_is_migrated_and_newer_refused() {
    let world = World::new(&subject()).job("true");
    world.write("state/job.history.json", r#"{"version":1,"runs":[{"started":"2026-01-01T00:00:00Z","ended":"2026-01-01T00:00:05Z","exit":0,"sentence":"long ago"}]}"#);
    world.once(As::Process).is(0);
    let said = world.run(As::Process, &["history"]).is(0).output;
    assert!(said.contains("long ago") && said.lines().count() == 2, "{said}");
    world.write("state/job.history.json", r#"{"version":9,"runs":[]}"#);
    world.once(As::Process).is(73).says("version 9").says("use the newer image");
    world.write("state/job.history.json", "torn");
    world.once(As::Process).is(0).says("damaged and starts anew");
}
