//! Mail on its way through the real Postfix to the server of a provider that is polite, strict, or broken.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use tests::mail::{Auth, MailServer, Manners, Mood, Tls};
use tests::postfix::{PASSWORD, World};

const MESSAGE: &str = "Subject: report\n\nVisits: 42";

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_postfix-config"))
}

#[test]
fn a_05_03_the_password_arrives_byte_for_byte() {
    for mechanism in ["PLAIN", "LOGIN"] {
        let server = MailServer::start(Manners { auth: Auth::InTls(mechanism), ..Manners::default() });
        let world = world().through(&server);
        let relay = world.start();
        relay.takes("a@example.org", "b@example.net", MESSAGE);
        let message = &server.receives(1)[0];
        assert!(message.in_tls && message.logged_in);
        let login = &server.logins()[0];
        assert_eq!(
            (login.mechanism.as_str(), login.user.as_str(), login.password.as_str()),
            (mechanism, "matomo", PASSWORD)
        );
    }
}

#[test]
fn a_05_05_each_way_delivers_with_its_own_protection() {
    let no_login = Manners { tls: Tls::Never, auth: Auth::Nobody, ..Manners::default() };
    let implicit = Manners { tls: Tls::Implicit, ..Manners::default() };
    for (manners, login, mode, in_tls) in [
        (no_login, false, None, false),
        (Manners { auth: Auth::Nobody, ..Manners::default() }, false, None, true),
        (Manners::default(), true, None, true),
        (implicit, true, Some("implicit"), true),
    ] {
        let server = MailServer::start(manners);
        let world = world().through(&server);
        if !login {
            world.unset("MTP_USER").unset("MTP_PASS");
        }
        mode.map(|mode| world.set("MTP_TLS_MODE", mode));
        let relay = world.start();
        relay.takes("a@example.org", "b@example.net", MESSAGE);
        let message = server.receives(1).remove(0);
        assert_eq!((message.in_tls, message.logged_in), (in_tls, login), "{manners:?}");
        assert_eq!(
            (message.from.as_str(), message.to.as_slice()),
            ("a@example.org", ["b@example.net".to_owned()].as_slice())
        );
        assert!(
            message.text.contains("Subject: report\n") && message.text.ends_with("Visits: 42\n"),
            "{}",
            message.text
        );
        assert!(message.text.contains("by relay.example (Postfix)"), "{}", message.text);
    }
}

#[test]
fn a_05_05_without_a_relay_mail_goes_directly() {
    let world = world();
    let manners = Manners { auth: Auth::Nobody, ..Manners::default() };
    let server = MailServer::start_at((world.address(), 25).into(), manners).unwrap();
    let relay = world.start();
    relay.takes("a@example.org", &format!("b@[{}]", world.address()), MESSAGE);
    let message = server.receives(1).remove(0);
    assert!(message.in_tls && !message.logged_in);
    relay.says(&["WARN", "MTP_RELAY is not set: mail goes directly"]);
}

#[test]
fn a_05_08_mail_waits_for_the_relay_across_restarts_and_kills() {
    let world = world();
    let address = (world.address(), 2526).into();
    world.set("MTP_RELAY", &world.address().to_string()).set("MTP_PORT", "2526");
    world.set("SMTP_TLS_SECURITY_LEVEL", "may");
    let relay = world.start();
    for number in 0..5 {
        relay.takes("a@example.org", &format!("b{number}@example.net"), MESSAGE);
    }
    relay.says(&["status=deferred", "Connection refused"]);
    world.run(&["queue"]).with(0).says(&["b0@example.net", "Connection refused"]);
    relay.stops().with(0);
    // The queue is shown while nothing runs, too.
    world.run(&["queue"]).with(0).says(&["b4@example.net"]);
    let relay = world.start();
    for number in 5..10 {
        relay.takes("a@example.org", &format!("b{number}@example.net"), MESSAGE);
    }
    relay.dies();
    let relay = world.start();
    let server = MailServer::start_at(address, Manners { auth: Auth::Nobody, ..Manners::default() }).unwrap();
    let mut to: Vec<String> = server.receives(10).into_iter().flat_map(|message| message.to).collect();
    relay.stops().with(0);
    world.run(&["queue"]).with(0).says(&["The queue is empty"]);
    to.sort();
    let expected: Vec<String> = (0..10).map(|number| format!("b{number}@example.net")).collect();
    assert_eq!(to, expected);
    assert_eq!(server.messages().len(), 10, "a message came twice");
}

