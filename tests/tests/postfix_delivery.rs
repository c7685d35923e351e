//! Mail on its way through the real Postfix to the server of a provider that is polite, strict, or broken.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::{Duration, Instant};

use tests::mail::{Auth, MailServer, Manners, Mood, Tls};
use tests::postfix::{SETTINGS, World, submit};

const PASSWORD: &str = "p$w#:\"\\ ü x";
const MESSAGE: &str = "Subject: report\n\nVisits: 42";

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_postfix-config"))
}

/// A relay on the way to this server, with a login.
fn through(server: &MailServer) -> World {
    let world = world();
    world.set("MTP_RELAY", &format!("localhost:{}", server.port())).set("MTP_USER", "matomo").set("MTP_PASS", PASSWORD);
    world
}

#[test]
fn a_05_03_the_password_arrives_byte_for_byte() {
    for mechanism in ["PLAIN", "LOGIN"] {
        let server = MailServer::start(Manners { auth: Auth::InTls(mechanism), ..Manners::default() });
        let world = through(&server);
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
        let world = through(&server);
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
fn a_05_06_a_relay_without_tls_never_sees_the_password() {
    for level in ["may", "encrypt", "secure"] {
        let server =
            MailServer::start(Manners { tls: Tls::Never, auth: Auth::Always("PLAIN LOGIN"), ..Manners::default() });
        let world = through(&server);
        fs::write(world.path("ca.pem"), server.authority().pem()).unwrap();
        world.set("SMTP_TLS_SECURITY_LEVEL", level).set("MTP_CA_FILE", &world.path("ca.pem").to_string_lossy());
        let relay = world.start();
        relay.takes("a@example.org", "b@example.net", MESSAGE);
        relay.says(&["WARN", "status=deferred"]);
        assert!(server.logins().is_empty() && !server.wire_holds(PASSWORD.as_bytes()), "{level}");
        // The relay learns TLS; nothing is restarted.
        server.behave(|manners| manners.tls = Tls::StartTls);
        assert!(server.receives(1)[0].in_tls, "{level}");
        assert!(!server.wire_holds(PASSWORD.as_bytes()), "{level}");
        assert_eq!(server.logins()[0].password, PASSWORD);
    }
}

#[test]
fn a_05_07_an_unknown_authority_is_not_trusted_until_it_is_named() {
    let server = MailServer::start(Manners::default());
    let world = through(&server);
    world.set("SMTP_TLS_SECURITY_LEVEL", "secure");
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    relay.says(&["status=deferred", "Server certificate not verified"]);
    assert!(server.logins().is_empty());
    relay.stops().with(0);
    fs::write(world.path("ca.pem"), server.authority().pem()).unwrap();
    world.set("MTP_CA_FILE", &world.path("ca.pem").to_string_lossy());
    let relay = world.start();
    assert!(server.receives(1)[0].logged_in);
    relay.says(&["Verified TLS connection established"]);
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
    let world = through(&server);
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

/// Every way a relay may speak: TLS never, after STARTTLS, from the first byte; logins offered early or only inside.
fn all_manners() -> Vec<Manners> {
    let mut all = Vec::new();
    for tls in [Tls::Never, Tls::StartTls, Tls::Implicit] {
        for auth in [Auth::Always("PLAIN LOGIN"), Auth::InTls("PLAIN LOGIN")] {
            all.push(Manners { tls, auth, rejects_login: tls != Tls::Never, ..Manners::default() });
        }
    }
    all
}

/// Starts the relay with these variables and lets it try every kind of server; the password is never in the clear.
fn no_password_in_the_clear(variables: &[(&str, &str)]) {
    let server = MailServer::start(all_manners()[0]);
    let world = through(&server);
    for (name, value) in variables {
        world.set(name, value);
    }
    // A server that waits for TLS says nothing to a client that waits for its greeting.
    world.set("POSTFIX_smtp_helo_timeout", "1s").set("POSTFIX_smtp_starttls_timeout", "2s");
    let relay = world.launch(&[], &["run"]);
    let begin = Instant::now();
    while !relay.log().contains("ready to accept mail") {
        if relay.log().contains("settings cannot be used") || relay.log().contains("setting cannot be used") {
            // What would be unsafe does not start at all.
            relay.ends().with(SETTINGS).never_says(PASSWORD);
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{}", relay.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    for manners in all_manners() {
        server.behave(|current| *current = manners);
        // Some levels never connect; every attempt leaves a line.
        let attempts = || server.connections() + relay.log().matches("status=deferred").count();
        let before = attempts();
        // The first connection may have begun under the manners before.
        let begin = Instant::now();
        while attempts() < before + 3 {
            assert!(begin.elapsed() < Duration::from_secs(60), "{variables:?} {manners:?}\n{}", relay.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!server.wire_holds(PASSWORD.as_bytes()), "{variables:?} {manners:?}");
        assert!(server.logins().iter().all(|login| login.in_tls), "{variables:?} {manners:?}");
    }
    assert!(!relay.log().contains(PASSWORD));
}

macro_rules! combinations {
    ($($name:ident: $variables:expr),* $(,)?) => { $(
        #[test]
        fn $name() {
            no_password_in_the_clear(&$variables);
        }
    )* };
}

const LEVEL: &str = "SMTP_TLS_SECURITY_LEVEL";
const MODE: &str = "MTP_TLS_MODE";
const NO_TLS_BY_POLICY: (&str, &str) = ("POSTFIX_smtp_tls_policy_maps", "static:none");
const MAY_BY_POLICY: (&str, &str) = ("POSTFIX_smtp_tls_policy_maps", "static:may");

combinations! {
    no_password_in_the_clear_by_default: [],
    no_password_in_the_clear_by_default_with_a_policy: [NO_TLS_BY_POLICY],
    no_password_in_the_clear_at_level_none: [(LEVEL, "none")],
    no_password_in_the_clear_at_level_may: [(LEVEL, "may")],
    no_password_in_the_clear_at_level_may_with_a_policy: [(LEVEL, "may"), NO_TLS_BY_POLICY],
    no_password_in_the_clear_at_level_encrypt_with_a_policy: [(LEVEL, "encrypt"), MAY_BY_POLICY],
    no_password_in_the_clear_at_level_dane: [(LEVEL, "dane")],
    no_password_in_the_clear_at_level_verify_with_a_policy: [(LEVEL, "verify"), NO_TLS_BY_POLICY],
    no_password_in_the_clear_at_level_secure: [(LEVEL, "secure")],
    no_password_in_the_clear_with_implicit_tls: [(MODE, "implicit")],
    no_password_in_the_clear_with_implicit_tls_at_level_may: [(MODE, "implicit"), (LEVEL, "may")],
    no_password_in_the_clear_with_implicit_tls_with_a_policy: [(MODE, "implicit"), NO_TLS_BY_POLICY],
    no_password_in_the_clear_with_starttls_and_old_switches: [(MODE, "starttls"), ("POSTFIX_smtp_use_tls", "no"), ("POSTFIX_smtp_enforce_tls", "no")],
}

#[test]
fn no_password_in_the_clear_by_passing_the_options_through() {
    for name in [
        "smtp_sasl_security_options",
        "smtp_sasl_tls_security_options",
        "smtp_tls_security_level",
        "smtp_sasl_password_maps",
    ] {
        let world = world();
        world.set(&format!("POSTFIX_{name}"), "noanonymous");
        world.run(&["run"]).with(SETTINGS).says(&[name, "cannot be passed through"]);
    }
}

#[test]
fn a_relay_in_any_mood_loses_nothing_and_is_told_as_it_is() {
    let server = MailServer::start(Manners { mood: Mood::Greylists, ..Manners::default() });
    let world = through(&server);
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
    let world = through(&server);
    world.unset("MTP_USER").unset("MTP_PASS");
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    relay.says(&["ERROR", "the relay wants a login and got none"]);
    world.run(&["queue"]).with(0).says(&["b@example.net", "authentication required (530)"]);
    relay.stops().with(0);
    world.set("MTP_USER", "matomo").set("MTP_PASS", PASSWORD);
    let _relay = world.start();
    assert_eq!(server.receives(1)[0].to, ["b@example.net"]);
}

#[test]
fn clients_and_senders_that_may_not_send_are_refused() {
    let server = MailServer::start(Manners::default());
    let world = through(&server);
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
    let world = through(&server);
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
fn a_test_message_says_what_became_of_it() {
    let server = MailServer::start(Manners::default());
    let world = through(&server);
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
    let world = through(&server);
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
