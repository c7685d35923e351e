//! One sender for all (`MTP_SENDER`): what is rewritten, what never is, and that a refusal cannot make mail go in circles.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::thread;
use std::time::Duration;

use tests::mail::{Auth, MailServer, Manners, Message, Mood};
use tests::postfix::World;

const MESSAGE: &str = "Subject: report\n\nVisits: 42";
/// A loop made ten transactions a second.
const LOOP_WOULD_SHOW: Duration = Duration::from_secs(3);

/// A world with one sender for all, on the way to this server.
fn world(server: &MailServer) -> World {
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config")).through(server);
    world.unset("MTP_USER").unset("MTP_PASS");
    world.set("MTP_SENDER", "reports@x.example");
    world
}

fn open_relay() -> Manners {
    Manners { auth: Auth::Nobody, ..Manners::default() }
}

/// The senders that were named to the server.
fn senders(server: &MailServer) -> Vec<String> {
    let commands = server.commands();
    let senders = commands.iter().filter_map(|command| command.strip_prefix("MAIL FROM:<"));
    senders.map(|rest| rest.split('>').next().unwrap().to_owned()).collect()
}

fn header(message: &Message, name: &str) -> Vec<String> {
    let head = message.text.split("\n\n").next().unwrap().replace("\n ", " ").replace("\n\t", " ");
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn a_message_that_the_relay_rejects_makes_one_notice_and_no_loop() {
    let server = MailServer::start(Manners { mood: Mood::Refuses, ..open_relay() });
    let world = world(&server);
    let relay = world.start();
    relay.takes("www-data@matomo.test", "b@y.example", MESSAGE);
    relay.says(&["status=bounced"]);
    thread::sleep(LOOP_WOULD_SHOW);
    assert_eq!(senders(&server), ["reports@x.example", ""], "the message, and its notice from nobody");
    drop(relay);
}

#[test]
fn a_sender_that_the_relay_rejects_makes_no_loop() {
    let denied = ("MAIL", "550 5.1.8 sender address rejected");
    let server = MailServer::start(Manners { says: Some(denied), ..open_relay() });
    let world = world(&server);
    let relay = world.start();
    relay.takes("www-data@matomo.test", "b@y.example", MESSAGE);
    relay.says(&["status=bounced"]);
    thread::sleep(LOOP_WOULD_SHOW);
    assert_eq!(senders(&server), ["reports@x.example", ""]);
    drop(relay);
}

#[test]
fn a_notice_that_a_client_sends_keeps_its_empty_sender() {
    let server = MailServer::start(open_relay());
    let world = world(&server);
    let relay = world.start();
    relay.takes("", "b@y.example", MESSAGE);
    assert_eq!(server.receives(1)[0].from, "");
    drop(relay);
}

#[test]
fn from_and_sender_are_rewritten_and_nothing_else() {
    let server = MailServer::start(open_relay());
    let world = world(&server);
    let relay = world.start();
    let to = "reports@x.example";
    for (number, (from, expected)) in [
        ("a@b.example", to.to_owned()),
        ("<a@b.example>", format!("<{to}>")),
        ("Matomo Reports <a@b.example>", format!("Matomo Reports <{to}>")),
        ("\"Reports, daily <x>\" <a@b.example>", format!("\"Reports, daily <x>\" <{to}>")),
        ("=?UTF-8?Q?M=C3=A4tomo?=\n <a@b.example>", format!("=?UTF-8?Q?M=C3=A4tomo?= <{to}>")),
        ("root@b.example (Cron Daemon)", format!("{to} (Cron Daemon)")),
        ("One <a@b.example>, Two <c@d.example>", to.to_owned()),
        ("www-data", to.to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!(
            "From: {from}\nSender: c@d.example\nReply-To: Anna <anna@b.example>\nErrors-To: e@b.example\n\
             Disposition-Notification-To: d@b.example\nTo: b@y.example\nSubject: s\n\nFrom: body@b.example"
        );
        relay.takes("www-data@matomo.test", "b@y.example", &text);
        let message = &server.receives(number + 1)[number];
        assert_eq!(message.from, to);
        for (name, value) in [
            ("From", expected.as_str()),
            ("Sender", to),
            ("Reply-To", "Anna <anna@b.example>"),
            ("Errors-To", "e@b.example"),
            ("Disposition-Notification-To", "d@b.example"),
            ("To", "b@y.example"),
        ] {
            assert_eq!(header(message, name), [value], "{from}\n{}", message.text);
        }
        assert!(message.text.ends_with("\n\nFrom: body@b.example\n"), "{}", message.text);
    }
    drop(relay);
}

#[test]
fn a_message_without_from_gets_the_one_sender_and_what_is_attached_keeps_its_own() {
    let server = MailServer::start(open_relay());
    let world = world(&server);
    // An operator's own table goes on working beside ours.
    std::fs::write(world.path("theirs"), "/^X-Inside:/ IGNORE\n").unwrap();
    world.set("POSTFIX_header_checks", &format!("regexp:{}", world.path("theirs").display()));
    let relay = world.start();
    let text = "Subject: s\nX-Inside: yes\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
                Content-Type: message/rfc822\n\nFrom: attached@b.example\nSubject: inner\n\nt\n--b--";
    relay.takes("www-data@matomo.test", "b@y.example", text);
    let message = &server.receives(1)[0];
    assert_eq!(header(message, "From"), ["reports@x.example"], "{}", message.text);
    assert!(
        message.text.contains("\nFrom: attached@b.example\n") && !message.text.contains("X-Inside"),
        "{}",
        message.text
    );
    drop(relay);
}
