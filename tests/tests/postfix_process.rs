//! Postfix as a child: started, found missing, stopped, killed, asked how it is.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tests::mail::{Auth, MailServer, Manners};
use tests::postfix::{Relay, World, family, greeting};

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
    assert!(family(&world.path("queue")).is_empty(), "services were left behind");
    // INT is as good as TERM, and the same world starts again.
    let relay = world.start();
    relay.signal(Signal::INT);
    relay.ends().with(0);
}

#[test]
fn a_05_09_a_master_that_is_killed_ends_the_container_with_a_reason() {
    let world = world();
    let relay = world.start();
    let begin = Instant::now();
    kill_process(relay.master(), Signal::KILL).unwrap();
    relay.ends().with(1).says(&["error: Postfix ended by itself while it was running, with signal 9"]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(family(&world.path("queue")).is_empty(), "services were left behind");
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
    assert!(family(&world.path("queue")).is_empty(), "services were left behind");
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
fn a_05_10_a_busy_port_is_named() {
    let world = world();
    let _other = TcpListener::bind(world.listens_at()).unwrap();
    world.run(&["run"]).with(69).says(&["cannot listen on", "Address already in use"]).says(&["MTP_LISTEN_PORT"]);
}

#[test]
fn a_05_10_a_second_instance_changes_nothing() {
    let world = world();
    let relay = world.start();
    let before = fs::read(world.path("conf/main.cf")).unwrap();
    world.set("MTP_BANNER", "other").run(&["run"]).with(75).says(&["another Postfix is running on the queue"]);
    assert_eq!(fs::read(world.path("conf/main.cf")).unwrap(), before);
    relay.stops().with(0);
}

#[test]
fn a_05_10_a_queue_of_somebody_else_is_given_back_with_its_mail() {
    let world = world();
    let address = (world.address(), 2526).into();
    world.set("MTP_RELAY", &format!("{}:2526", world.address()));
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    relay.says(&["status=deferred"]);
    relay.stops().with(0);
    give(&world.path("queue"));
    let relay = world.start();
    relay.says(&["WARN", "queue belonged to somebody else", "4242"]);
    let server = MailServer::start_at(address, Manners { auth: Auth::Nobody, ..Manners::default() }).unwrap();
    assert_eq!(server.receives(1)[0].to, ["b@example.net"]);
    relay.takes("a@example.org", "c@example.net", "Subject: s\n\nt");
    server.receives(2);
    let log = relay.stops().with(0);
    log.never_says("warning: not owned").never_says("Permission denied");
}

/// Gives a tree to the user 4242.
fn give(path: &std::path::Path) {
    chown(path, Some(4242), Some(4242)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

#[test]
fn a_05_10_a_configuration_folder_that_cannot_be_written_is_named_or_good_as_it_is() {
    let world = world();
    world.start().stops().with(0);
    let conf = world.path("conf").to_string_lossy().into_owned();
    let script = format!("mount --bind {conf} {conf} && mount -o remount,bind,ro {conf} && exec \"$@\"");
    let read_only = ["unshare", "-m", "sh", "-c", script.as_str(), "sh"];
    // The files are there and right: nothing has to be written.
    let relay = world.launch(&read_only, &["run"]);
    relay.says(&["ready to accept mail"]);
    relay.stops().with(0);
    world.set("MTP_BANNER", "new");
    world
        .run_by(&read_only, &["run"])
        .with(73)
        .says(&["cannot replace", "main.cf"])
        .says(&["mount a writable folder there"]);
}

#[test]
fn a_05_10_missing_plugins_are_named_before_mail_waits_for_ever() {
    let script = "mount -t tmpfs none $(dirname $(find /usr/lib -name libplain.so | head -1)) && exec \"$@\"";
    let hidden = ["unshare", "-m", "sh", "-c", script, "sh"];
    let words = ["lacks the SASL plugins libplain.so and liblogin.so"];
    with_login().run_by(&hidden, &["run"]).with(78).says(&words).says(&["libsasl2-modules"]);
    // Without a login they are not needed.
    let world = world();
    let relay = world.launch(&hidden, &["run"]);
    relay.says(&["ready to accept mail"]);
    relay.stops().with(0);
}

#[test]
fn a_05_10_another_user_than_root_is_told_why() {
    let world = world();
    fs::set_permissions(env!("CARGO_BIN_EXE_postfix-config"), fs::Permissions::from_mode(0o755)).unwrap();
    // The folder of the build may be closed to others, so the binary is copied to where everybody may look.
    let copy = world.path("copy");
    fs::copy(env!("CARGO_BIN_EXE_postfix-config"), &copy).unwrap();
    let by = World::new(&copy.to_string_lossy());
    by.run_by(&["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"], &["run"])
        .with(78)
        .says(&["runs as user 1000, but Postfix starts as root only"]);
}

#[test]
fn the_capabilities_in_the_docs_are_enough() {
    let server = MailServer::start(Manners::default());
    let world = with_login();
    world.set("MTP_RELAY", &format!("localhost:{}", server.port()));
    let listed = "-all,+chown,+dac_override,+fowner,+kill,+net_bind_service,+setgid,+setuid";
    let relay = world.launch(&["setpriv", "--bounding-set", listed, "--inh-caps", listed, "--no-new-privs"], &["run"]);
    relay.says(&["ready to accept mail"]);
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    server.receives(1);
    relay.stops().with(0);
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
    world.run(&["health"]).with(0).says(&["ok: Postfix runs, 1 messages wait", "Connection refused"]);
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