#[test]
fn a_05_14_mail_to_our_own_name_is_relayed() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    let relay = world.start();
    relay.takes("a@example.org", "anyone@relay.example", MESSAGE);
    assert_eq!(server.receives(1)[0].to, ["anyone@relay.example"]);
}

#[test]
fn a_05_17_the_variables_of_the_eea_template_deliver_as_they_stand() {
    let world = world();
    let server = MailServer::start_at((world.address(), 8587).into(), Manners::default()).unwrap();
    world
        .set("MTP_HOST", "matomo.eea.europa.eu/")
        .set("MTP_RELAY", &world.address().to_string())
        .set("MTP_PORT", "8587");
    world.set("MTP_USER", "matomo").set("MTP_PASS", "secret").set("TZ", "Europe/Copenhagen");
    let relay = world.start();
    relay.says(&["WARN", "MTP_HOST", "matomo.eea.europa.eu"]);
    relay.takes("matomo@eea.europa.eu", "b@example.net", MESSAGE);
    let message = server.receives(1).remove(0);
    assert!(message.in_tls && message.logged_in);
    let is_copenhagen = message.text.contains(" +0100 (CET)") || message.text.contains(" +0200 (CEST)");
    assert!(is_copenhagen && message.text.contains("by matomo.eea.europa.eu"), "{}", message.text);
}

#[test]
fn a_relay_in_any_mood_loses_nothing_and_is_told_as_it_is() {
    let server = MailServer::start(Manners { mood: Mood::Greylists, ..Manners::default() });
    let world = world().through(&server);
    let relay = world.start();
    relay.takes("a@example.org", "grey@example.net", MESSAGE);
    relay.says(&["WARN", "status=deferred", "greylisted"]);
    world.run(&["queue"]).with(0).says(&["grey@example.net", "greylisted"]);
    server.behave(|manners| manners.mood = Mood::Drops);
    relay.says(&["WARN", "status=deferred", "lost connection"]);
    server.behave(|manners| manners.mood = Mood::Slow(Duration::from_secs(1)));
    assert_eq!(server.receives(1)[0].to, ["grey@example.net"]);
    server.behave(|manners| manners.mood = Mood::Refuses);
    relay.takes("a@example.org", "gone@example.net", MESSAGE);
    relay.says(&["ERROR", "status=bounced", "550 5.1.1 no such user"]);
    // The notice of failure goes to the sender, through the relay.
    server.behave(|manners| manners.mood = Mood::Takes);
    let begin = Instant::now();
    while !server.messages().iter().any(|message| message.to == ["a@example.org"])
        && begin.elapsed() < Duration::from_secs(5)
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.behave(|manners| manners.rejects_login = true);
    relay.takes("a@example.org", "login@example.net", MESSAGE);
    relay.says(&["WARN", "the relay does not take the login"]);
    let log = relay.stops().with(0);
    log.never_says(PASSWORD);
}

#[test]
fn a_relay_that_wants_a_login_and_gets_none_loses_nothing() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    world.unset("MTP_USER").unset("MTP_PASS");
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    relay.says(&["ERROR", "the relay wants a login and got none"]);
    world.run(&["queue"]).with(0).says(&["b@example.net", "530 5.7.0 authentication required"]);
    relay.stops().with(0);
    world.set("MTP_USER", "matomo").set("MTP_PASS", PASSWORD);
    let _relay = world.start();
    assert_eq!(server.receives(1)[0].to, ["b@example.net"]);
}

