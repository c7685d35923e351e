//! No password leaves unencrypted, whatever is set and however the relay behaves.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::{Duration, Instant};

use tests::mail::{Auth, MailServer, Manners, Tls};
use tests::postfix::{PASSWORD, SETTINGS, World};

const MESSAGE: &str = "Subject: report\n\nVisits: 42";

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_postfix-config"))
}

#[test]
fn a_05_06_a_relay_without_tls_never_sees_the_password() {
    for level in ["may", "encrypt", "secure"] {
        let server =
            MailServer::start(Manners { tls: Tls::Never, auth: Auth::Always("PLAIN LOGIN"), ..Manners::default() });
        let world = world().through(&server);
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
    let world = world().through(&server);
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
    let world = world().through(&server);
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
fn no_digest_of_the_password_leaves_without_tls() {
    for mechanisms in ["CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "NTLM"] {
        let server =
            MailServer::start(Manners { tls: Tls::Never, auth: Auth::Always(mechanisms), ..Manners::default() });
        let world = world().through(&server);
        world.set("SMTP_TLS_SECURITY_LEVEL", "may");
        let relay = world.start();
        relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
        relay.says(&["WARN", "status=deferred"]);
        let tried: Vec<String> = server.commands().into_iter().filter(|command| command.starts_with("AUTH")).collect();
        assert!(tried.is_empty(), "{mechanisms}: {tried:?}");
        drop(relay);
    }
}
