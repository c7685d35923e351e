//! Health: by command and by HTTP, in every state.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::acceptance::{As, Life, World};

use crate::subject;

/// The address at which it answers, from its log.
fn address(life: &mut Life) -> String {
    life.says("Health is answered by HTTP");
    let output = life.output();
    let (_, rest) = output.split_once("address=").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

/// Status and body.
fn get(address: &str, path: &str) -> (u16, String) {
    let (status, _, body) = ask(address, path, "localhost");
    (status, body)
}

/// Status, head in small letters, and body, asked for by this name of the host.
fn ask(address: &str, path: &str, host: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

/// Command and HTTP agree, and come to say this.
#[track_caller]
fn is(world: &World, address: &str, code: i32, word: &str) {
    // A run is in the log a moment before it is in the health.
    tests::acceptance::wait_until(word, || get(address, "/healthz").1.starts_with(word));
    let said = world.run(As::Process, &["health"]).is(code).output;
    let (status, body) = get(address, "/healthz");
    assert_eq!(body, said);
    assert_eq!(status, if code == 0 { 200 } else { 503 });
}

fn listening() -> World {
    World::new(&subject()).env("HEALTH_LISTEN", "0")
}

#[test]
fn c_091_command_and_http_agree_in_every_state() {
    let world = listening().job("test ! -e @/broken").env("RUN_AT_START", "no");
    let mut life = world.start(As::Process, &["run"]);
    let address = address(&mut life);
    is(&world, &address, 0, "starting:");
    life.signal(Signal::USR1);
    life.says("Run ended");
    is(&world, &address, 0, "ok:");
    world.write("broken", "");
    life.signal(Signal::USR1);
    life.says("result=failure");
    is(&world, &address, 1, "failing:");
    life.signal(Signal::STOP);
    world.run(As::Process, &["health"]).is(1).says("is stopped (SIGSTOP)");
    life.signal(Signal::CONT);
    life.signal(Signal::KILL);
    life.end().is(137);
    world.run(As::Process, &["health"]).is(1).says("does not run any more");
}

#[test]
fn c_086_c_091_a_run_that_never_started_is_late_and_that_clears_itself() {
    let world = listening().job("true").cron("* * * * * *").env("LATE_AFTER", "1s").env("LOCK_WAIT", "1s");
    std::fs::create_dir_all(world.path("state")).unwrap();
    let held = std::fs::File::create(world.path("state/job.lock")).unwrap();
    held.lock().unwrap();
    let mut life = world.start(As::Process, &["run"]);
    let address = address(&mut life);
    tests::acceptance::wait_until("it is late", || get(&address, "/healthz").1.starts_with("late:"));
    drop(held);
    tests::acceptance::wait_until("it is well again", || get(&address, "/healthz").1.starts_with("ok:"));
    life.stop().is(0);
}

#[test]
fn c_092_health_needs_no_right_but_to_read() {
    let world = World::new(&subject()).job("true");
    let mut life = world.start(As::Process, &["run"]);
    life.says("Run ended");
    tests::acceptance::wait_until("it is well", || world.run(As::Process, &["health"]).output.starts_with("ok:"));
    let inner = world.command(As::Process, &["health"]);
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "12345", "--regid", "12345", "--clear-groups"]).arg(inner.get_program()).arg("health");
    command.env_clear().env("STATE_DIR", world.path("state"));
    std::fs::set_permissions(world.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"ok:"), "{output:?}");
    // Nothing of an image is needed, not even a folder of programs.
    let begin = Instant::now();
    let bare = std::process::Command::new(inner.get_program())
        .arg("health")
        .env_clear()
        .env("STATE_DIR", world.path("state"))
        .output()
        .unwrap();
    assert!(bare.status.success() && begin.elapsed() < Duration::from_secs(5), "{bare:?}");
    life.stop().is(0);
}

