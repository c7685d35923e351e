//! A stop while mail is on its way: what the relay is about to take is not sent a second time after the next start.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::acceptance::wait_until;
use tests::mail::{MailServer, Manners, Mood};
use tests::postfix::{Relay, World, no_family};

const MESSAGE: &str = "Subject: report\n\nVisits: 42";

/// A relay that takes each message after a while, and this one just before its end.
fn in_mid_delivery(pause: Duration, messages: usize, grace: &str) -> (MailServer, World, Relay) {
    let server = MailServer::start(Manners { mood: Mood::Slow(pause), ..Manners::default() });
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config")).through(&server);
    world.set("SHUTDOWN_GRACE", grace);
    let relay = world.start();
    for number in 0..messages {
        relay.takes("a@example.org", &format!("b{number}@example.net"), MESSAGE);
    }
    wait_until("the messages are with the relay", || {
        server.commands().iter().filter(|command| *command == "DATA").count() == messages
    });
    // From the answer to DATA to the dot is a moment.
    std::thread::sleep(Duration::from_millis(300));
    (server, world, relay)
}

/// Starts it again, waits until nothing is left to send, and says how often each recipient was reached.
fn arrivals(server: &MailServer, world: &World, messages: usize) -> Vec<String> {
    server.behave(|manners| manners.mood = Mood::Takes);
    let relay = world.start();
    wait_until("the queue is empty", || world.run(&["queue"]).output.contains("The queue is empty"));
    server.receives(messages);
    // Also what was cut off: the server finishes each message that it has.
    let begun = || server.commands().iter().filter(|command| *command == "DATA").count();
    wait_until("the server has dealt with every message", || server.messages().len() == begun());
    relay.stops().with(0);
    let mut to: Vec<String> = server.messages().into_iter().flat_map(|message| message.to).collect();
    to.sort();
    to
}

#[test]
fn a_stop_in_mid_delivery_lets_it_end_and_nothing_arrives_twice() {
    let (server, world, relay) = in_mid_delivery(Duration::from_secs(3), 3, "20s");
    let begin = Instant::now();
    let ended = relay.stops().with(0).says(&["INFO", "Postfix stopped, as asked"]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    no_family(&world.path("queue"));
    assert_eq!(arrivals(&server, &world, 3), ["b0@example.net", "b1@example.net", "b2@example.net"]);
    ended.says(&["INFO", "on their way", "deliveries=3"]).says(&["INFO", "status=sent"]).never_says("killed by signal");
}

#[test]
fn what_waits_is_not_begun_during_a_stop() {
    let (server, world, relay) = in_mid_delivery(Duration::from_secs(3), 1, "20s");
    relay.signal(Signal::TERM);
    relay.says(&["on their way"]);
    // Whoever is connected may still hand in mail: it is kept for the next start, or the client keeps it.
    let late = std::net::TcpStream::connect(world.listens_at());
    drop(late);
    relay.ends().with(0);
    assert_eq!(server.messages().len(), 1);
    assert_eq!(arrivals(&server, &world, 1), ["b0@example.net"]);
}

#[test]
fn a_stop_waits_no_longer_than_it_may_and_loses_nothing() {
    let (server, world, relay) = in_mid_delivery(Duration::from_secs(8), 1, "2s");
    let begin = Instant::now();
    relay.stops().with(0).says(&["WARN", "may arrive twice"]);
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    no_family(&world.path("queue"));
    assert!(arrivals(&server, &world, 1).contains(&"b0@example.net".to_owned()));
}

#[test]
fn a_second_wish_to_stop_ends_the_wait_for_deliveries() {
    let (_server, world, relay) = in_mid_delivery(Duration::from_secs(30), 1, "20s");
    relay.signal(Signal::TERM);
    relay.says(&["on their way"]);
    let begin = Instant::now();
    relay.signal(Signal::TERM);
    relay.ends().with(0);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    no_family(&world.path("queue"));
}
