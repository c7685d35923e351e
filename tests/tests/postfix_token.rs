//! A login by access token (XOAUTH2) in place of a password: through the real Postfix and our gate to the provider.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use tests::acceptance::wait_until;
use tests::mail::{Auth, MailServer, Manners, Mood, Tls};
use tests::postfix::{PASSWORD, Relay, SETTINGS, World};
use tests::sshd::free_port;
use tests::tokens::TokenServer;

const MESSAGE: &str = "Subject: report\n\nVisits: 42";
const LASTING: &str = "1//lasting+token/of=ours";
const CLIENT_SECRET: &str = "cl1ent s&cret";

/// Real providers offer the mechanisms for passwords as well.
fn provider() -> Manners {
    Manners { auth: Auth::InTls("LOGIN PLAIN XOAUTH2"), ..Manners::default() }
}

fn world(server: &MailServer) -> World {
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config")).through(server);
    world.set("MTP_USER", "reports@example.org").unset("MTP_PASS");
    world.set("MTP_OAUTH_PORT", &free_port().to_string());
    world
}

/// With tokens of this server.
fn fetching(server: &MailServer, tokens: &TokenServer) -> World {
    let world = world(server);
    world.set("MTP_OAUTH_TOKEN_URL", &tokens.url()).set("MTP_OAUTH_CLIENT_ID", "relay");
    world.set("MTP_OAUTH_CLIENT_SECRET", CLIENT_SECRET).set("MTP_OAUTH_REFRESH_TOKEN", LASTING);
    world
}

/// Waits until it has told of so many tokens.
fn new_tokens(relay: &Relay, count: usize) {
    wait_until("there is a new token", || relay.log().matches("there is a new token for the relay").count() >= count);
}

#[track_caller]
fn logged_in_by(server: &MailServer, token: &str) {
    let logins = server.logins();
    let last = logins.last().unwrap();
    assert_eq!(
        (last.mechanism.as_str(), last.user.as_str(), last.password.as_str(), last.in_tls),
        ("XOAUTH2", "reports@example.org", token, true)
    );
}

#[test]
fn a_token_is_fetched_used_and_renewed_before_its_end() {
    let server = MailServer::start(provider());
    let tokens = TokenServer::giving("ya29.first-token_~", 4);
    let world = fetching(&server, &tokens);
    let relay = world.start();
    relay.says(&["mail leaves", "with a login by token (XOAUTH2)"]);
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    assert!(server.receives(1)[0].logged_in);
    logged_in_by(&server, "ya29.first-token_~");
    let form = "grant_type=refresh_token&client_id=relay&refresh_token=1%2F%2Flasting%2Btoken%2Fof%3Dours&client_secret=cl1ent%20s%26cret";
    assert_eq!(tokens.asked()[0], form);
    assert!(!world.path("conf/relay_passwd").exists(), "a token is in no file of Postfix");

    tokens.gives("ya29.second", 4);
    new_tokens(&relay, 2);
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    server.receives(2);
    logged_in_by(&server, "ya29.second");
    let log = relay.stops().with(0);
    for secret in ["ya29", LASTING, CLIENT_SECRET] {
        assert!(!log.output.contains(secret), "{log}");
    }
}