#[test]
fn c_093_metrics_have_stable_names_and_tell_no_command() {
    let world = listening().job("exit 3");
    let mut life = world.start(As::Process, &["run"]);
    let address = address(&mut life);
    tests::acceptance::wait_until("it fails", || get(&address, "/healthz").1.starts_with("failing:"));
    let (status, page) = get(&address, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "sidecar_healthy{job=\"job\"} 0",
        "sidecar_runs_total{job=\"job\"} 1",
        "sidecar_runs_failed_total{job=\"job\"} 1",
        "sidecar_consecutive_failures{job=\"job\"} 1",
        "sidecar_last_success_time_seconds{job=\"job\"} 0",
        "# EOF",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    assert!(page.contains("sidecar_next_run_time_seconds") && !page.contains("exit 3"));
    life.signal(Signal::HUP);
    life.says("Settings were read again");
    assert!(get(&address, "/metrics").1.contains("sidecar_runs_total{job=\"job\"} 1"));
    life.stop().is(0);
}

#[test]
fn c_094_a_stop_with_the_listener_on_is_clean_every_time() {
    let world = listening().job("true").env("RUN_AT_START", "no");
    for _ in 0..50 {
        let mut life = world.start(As::Process, &["run"]);
        let address = address(&mut life);
        let _open = TcpStream::connect(address).unwrap();
        life.stop().is(0);
    }
}

#[test]
fn c_095_a_busy_port_is_a_clear_error_and_attacks_are_bounded() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let world = World::new(&subject()).job("true").env("HEALTH_LISTEN", &port);
    world.run(As::Process, &["run"]).is(78).says("cannot answer health checks at 127.0.0.1");
    let world = listening().job("true");
    let mut life = world.start(As::Process, &["run"]);
    let address = address(&mut life);
    assert!(address.starts_with("127.0.0.1:"));
    // More slow clients than there are places, and one with a header of a megabyte.
    let slow: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut greedy = TcpStream::connect(&address).unwrap();
    let _ = greedy.write_all(b"GET / HTTP/1.1\r\nX: ");
    let _ = greedy.write_all(&vec![b'x'; 1 << 20]);
    let begin = Instant::now();
    let (status, _) = get(&address, "/healthz");
    assert!(status == 200 && begin.elapsed() < Duration::from_secs(30));
    drop(slow);
    life.stop().is(0);
}

#[test]
fn b19_idle_and_slow_connections_delay_nobody() {
    let world = listening().job("true");
    let mut life = world.start(As::Process, &["run"]);
    let address = address(&mut life);
    let mut waiting = Vec::new();
    for number in 0..200 {
        let mut client = TcpStream::connect(&address).unwrap();
        // Every other one has begun a request that it does not end.
        let begun: &[u8] = if number % 2 == 0 { b"" } else { b"GET /healthz HTTP/1.1\r\nX: " };
        client.write_all(begun).unwrap();
        waiting.push(client);
    }
    for _ in 0..20 {
        let begin = Instant::now();
        let (status, _) = get(&address, "/healthz");
        let took = begin.elapsed();
        assert!(status == 200 && took < Duration::from_millis(100), "{took:?} behind {} others", waiting.len());
    }
    life.stop().is(0);
}

#[test]
fn b29_browsers_are_told_to_guess_and_frame_nothing_and_foreign_names_are_refused() {
    let world = listening().job("true");
    let mut life = world.start(As::Process, &["run"]);
    let near = address(&mut life);
    for path in ["/healthz", "/metrics", "/none"] {
        let (_, head, _) = ask(&near, path, "localhost");
        for header in ["x-content-type-options: nosniff", "x-frame-options: deny"] {
            assert!(head.contains(header), "{path} {head}");
        }
        let (status, _, body) = ask(&near, path, "evil.example");
        assert!(status == 421 && body.contains("127.0.0.1"), "{status} {body}");
    }
    let (status, _, _) = ask(&near, "http://evil.example/healthz", "localhost");
    assert_eq!(status, 421);
    life.stop().is(0);
    // Who opens it to other hosts is asked by names that nobody here knows.
    let world = World::new(&subject()).job("true").env("HEALTH_LISTEN", "0.0.0.0:0");
    let mut life = world.start(As::Process, &["run"]);
    let far = address(&mut life).replace("0.0.0.0", "127.0.0.1");
    assert_eq!(ask(&far, "/metrics", "archiver.stack:9110").0, 200);
    life.stop().is(0);
}