/// What relays say when a login is missing, or anything else that is about us and not about a recipient.
const REFUSALS_OF_US: [(&str, &str); 23] = [
    ("MAIL", "530 5.7.0 Authentication required"),
    ("MAIL", "550 5.7.1 Authentication Required"),
    ("MAIL", "550 SMTP AUTH is required"),
    ("MAIL", "503 5.5.1 AUTH first"),
    ("MAIL", "535 5.7.8 login first"),
    ("MAIL", "530 5.7.57 Client not authenticated to send mail. [VI1PR09.example 2026-11-30T22:31:05.123Z]"),
    ("MAIL", "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
    ("MAIL", "550 Bitte melden Sie sich erst an"),
    ("MAIL", "538 5.7.11 Encryption required for requested authentication mechanism"),
    ("MAIL", "571 who are you?"),
    (
        "RCPT",
        "550-Please turn on SMTP Authentication in your mail client.\r\n550-relay.example [192.0.2.1] is not\r\n550 permitted to send through this server.",
    ),
    ("RCPT", "550 relay not permitted, authentication required"),
    ("RCPT", "554 5.7.1 <b@example.net>: Relay access denied"),
    ("RCPT", "554 <b@example.net>: Relay access denied"),
    ("RCPT", "553 5.7.1 <a@example.org>: Sender address rejected: not logged in"),
    ("RCPT", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
    ("RCPT", "550 you must log in first"),
    ("RCPT", "550 Anmeldung erforderlich"),
    ("RCPT", "530 5.7.0 Must issue a STARTTLS command first"),
    ("RCPT", "503 need AUTH command first"),
    ("DATA", "530 5.7.0 Authentication required"),
    ("DATA", "554 5.7.0 please authenticate"),
    ("EHLO", "550 5.7.1 we do not know you"),
];

/// What is about a message or a recipient: it does not get better by waiting.
const REFUSALS_FOR_GOOD: [(&str, &str); 8] = [
    ("RCPT", "550 5.1.1 <author@login.example>: Recipient address rejected: User unknown"),
    ("RCPT", "550 no such user: author@relay.example"),
    ("RCPT", "550 <login@relay-auth.example> unknown"),
    ("RCPT", "552 5.2.2 mailbox full"),
    ("MAIL", "552 5.3.4 message size exceeds fixed limit"),
    ("MAIL", "553 5.1.8 <a@example.org>: sender address rejected: domain not found"),
    ("MAIL", "501 5.1.7 bad sender address syntax"),
    ("DATA", "554 5.6.0 this is no message"),
];

#[test]
fn a_login_that_the_relay_demands_in_any_words_keeps_the_mail() {
    let server = MailServer::start(Manners { auth: Auth::Nobody, ..Manners::default() });
    let world = world().through(&server);
    world.unset("MTP_USER").unset("MTP_PASS");
    for (command, reply) in REFUSALS_OF_US {
        server.behave(|manners| manners.says = Some((command, reply)));
        let relay = world.start();
        relay.takes("a@example.org", "b@example.net", MESSAGE);
        let line = relay.says(&["to=<b@example.net>", "status="]);
        assert!(line.contains("status=deferred") && line.contains("WARN"), "{command} {reply}\n{line}");
        relay.says(&["ERROR", "mail waits"]);
        server.behave(|manners| manners.says = None);
        let before = server.messages().len();
        assert_eq!(server.receives(before + 1)[before].to, ["b@example.net"]);
        relay.stops().with(0).never_says("status=bounced");
    }
}

#[test]
fn what_is_about_a_recipient_or_a_message_is_returned_at_once() {
    let server = MailServer::start(Manners { auth: Auth::Nobody, ..Manners::default() });
    let world = world().through(&server);
    world.unset("MTP_USER").unset("MTP_PASS");
    for (command, reply) in REFUSALS_FOR_GOOD {
        server.behave(|manners| manners.says = Some((command, reply)));
        let relay = world.start();
        relay.takes("a@example.org", "b@example.net", MESSAGE);
        let line = relay.says(&["to=<b@example.net>", "status="]);
        assert!(line.contains("status=bounced"), "{command} {reply}\n{line}");
    }
}

#[test]
fn mechanisms_that_postfix_cannot_speak_are_passed_over() {
    for offered in
        ["NTLM LOGIN", "GSSAPI NTLM PLAIN", "XOAUTH2 OAUTHBEARER EXTERNAL LOGIN", "ANONYMOUS GS2-KRB5 PLAIN LOGIN"]
    {
        let server = MailServer::start(Manners { auth: Auth::InTls(offered), ..Manners::default() });
        let world = world().through(&server);
        let relay = world.start();
        relay.takes("a@example.org", "b@example.net", MESSAGE);
        assert!(server.receives(1)[0].logged_in, "{offered}");
        assert_eq!(server.logins()[0].password, PASSWORD, "{offered}");
        drop(relay);
    }
}
