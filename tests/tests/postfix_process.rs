//! Postfix as a child: started, found missing, stopped, killed, asked how it is.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tests::acceptance::wait_until;
use tests::mail::{MailServer, Manners};
use tests::postfix::{Relay, World, family, greeting, no_family};

const SECRET: &str = "S3CR3T-pa55";

fn world() -> World {
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config"));
    world.set("MTP_RELAY", "localhost:2");
    world
}

fn with_login() -> World {
    let world = world();
    world.set("MTP_USER", "matomo").set("MTP_PASS", SECRET);
    world
}

#[test]
fn a_05_01_a_trailing_slash_is_repaired_and_mail_is_accepted() {
    let world = world();
    world.set("MTP_HOST", "x.example/");
    let relay = world.start();
    relay.says(&["WARN", "MTP_HOST", "taken as x.example"]);
    assert!(greeting(world.listens_at()).starts_with("220 x.example "));
    assert_eq!(world.parameter("myhostname").as_deref(), Some("x.example"));
}

#[test]
fn a_05_09_a_stop_is_quick_clean_and_told() {
    let world = world();
    let relay = world.start();
    let begin = Instant::now();
    relay.stops().with(0).says(&["INFO", "Postfix stopped, as asked"]);
    println!("stop: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    no_family(&world.path("queue"));
    // INT is as good as TERM, and the same world starts again.
    let relay = world.start();
    relay.signal(Signal::INT);
    relay.ends().with(0);
}

/// Postfix's programs with a master that hears no TERM: it is kept by a shell that goes on after it.
fn with_a_master_that_hangs(world: &World) {
    let folder = world.path("programs");
    fs::create_dir(&folder).unwrap();
    let real = Command::new("/usr/sbin/postconf").args(["-dh", "daemon_directory"]).output().unwrap().stdout;
    let real = PathBuf::from(String::from_utf8(real).unwrap().trim());
    for entry in fs::read_dir(&real).unwrap() {
        let name = entry.unwrap().file_name();
        symlink(real.join(&name), folder.join(&name)).unwrap();
    }
    fs::remove_file(folder.join("master")).unwrap();
    let text = format!("#!/bin/sh\ntrap '' TERM\n{}/master \"$@\"\nwhile :; do sleep 0.1; done\n", real.display());
    tests::acceptance::script(&folder.join("master"), &text, 0o755);
    world.set("POSTFIX_daemon_directory", &folder.to_string_lossy());
}

#[test]
fn c_007_a_master_that_hangs_is_killed_at_the_deadline_and_told() {
    let world = world();
    with_a_master_that_hangs(&world);
    world.set("SHUTDOWN_GRACE", "1s");
    let relay = world.start();
    relay.stops().with(0).says(&["WARN", "Postfix did not end in time and was killed"]);
    no_family(&world.path("queue"));
    world.unset("POSTFIX_daemon_directory").start().stops().with(0);
}

#[test]
fn c_008_a_second_wish_to_stop_is_not_made_to_wait() {
    let world = world();
    with_a_master_that_hangs(&world);
    world.set("SHUTDOWN_GRACE", "10m");
    let relay = world.start();
    relay.signal(Signal::TERM);
    relay.says(&["A job is asked to end"]);
    relay.signal(Signal::TERM);
    relay.ends().with(0).says(&["Postfix did not end in time and was killed"]);
    no_family(&world.path("queue"));
}

#[test]
fn a_05_09_a_master_that_is_killed_ends_the_container_with_a_reason() {
    let world = world();
    let relay = world.start();
    let begin = Instant::now();
    kill_process(relay.master(), Signal::KILL).unwrap();
    relay.ends().with(1).says(&["error: Postfix ended by itself while it was running, with signal 9"]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    no_family(&world.path("queue"));
    world.start().stops().with(0);
}

/// As in a container: alone with its processes, which end with it.
const AS_FIRST_PROCESS: [&str; 5] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// The first process inside, as it is known outside.
fn first_process(relay: &Relay) -> Pid {
    let pid = relay.pid().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap()).unwrap()
}

#[test]
fn as_the_first_process_it_starts_and_stops_as_elsewhere() {
    let world = world();
    let relay = world.launch(&AS_FIRST_PROCESS, &["run"]);
    relay.says(&["ready to accept mail"]);
    assert!(greeting(world.listens_at()).starts_with("220 "));
    kill_process(first_process(&relay), Signal::TERM).unwrap();
    relay.ends().with(0).says(&["Postfix stopped, as asked"]);
    no_family(&world.path("queue"));
}

#[test]
fn c_016_killed_as_the_first_process_it_leaves_no_service_and_no_lock() {
    let world = world();
    let relay = world.launch(&AS_FIRST_PROCESS, &["run"]);
    relay.says(&["ready to accept mail"]);
    kill_process(first_process(&relay), Signal::KILL).unwrap();
    relay.ends();
    let begin = Instant::now();
    while !family(&world.path("queue")).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(30), "services were left behind");
        thread::sleep(Duration::from_millis(20));
    }
    world.start().stops().with(0);
}

