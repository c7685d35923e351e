//! Who may hand in mail, how, and what becomes of senders and headers on the way out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::{Duration, Instant};

use tests::mail::{Authority, MailServer, Manners, Mood};
use tests::milter::{Milter, SIGNATURE};
use tests::postfix::{World, submit, submit_in_tls};

const MESSAGE: &str = "Subject: report\n\nVisits: 42";

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_postfix-config"))
}

#[test]
fn clients_and_senders_that_may_not_send_are_refused() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    world.set("MTP_NETWORKS", "10.0.0.0/8");
    let relay = world.start();
    let answer = submit(world.listens_at(), "a@example.org", &["b@example.net"], MESSAGE);
    assert!(answer.0.last().unwrap().contains("554 5.7.1 <b@example.net>: Relay access denied"), "{answer:?}");
    relay.stops().with(0);
    world.unset("MTP_NETWORKS").set("MTP_ALLOWED_SENDER_DOMAINS", "example.org");
    let relay = world.start();
    let answer = submit(world.listens_at(), "a@other.example", &["b@example.net"], MESSAGE);
    assert!(!answer.accepted(), "{answer:?}");
    relay.says(&["WARN", "reject", "a@other.example"]);
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    assert_eq!(server.receives(1)[0].from, "a@example.org");
}

#[test]
fn senders_are_rewritten_and_headers_of_the_inside_removed() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    world
        .set("MTP_SENDER", "reports@example.org")
        .set("MTP_HEADER_PRIVACY", "yes")
        .set("MTP_MESSAGES_PER_MINUTE", "60");
    let relay = world.start();
    let text = "From: www-data <www-data@inside.example>\nX-Mailer: PHP\nX-PHP-Originating-Script: 33:mail.php\nSubject: s\n\nhello";
    relay.takes("www-data@inside.example", "b@example.net", text);
    let message = server.receives(1).remove(0);
    assert_eq!(message.from, "reports@example.org");
    assert!(message.text.contains("<reports@example.org>") && message.text.contains("Subject: s"), "{}", message.text);
    for hidden in ["inside.example", "Received:", "X-Mailer", "X-PHP"] {
        assert!(!message.text.contains(hidden), "{hidden} is in\n{}", message.text);
    }
    relay.stops().with(0);
    world.unset("MTP_SENDER").unset("MTP_HEADER_PRIVACY").set("MTP_MASQUERADE_DOMAINS", "example.org");
    let relay = world.start();
    relay.takes("a@www.example.org", "b@example.net", "From: a@www.example.org\n\nhello");
    let message = server.receives(2).remove(1);
    assert_eq!(message.from, "a@example.org");
    assert!(message.text.contains("From: a@example.org"), "{}", message.text);
    drop(relay);
}

#[test]
fn clients_are_offered_tls_with_our_certificate_and_held_to_it() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    let ours = Authority::new();
    let (chain, key) = ours.certificate_and_key();
    fs::write(world.path("tls.crt"), chain).unwrap();
    fs::write(world.path("tls.key"), key).unwrap();
    world.set("SMTPD_TLS_CERT_FILE", &world.path("tls.crt").to_string_lossy());
    world.set("SMTPD_TLS_KEY_FILE", &world.path("tls.key").to_string_lossy()).set("SMTPD_TLS_SECURITY_LEVEL", "may");
    let relay = world.start();
    relay.takes("a@example.org", "plain@example.net", MESSAGE);
    let answer = submit_in_tls(world.listens_at(), ours.pem(), "a@example.org", &["tls@example.net"], MESSAGE);
    assert!(answer.accepted(), "{answer:?}\n{}", relay.log());
    for message in server.receives(2) {
        let by_tls = message.text.contains("with ESMTPS id");
        assert_eq!(by_tls, message.to == ["tls@example.net"], "{}", message.text);
    }
    relay.stops().with(0);

    world.set("SMTPD_TLS_SECURITY_LEVEL", "encrypt");
    let relay = world.start();
    let answer = submit(world.listens_at(), "a@example.org", &["b@example.net"], MESSAGE);
    assert!(answer.0.last().unwrap().contains("530 5.7.0 Must issue a STARTTLS command first"), "{answer:?}");
    let answer = submit_in_tls(world.listens_at(), ours.pem(), "a@example.org", &["b@example.net"], MESSAGE);
    assert!(answer.accepted(), "{answer:?}\n{}", relay.log());
    server.receives(3);
}

