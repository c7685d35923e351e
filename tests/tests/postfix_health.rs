//! When the relay is not well although Postfix runs: no room for mail, or mail that goes in circles.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;

use tests::acceptance::wait_until;
use tests::mail::{Auth, MailServer, Manners, Mood};
use tests::postfix::{World, submit};

const MESSAGE: &str = "Subject: report\n\nVisits: 42";

fn world() -> World {
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config"));
    world.set("MTP_RELAY", "localhost:2");
    world
}

/// Words that run a program in a folder of mounts of its own, where the queue is a volume of so many megabytes.
fn with_a_queue_of(world: &World, megabytes: u32, full: bool) -> Vec<String> {
    let queue = world.path("queue").to_string_lossy().into_owned();
    fs::create_dir_all(&queue).unwrap();
    // The last blocks of a volume are given away byte by byte.
    let fill = if full { format!("cat /dev/zero > {queue}/filling 2>/dev/null;") } else { String::new() };
    let script = format!("mount -t tmpfs -o size={megabytes}m none {queue} || exit 99; {fill} exec \"$@\"");
    ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
}

fn run_in(world: &World, mounts: &[String], script: &str) -> tests::postfix::Ended {
    let mut words: Vec<&str> = mounts.iter().map(String::as_str).collect();
    words.extend(["sh", "-c", script, "sh"]);
    world.run_by(&words, &[])
}

/// A shell in which `$0` is the program: it starts the relay, asks, and stops it.
const ASK: &str = "\"$1\" run > started & pid=$!; \
    i=0; while [ $i -lt 200 ] && ! grep -q 'ready to accept' started; do sleep 0.1; i=$((i+1)); done; \
    \"$1\" health; echo \"health ended with $?\"; \"$1\" check; echo \"check ended with $?\"; \
    kill $pid; wait $pid; cat started";

#[test]
fn a_queue_without_room_for_a_message_is_unhealthy_and_named_by_check_and_run() {
    let world = world();
    let mounts = with_a_queue_of(&world, 3, false);
    let ended = run_in(&world, &mounts, ASK);
    let ended = ended.says(&["failing: ", "there is no room for mail in", "15.3 MB"]).says(&["health ended with 1"]);
    let ended = ended.says(&["FAULT", "there is no room for mail in"]).says(&["check ended with 73"]);
    ended.says(&["ERROR", "no room for mail"]).with(0);
    // A message is smaller than the limit, so a smaller limit is a way out.
    world.set("MTP_MS_SIZE_LIMIT", "1M");
    let ended = run_in(&world, &mounts, ASK);
    ended.says(&["ok: Postfix runs, nothing waits"]).says(&["check ended with 0"]).never_says("no room");
}

#[test]
fn a_queue_that_is_full_at_the_start_is_named() {
    let world = world();
    let mounts = with_a_queue_of(&world, 1, true);
    let before: Vec<&str> = mounts.iter().map(String::as_str).collect();
    world.run_by(&before, &["run"]).with(73).says(&["there is no room for mail in", "queue"]).says(&["MTP_QUEUE_DIR"]);
}

#[test]
fn refusals_for_want_of_room_put_nothing_into_the_queue() {
    let server = MailServer::start(Manners { auth: Auth::Nobody, ..Manners::default() });
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config")).through(&server);
    world.unset("MTP_USER").unset("MTP_PASS").set("POSTFIX_queue_minfree", "9000000000000000");
    let relay = world.start();
    let answer = submit(world.listens_at(), "a@example.org", &["b@example.net"], MESSAGE);
    assert!(answer.0.last().unwrap().starts_with("452 4.3.1"), "{answer:?}");
    world.run(&["health"]).with(1).says(&["there is no room for mail"]);
    world.run(&["queue"]).with(0).says(&["The queue is empty"]);
    relay.stops().with(0);
    assert!(server.messages().is_empty());
}

#[test]
fn notices_that_are_answered_by_notices_are_unhealthy() {
    let refusing = Manners { auth: Auth::Nobody, mood: Mood::Refuses, ..Manners::default() };
    let server = MailServer::start(refusing);
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config")).through(&server);
    world.unset("MTP_USER").unset("MTP_PASS").set("POSTFIX_canonical_maps", "static:reports@x.example");
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    relay.says(&["ERROR", "mail goes in circles"]);
    world
        .run(&["health"])
        .with(1)
        .says(&["failing: mail goes in circles", "a notice of failure was answered by another"]);
    // Told once, not ten times a second.
    let told = relay.stops().with(0).output.matches("mail goes in circles").count();
    assert_eq!(told, 1);
    // The next start begins anew.
    world.unset("POSTFIX_canonical_maps");
    let _relay = world.start();
    let health = world.run(&["health"]);
    health.never_says("circles");
}

#[test]
fn a_relay_that_sends_mail_back_to_us_is_unhealthy() {
    let world = world();
    world.set("MTP_RELAY", &world.listens_at().to_string());
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    relay.says(&["ERROR", "mail goes in circles"]);
    wait_until("health says it", || {
        let health = world.run(&["health"]);
        health.status.code() == Some(1) && health.output.contains("failing: mail goes in circles")
    });
}

#[test]
fn mail_that_is_returned_once_is_no_circle() {
    let refusing = Manners { auth: Auth::Nobody, mood: Mood::Refuses, ..Manners::default() };
    let server = MailServer::start(refusing);
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config")).through(&server);
    world.unset("MTP_USER").unset("MTP_PASS");
    let relay = world.start();
    for number in 0..5 {
        relay.takes("a@example.org", &format!("b{number}@example.net"), MESSAGE);
    }
    wait_until("the notices are gone as well", || relay.log().matches("status=bounced").count() >= 10);
    world.run(&["health"]).with(0);
    relay.stops().with(0).never_says("circles");
}