#[test]
fn without_a_token_mail_waits_and_leaves_with_the_first_one() {
    let server = MailServer::start(provider());
    let tokens = TokenServer::giving("", 0);
    tokens.answers(400, r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#);
    let world = fetching(&server, &tokens);
    let relay = world.start();
    let letter =
        relay.says(&["ERROR", "there is no token for the relay", "refuses a token: invalid_grant Token has been"]);
    assert!(letter.contains("MTP_OAUTH_REFRESH_TOKEN") && !letter.contains(LASTING), "{letter}");
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    relay.says(&["WARN", "status=deferred", "there is no token yet"]);
    assert_eq!((server.connections(), server.logins().len()), (0, 0), "nobody knocks without a token");
    world.run(&["check", "--probe"]).with(69).says(&["FAULT", "token:", "invalid_grant"]);

    tokens.gives("t0ken", 3_600);
    assert!(server.receives(1)[0].logged_in);
    logged_in_by(&server, "t0ken");
    world.run(&["check", "--probe"]).with(0).says(&["AUTH: the relay takes the login of reports@example.org"]);
    // A server that is gone is no reason to refuse mail either.
    relay.stops().with(0);
    world.set("MTP_OAUTH_TOKEN_URL", "http://127.0.0.1:9/token");
    let relay = world.start();
    relay.says(&["ERROR", "there is no token for the relay", "cannot reach http://127.0.0.1:9/token"]);
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    relay.stops().with(0);
}

#[test]
fn a_token_that_the_relay_refuses_keeps_mail_waiting() {
    let server = MailServer::start(Manners { rejects_login: true, ..provider() });
    let tokens = TokenServer::giving("t0ken", 3_600);
    let world = fetching(&server, &tokens);
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    relay.says(&["WARN", "status=deferred", "AUTH: the relay says 535 5.7.8"]);
    relay.says(&["WARN", "the relay does not take mail with the token"]);
    world.run(&["check", "--probe"]).with(69).says(&["FAULT", "AUTH: the relay says 535 5.7.8"]);
    server.behave(|manners| manners.auth = Auth::InTls("PLAIN"));
    world.run(&["check", "--probe"]).with(69).says(&["FAULT", "no login by token (XOAUTH2)"]);
    server.behave(|manners| *manners = provider());
    assert!(server.receives(1)[0].logged_in);
    relay.stops().with(0).never_says("t0ken");
}

#[test]
fn a_token_in_a_file_is_used_as_somebody_else_renews_it() {
    let server = MailServer::start(provider());
    let world = world(&server);
    let file = world.path("token");
    world.set("MTP_OAUTH_TOKEN_FILE", &file.to_string_lossy());
    let relay = world.start();
    relay.says(&["ERROR", "there is no token for the relay", "cannot read the token in"]);
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    write(&file, "t0ken-1\n");
    server.receives(1);
    logged_in_by(&server, "t0ken-1");
    write(&file, "t0ken-2");
    new_tokens(&relay, 2);
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    server.receives(2);
    logged_in_by(&server, "t0ken-2");
    relay.stops().with(0).never_says("t0ken-");
}

fn write(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(beside, file).unwrap();
}

#[test]
fn a_lasting_token_that_is_replaced_is_kept_across_a_restart() {
    let server = MailServer::start(provider());
    let tokens = TokenServer::giving("", 0);
    tokens.answers(200, r#"{"access_token":"a","expires_in":3600,"refresh_token":"lasting-2"}"#);
    let world = fetching(&server, &tokens);
    world.start().stops().with(0).never_says("lasting-2").never_says("WARN");
    let kept = fs::metadata(world.path("queue/oauth-token.json")).unwrap();
    assert_eq!((kept.mode() & 0o7777, kept.uid()), (0o600, 0));
    world.start().stops().with(0).never_says("warning:");
    let asked = tokens.asked();
    assert!(asked[0].contains("lasting%2Btoken") && asked[1].contains("refresh_token=lasting-2&"), "{asked:?}");
    // Somebody has signed in anew: the old one is forgotten.
    world.set("MTP_OAUTH_REFRESH_TOKEN", "signed-in-anew").start().stops().with(0);
    assert!(tokens.asked()[2].contains("refresh_token=signed-in-anew&"));
}

#[test]
fn a_relay_without_tls_never_sees_the_token() {
    for level in ["may", "encrypt"] {
        let server = MailServer::start(Manners { tls: Tls::Never, auth: Auth::Always("XOAUTH2"), ..provider() });
        let tokens = TokenServer::giving("t0ken-in-the-clear", 3_600);
        let world = fetching(&server, &tokens);
        world.set("SMTP_TLS_SECURITY_LEVEL", level);
        let relay = world.start();
        relay.takes("a@example.org", "b@example.net", MESSAGE);
        relay.says(&["WARN", "status=deferred"]);
        assert!(server.logins().is_empty() && !server.wire_holds(b"t0ken-in-the-clear"), "{level}");
        server.behave(|manners| manners.tls = Tls::StartTls);
        server.receives(1);
        assert!(!server.wire_holds(b"t0ken-in-the-clear"), "{level}");
        logged_in_by(&server, "t0ken-in-the-clear");
    }
}

#[test]
fn the_certificate_is_looked_at_as_the_level_says() {
    let server = MailServer::start(provider());
    let tokens = TokenServer::giving("t0ken", 3_600);
    let world = fetching(&server, &tokens);
    world.set("SMTP_TLS_SECURITY_LEVEL", "secure");
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    relay.says(&["WARN", "status=deferred", "certificate:", "the level secure demands a trusted one"]);
    assert!(server.logins().is_empty());
    relay.stops().with(0);
    fs::write(world.path("ca.pem"), server.authority().pem()).unwrap();
    world.set("MTP_CA_FILE", &world.path("ca.pem").to_string_lossy());
    let relay = world.start();
    assert!(server.receives(1)[0].in_tls);
    relay.stops().with(0);
    // From the first byte.
    server.behave(|manners| manners.tls = Tls::Implicit);
    world.set("MTP_TLS_MODE", "implicit");
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    assert!(server.receives(2)[1].in_tls);
}

#[test]
fn a_message_passes_the_gate_whole_and_once_whatever_the_relay_does() {
    let server = MailServer::start(Manners { mood: Mood::Drops, ..provider() });
    let tokens = TokenServer::giving("t0ken", 3_600);
    let world = fetching(&server, &tokens);
    let relay = world.start();
    // Lines that begin with a dot, an empty one, and more than fits in one part.
    let text = format!("Subject: s\n\n..\n.a\n\n{}end", format!("{}\n", "x".repeat(60)).repeat(2_000));
    let stuffed = text.replace("\n.", "\n..");
    relay.takes("a@example.org", "b@example.net", &stuffed);
    relay.says(&["WARN", "status=deferred", "the connection to the relay broke"]);
    server.behave(|manners| manners.mood = Mood::Greylists);
    relay.says(&["WARN", "status=deferred", "greylisted"]);
    server.behave(|manners| manners.mood = Mood::Takes);
    let message = server.receives(1).remove(0);
    let body = text.split_once("\n\n").unwrap().1;
    assert!(message.text.ends_with(&format!("{body}\n")), "{}", &message.text[message.text.len() - 200..]);
    server.behave(|manners| manners.mood = Mood::Refuses);
    relay.takes("a@example.org", "gone@example.net", MESSAGE);
    relay.says(&["ERROR", "status=bounced", "550 5.1.1 no such user"]);
    relay.stops().with(0);
    assert_eq!(server.messages().iter().filter(|message| message.to == ["b@example.net"]).count(), 1);
}

#[test]
fn a_port_that_somebody_else_has_is_named() {
    let server = MailServer::start(provider());
    let tokens = TokenServer::giving("t0ken", 3_600);
    let world = fetching(&server, &tokens);
    world.set("MTP_OAUTH_PORT", &server.port().to_string());
    let ended = world.run(&["run"]).with(69).says(&["cannot listen on 127.0.0.1:"]).says(&["MTP_OAUTH_PORT"]);
    assert!(!ended.output.contains("Postfix starts"), "{ended}");
}

#[test]
fn what_does_not_make_a_login_by_token_is_named() {
    let server = MailServer::start(provider());
    let url = "https://login.example.org/token";
    for (variables, words) in [
        (&[("MTP_OAUTH_TOKEN_URL", url)][..], "MTP_OAUTH_TOKEN_URL is set, but fetching tokens needs"),
        (&[("MTP_OAUTH_REFRESH_TOKEN", LASTING)], "MTP_OAUTH_REFRESH_TOKEN is set, but fetching tokens needs"),
        (&[("MTP_OAUTH_TOKEN_FILE", "/t"), ("MTP_OAUTH_CLIENT_ID", "x")], "from a file or from a server"),
        (&[("MTP_OAUTH_TOKEN_FILE", "/t"), ("MTP_PASS", PASSWORD)], "MTP_PASS is set, and a token in its place"),
        (&[("MTP_OAUTH_TOKEN_FILE", "/t"), ("MTP_USER", "")], "MTP_USER is not set"),
        (&[("MTP_OAUTH_TOKEN_FILE", "/t"), ("MTP_RELAY", "")], "MTP_RELAY, which is not set"),
        (&[("MTP_OAUTH_TOKEN_FILE", "/t"), ("SMTP_TLS_SECURITY_LEVEL", "dane")], "does not know"),
        (&[("MTP_OAUTH_TOKEN_FILE", "/t"), ("SMTP_TLS_SECURITY_LEVEL", "none")], "never sent unencrypted"),
        (
            &[
                ("MTP_OAUTH_TOKEN_URL", "http://login.example.org/token"),
                ("MTP_OAUTH_CLIENT_ID", "x"),
                ("MTP_OAUTH_REFRESH_TOKEN", LASTING),
            ],
            "tokens are secrets: set an https:// address",
        ),
    ] {
        let world = world(&server);
        for (name, value) in variables {
            world.set(name, value);
        }
        world.run(&["check"]).with(SETTINGS).says(&[words]).never_says(LASTING).never_says(PASSWORD);
    }
    // The words of the image that most people come from.
    let world = world(&server);
    world.set("XOAUTH2_TOKEN_ENDPOINT", url).set("XOAUTH2_CLIENT_ID", "x").set("XOAUTH2_SECRET", CLIENT_SECRET);
    world.set("XOAUTH2_INITIAL_REFRESH_TOKEN", LASTING);
    world.run(&["check"]).with(0).says(&["with a login by token (XOAUTH2)"]).never_says(LASTING);
}

#[test]
fn a_stop_in_mid_delivery_and_a_refusal_are_met_as_without_a_token() {
    let server = MailServer::start(Manners { mood: Mood::Slow(Duration::from_secs(3)), ..provider() });
    let world = world(&server);
    write(&world.path("token"), "t0ken");
    world.set("MTP_OAUTH_TOKEN_FILE", &world.path("token").to_string_lossy()).set("SHUTDOWN_GRACE", "20s");
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", MESSAGE);
    wait_until("the message is with the relay", || server.commands().iter().any(|command| command == "DATA"));
    relay.stops().with(0).says(&["status=sent"]);
    let denied = ("RCPT", "554 5.7.1 <c@example.net>: Relay access denied");
    server.behave(|manners| *manners = Manners { says: Some(denied), ..provider() });
    let relay = world.start();
    relay.takes("a@example.org", "c@example.net", MESSAGE);
    relay.says(&["WARN", "status=deferred", "Relay access denied"]);
    server.behave(|manners| manners.says = None);
    let to: Vec<_> = server.receives(2).into_iter().flat_map(|message| message.to).collect();
    assert_eq!(to, ["b@example.net", "c@example.net"]);
}

#[test]
fn the_probe_with_a_token_goes_as_far_as_without_one() {
    let server = MailServer::start(provider());
    let world = world(&server);
    write(&world.path("token"), "t0ken");
    world.set("MTP_OAUTH_TOKEN_FILE", &world.path("token").to_string_lossy());
    // Beside a relay that runs and has the port of the gate.
    let _relay = world.start();
    let probe = |code: i32, words: &[&str]| world.run(&["check", "--probe"]).with(code).says(words).never_says("t0ken");
    for (refusal, code, words) in [
        (None, 0, ["ok", "Postfix itself: mail from reports@example.org is taken"]),
        (
            Some(("RCPT", "554 5.7.1 <postmaster@example.com>: Relay access denied")),
            69,
            ["FAULT", "Relay access denied"],
        ),
        (Some(("MAIL", "550 5.7.60 you may not send as this sender")), 69, ["FAULT", "you may not send"]),
    ] {
        server.behave(|manners| manners.says = refusal);
        probe(code, &words);
    }
    logged_in_by(&server, "t0ken");
    assert!(server.messages().is_empty() && !server.commands().iter().any(|command| command == "DATA"));
}