#[test]
fn a_signer_signs_and_its_silence_stops_no_mail() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    world.set("MTP_DKIM_MILTER", &Milter::start().address().to_string());
    let relay = world.start();
    relay.takes("a@example.org", "signed@example.net", MESSAGE);
    let message = server.receives(1).remove(0);
    assert!(message.text.contains(SIGNATURE), "{}", message.text);
    relay.stops().with(0);

    world.set("MTP_DKIM_MILTER", "127.0.0.1:9");
    let relay = world.start();
    relay.takes("a@example.org", "unsigned@example.net", MESSAGE);
    let message = server.receives(2).remove(1);
    assert!(!message.text.contains("DKIM-Signature"), "{}", message.text);
    relay.says(&["WARN", "Milter", "[127.0.0.1]:9"]);
}

#[test]
fn services_of_master_cf_are_added_and_changed() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    let submission = format!("{}:2587", world.address());
    let line = format!(
        "{submission} inet n - n - - smtpd -o smtpd_banner=submission -o {{ smtpd_recipient_restrictions = reject }}"
    );
    world.set(&format!("POSTFIXMASTER_{submission}__inet"), &line);
    world.set("POSTFIXMASTER_smtp__unix__smtp_helo_name", "by-option.example");
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    server.receives(1);
    let commands = server.commands();
    assert!(commands.iter().any(|command| command == "EHLO by-option.example"), "{commands:?}");
    let answer = submit(submission.parse().unwrap(), "a@example.org", &["b@example.net"], MESSAGE);
    assert_eq!(answer.0[0], "220 submission");
    assert!(
        answer.0.last().unwrap().starts_with("554 5.7.1 <b@example.net>: Recipient address rejected"),
        "{answer:?}"
    );
}

#[test]
fn addresses_are_veiled_in_the_log_and_shown_to_who_asks() {
    let server = MailServer::start(Manners { mood: Mood::Greylists, ..Manners::default() });
    for (how, veiled) in [("smart", "to=<r***t@e***e.net>"), ("paranoid", "to=<*@*.net>")] {
        let world = world().through(&server);
        world.set("ANONYMIZE_EMAILS", how);
        let relay = world.start();
        relay.takes("sender@example.org", "recipient@example.net", MESSAGE);
        relay.says(&["WARN", "status=deferred", veiled, "greylisted"]);
        world.run(&["queue"]).with(0).says(&["recipient@example.net"]);
        let log = relay.stops().with(0);
        log.never_says("recipient@").never_says("sender@");
    }
}

#[test]
fn mail_for_our_domains_is_taken_from_everybody_and_sent_on() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    world.set("MTP_NETWORKS", "10.0.0.0/8").set("MTP_RELAY_DOMAINS", "ours.example");
    let relay = world.start();
    relay.takes("stranger@example.net", "b@ours.example", MESSAGE);
    assert_eq!(server.receives(1)[0].to, ["b@ours.example"]);
    let answer = submit(world.listens_at(), "stranger@example.net", &["b@other.example"], MESSAGE);
    assert!(answer.0.last().unwrap().contains("Relay access denied"), "{answer:?}");
}

#[test]
fn a_message_that_is_too_large_is_refused() {
    let world = world();
    world.set("MTP_MS_SIZE_LIMIT", "2k");
    let _relay = world.start();
    let answer = submit(world.listens_at(), "a@example.org", &["b@example.net"], &"x\n".repeat(2_000));
    assert!(answer.0.last().unwrap().contains("552 5.3.4"), "{answer:?}");
}

#[test]
fn messages_leave_no_faster_than_they_may() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    world.set("MTP_MESSAGES_PER_MINUTE", "30");
    let relay = world.start();
    let begin = Instant::now();
    for number in 0..3 {
        relay.takes("a@example.org", &format!("b{number}@example.net"), MESSAGE);
    }
    server.receives(3);
    // Two pauses of two seconds; waking a little early is no fault.
    assert!(begin.elapsed() >= Duration::from_millis(3_500), "{:?}", begin.elapsed());
}
