//! What the relay answers to a person who asks: a test message, and a talk with the server of the provider.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;

use tests::mail::{Auth, MailServer, Manners, Mood, Tls};
use tests::postfix::{PASSWORD, World};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_postfix-config"))
}

#[test]
fn a_test_message_says_what_became_of_it() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    world.run(&["send-test", "b@example.net"]).with(69).says(&["does not take the message"]);
    let relay = world.start();
    world.run(&["send-test", "b@example.net"]).with(0).says(&["it was sent"]);
    assert!(server.receives(1)[0].text.contains("Subject: Test message of the mail relay relay.example"));
    server.behave(|manners| manners.mood = Mood::Refuses);
    world.run(&["send-test", "b@example.net"]).with(1).says(&["it was refused for good", "550 5.1.1"]);
    server.behave(|manners| manners.mood = Mood::Greylists);
    world.run(&["send-test", "b@example.net"]).with(75).says(&["it waits in the queue", "greylisted"]);
    world.run(&["send-test", "no address"]).with(64).says(&["is not a mail address"]);
    drop(relay);
}

#[test]
fn check_says_which_step_of_the_talk_with_the_relay_fails() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    let probe = |words: &[&str], code| world.run(&["check", "--probe"]).with(code).says(words).never_says(PASSWORD);
    probe(&["ok", "AUTH: the relay takes the login of matomo"], 0).says(&["advice", "certificate:", "UnknownIssuer"]);
    assert!(server.messages().is_empty() && !server.wire_holds(PASSWORD.as_bytes()));
    world.set("SMTP_TLS_SECURITY_LEVEL", "secure");
    probe(&["FAULT", "certificate:", "UnknownIssuer"], 69);
    fs::write(world.path("ca.pem"), server.authority().pem()).unwrap();
    world.set("MTP_CA_FILE", &world.path("ca.pem").to_string_lossy());
    probe(&["ok", "certificate: it is trusted and names localhost"], 0);
    server.behave(|manners| manners.auth = Auth::InTls("LOGIN"));
    probe(&["ok", "AUTH: the relay takes the login"], 0);
    server.behave(|manners| manners.rejects_login = true);
    probe(&["FAULT", "AUTH: the relay says 535 5.7.8"], 69);
    server.behave(|manners| manners.auth = Auth::Nobody);
    probe(&["FAULT", "AUTH: the relay offers no login"], 69);
    server.behave(|manners| *manners = Manners { tls: Tls::Never, auth: Auth::Always("PLAIN"), ..Manners::default() });
    probe(&["FAULT", "STARTTLS: the relay does not offer it"], 69);
    world.set("SMTP_TLS_SECURITY_LEVEL", "may");
    probe(&["FAULT", "AUTH: the connection is not encrypted"], 69);
    world.unset("SMTP_TLS_SECURITY_LEVEL").set("MTP_TLS_MODE", "implicit");
    probe(&["FAULT", "TLS:"], 69);
    server.behave(|manners| *manners = Manners { tls: Tls::Implicit, ..Manners::default() });
    probe(&["ok", "AUTH: the relay takes the login"], 0);
    world.unset("MTP_TLS_MODE").unset("MTP_USER").unset("MTP_PASS");
    server.behave(|manners| *manners = Manners::default());
    probe(&["FAULT", "MAIL FROM: the relay wants a login"], 69);
    drop(server);
    probe(&["FAULT", "TCP: cannot connect"], 69);
    world.set("MTP_RELAY", "no-such-host.invalid");
    probe(&["FAULT", "name: no-such-host.invalid cannot be resolved"], 69);
    assert!(fs::read_dir(world.path("conf")).unwrap().next().is_none(), "check leaves files behind");
}