#[test]
fn a_05_11_the_start_is_quick_with_and_without_checks() {
    let world = with_login();
    for (words, most) in [(&["run"][..], 8_000), (&["run", "--without-checks"], 5_000)] {
        let mut times: Vec<u128> = (0..5)
            .map(|_| {
                let begin = Instant::now();
                let relay = world.launch(&[], words);
                while TcpStream::connect(world.listens_at()).is_err() {
                    assert!(begin.elapsed() < Duration::from_secs(60), "{}", relay.log());
                    thread::sleep(Duration::from_millis(2));
                }
                assert!(greeting(world.listens_at()).starts_with("220 "));
                let took = begin.elapsed().as_millis();
                relay.says(&["ready to accept mail"]);
                relay.stops().with(0);
                took
            })
            .collect();
        times.sort_unstable();
        println!("start to 220 with {words:?}: {times:?} ms, median {}", times[2]);
        assert!(times[2] < most, "{words:?}: {times:?}");
    }
}

#[test]
fn a_05_13_the_password_is_in_its_map_and_nowhere_else() {
    let server = MailServer::start(Manners { rejects_login: true, ..Manners::default() });
    let world = with_login();
    fs::write(world.path("secret"), format!("{SECRET}\n")).unwrap();
    world.set("MTP_RELAY", &format!("localhost:{}", server.port())).set("LOG_LEVEL", "trace");
    world.unset("MTP_PASS").set("MTP_PASS_FILE", &world.path("secret").to_string_lossy());
    with_secret_in_no_child(&world);
    world.unset("MTP_PASS_FILE").set("MTP_PASS", SECRET);
    with_secret_in_no_child(&world);
    for words in
        [&["check"][..], &["check", "--probe"], &["print"], &["queue"], &["health"], &["--help"], &["--version"]]
    {
        world.run(words).never_says(SECRET);
    }
    let map = fs::metadata(world.path("conf/relay_passwd")).unwrap();
    assert_eq!((map.mode() & 0o7777, map.uid()), (0o600, 0));
    assert!(!fs::read_to_string(world.path("conf/main.cf")).unwrap().contains(SECRET));
}

fn with_secret_in_no_child(world: &World) {
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    relay.says(&["the relay does not take the login"]);
    let all = family(&world.path("queue"));
    assert!(all.len() >= 4, "{all:?}");
    for pid in all {
        for name in ["environ", "cmdline"] {
            let bytes = fs::read(format!("/proc/{pid}/{name}", pid = pid.as_raw_nonzero())).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{pid:?} has it in its {name}");
        }
    }
    relay.stops().with(0).never_says(SECRET);
}

#[test]
fn a_05_16_two_hundred_probes_leave_no_line() {
    let world = world();
    world.set("POSTFIX_smtpd_client_connection_rate_limit", "0");
    let relay = world.start();
    let before = relay.log().lines().count();
    for number in 0..200 {
        match number % 20 {
            0 => drop(world.run(&["health"]).with(0).says(&["ok: Postfix runs, nothing waits"])),
            1..10 => drop(greeting(world.listens_at())),
            _ => drop(TcpStream::connect(world.listens_at()).unwrap()),
        }
    }
    // The last probe has been dealt with when a message after it has passed.
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    relay.says(&["status=deferred"]);
    let log = relay.log();
    let about_mail = |line: &&str| ["queue_id=", "connect to localhost"].iter().any(|mark| line.contains(mark));
    let lines: Vec<&str> = log.lines().skip(before).filter(|line| !about_mail(line)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}

#[test]
fn health_says_whether_postfix_runs_and_mail_leaves() {
    let world = world();
    world.run(&["health"]).with(1).says(&["failing: Postfix is not running"]);
    let relay = world.start();
    world.run(&["health"]).with(0).says(&["ok: Postfix runs, nothing waits"]);
    // Health answers when the other settings are wrong.
    world.set("MTP_HOST", "a b").run(&["health"]).with(0);
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    relay.says(&["status=deferred"]);
    // While Postfix tries it once more it does not say what became of it before.
    wait_until("health says why a message waits", || {
        let health = world.run(&["health"]).with(0).says(&["ok: Postfix runs, 1 messages wait"]);
        health.output.contains("Connection refused")
    });
    world.set("MTP_HEALTH_MAX_DEFERRED", "0").run(&["health"]).with(1).says(&["failing: 1 messages wait"]);
    world.unset("MTP_HEALTH_MAX_DEFERRED").set("MTP_HEALTH_QUEUE_AGE", "1s");
    thread::sleep(Duration::from_millis(2_100));
    world.run(&["health"]).with(1).says(&["failing: 1 messages wait"]);
    kill_process(relay.master(), Signal::KILL).unwrap();
    relay.ends();
    world.run(&["health"]).with(1).says(&["failing: Postfix is not running"]);
}

#[test]
fn wrong_words_are_told_from_questions() {
    let world = world();
    world.run(&["--help"]).with(0).says(&["send-test"]);
    world.run(&["--version"]).with(0).says(&["postfix-config"]);
    world.run(&["runn"]).with(64);
    world.run(&["queue"]).with(69).says(&["there is no configuration in"]);
}
