//! What the relay answers to a person who asks: a test message, and a talk with the server of the provider.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::Ipv6Addr;
use std::time::Duration;

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

/// Runs the probe, which must end so, and sends no mail whatever it finds.
#[track_caller]
fn probed(world: &World, server: &MailServer, code: i32, words: &[&str]) {
    world.run(&["check", "--probe"]).with(code).says(words).never_says(PASSWORD);
    assert!(server.messages().is_empty() && !server.commands().iter().any(|command| command == "DATA"));
}

#[test]
fn the_probe_uses_the_protocols_of_postfix_and_tries_every_address() {
    let server =
        MailServer::start_at((Ipv6Addr::LOCALHOST, 0).into(), Manners { auth: Auth::Nobody, ..Manners::default() });
    let server = server.expect("an IPv6 loopback");
    let world = world();
    world.set("MTP_RELAY", &format!("dual.test:{}", server.port())).set("MTP_SENDER", "reports@example.org");
    fs::write(world.path("hosts"), "127.0.0.1 localhost dual.test\n::1 dual.test\n").unwrap();
    let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", world.path("hosts").display());
    let probe = || world.run_by(&["unshare", "-m", "sh", "-c", &script, "sh"], &["check", "--probe"]);
    probe().with(69).says(&["FAULT", "TCP: cannot connect to 127.0.0.1"]).never_says("::1");
    world.set("MTP_PROTOCOLS", "all");
    let ended = probe().with(0).says(&["advice", "127.0.0.1", "refused"]);
    ended.says(&["ok", "TCP: connected to [::1]"]).says(&["ok", "Postfix itself"]);
    world.set("MTP_PROTOCOLS", "ipv6").set("MTP_INTERFACES", "::1");
    probe().with(0).says(&["ok", "Postfix itself"]).never_says("127.0.0.1");
    assert!(server.messages().is_empty());
}

#[test]
fn the_probe_logs_in_as_postfix_would_and_says_no_where_postfix_fails() {
    let server = MailServer::start(Manners { auth: Auth::InTls("NTLM LOGIN"), ..Manners::default() });
    let world = world().through(&server);
    probed(&world, &server, 0, &["ok", "AUTH: the relay takes the login of matomo"]);
    assert!(server.logins().iter().all(|login| login.mechanism == "LOGIN" && login.password == PASSWORD));
    server.behave(|manners| manners.auth = Auth::InTls("NTLM GSSAPI"));
    probed(&world, &server, 69, &["FAULT", "AUTH", "NTLM GSSAPI"]);
    // Postfix takes the strongest, which this server does not really speak, and no other.
    server.behave(|manners| manners.auth = Auth::InTls("CRAM-MD5 PLAIN LOGIN"));
    probed(&world, &server, 69, &["FAULT", "Postfix itself", "SASL authentication failed"]);
    world.set("POSTFIX_smtp_sasl_mechanism_filter", "!cram-md5, static:all");
    probed(&world, &server, 0, &["ok", "Postfix itself", "250 2.1.5"]);
    world.set("POSTFIX_smtp_sasl_mechanism_filter", "cram-md5");
    probed(&world, &server, 69, &["FAULT", "Postfix itself"]);
}

#[test]
fn the_probe_goes_as_far_as_a_recipient_without_sending_mail() {
    let server = MailServer::start(Manners { auth: Auth::Nobody, ..Manners::default() });
    let world = world().through(&server);
    world.unset("MTP_USER").unset("MTP_PASS").set("MTP_SENDER", "reports@example.org");
    for (command, reply, code, words) in [
        ("RCPT", "554 5.7.1 <postmaster@example.com>: Relay access denied", 69, ["FAULT", "Relay access denied"]),
        ("RCPT", "450 4.7.1 greylisted", 69, ["FAULT", "greylisted"]),
        ("MAIL", "550 5.7.60 you may not send as this sender", 69, ["FAULT", "you may not send"]),
        ("MAIL", "553 5.1.8 no such sender", 69, ["FAULT", "no such sender"]),
        ("RCPT", "550 whatever this may mean", 69, ["FAULT", "whatever this may mean"]),
        ("RCPT", "550 5.1.10 example.com takes no mail", 0, ["advice", "example.com takes no mail"]),
    ] {
        server.behave(|manners| manners.says = Some((command, reply)));
        probed(&world, &server, code, &words);
    }
    server.behave(|manners| manners.says = None);
    // Beside the Postfix that runs, too, which does not notice.
    let relay = world.start();
    let before = relay.log();
    probed(&world, &server, 0, &["ok", "Postfix itself", "reports@example.org"]);
    assert_eq!(relay.log(), before);
    assert!(server.commands().iter().any(|command| command.starts_with("MAIL FROM:<reports@example.org>")));
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    server.receives(1);
}

#[test]
fn the_probe_waits_as_long_as_postfix_and_no_longer() {
    let late = Mood::GreetsLate(Duration::from_secs(12));
    let server = MailServer::start(Manners { mood: late, ..Manners::default() });
    let world = world().through(&server);
    probed(&world, &server, 0, &["ok", "Postfix itself"]);
    server.behave(|manners| manners.mood = Mood::GreetsLate(Duration::from_secs(4)));
    world.set("POSTFIX_smtp_helo_timeout", "2s");
    probed(&world, &server, 69, &["FAULT", "greeting: the relay says nothing for 2 seconds"]);
    // What one service has otherwise than the rest, only Postfix itself knows.
    world.unset("POSTFIX_smtp_helo_timeout").set("POSTFIXMASTER_smtp__unix__smtp_helo_timeout", "2s");
    probed(&world, &server, 69, &["FAULT", "Postfix itself", "timed out"]);
}

#[test]
fn the_probe_needs_little_room_and_never_waits_for_what_cannot_come() {
    let server = MailServer::start(Manners { auth: Auth::Nobody, ..Manners::default() });
    let world = world().through(&server);
    world.unset("MTP_USER").unset("MTP_PASS");
    fs::create_dir(world.path("conf")).unwrap();
    let script = format!("mount -t tmpfs -o size=2m none {} && exec \"$@\"", world.path("conf").display());
    let probe = || world.run_by(&["unshare", "-m", "sh", "-c", &script, "sh"], &["check", "--probe"]);
    probe().with(0).says(&["ok", "Postfix itself"]);
    // A smtpd that takes no sender at all.
    world.set("POSTFIX_smtpd_helo_required", "yes").set("POSTFIX_smtpd_command_filter", "regexp:{{/^MAIL.*/ NOOP}}");
    probe().with(69).says(&["FAULT", "Postfix itself could not be tried"]);
}

#[test]
fn a_probe_by_another_user_than_root_is_no_yes() {
    let server = MailServer::start(Manners { auth: Auth::Nobody, ..Manners::default() });
    let world = world().through(&server);
    world.unset("MTP_USER").unset("MTP_PASS");
    let program = world.path("copy");
    fs::copy(env!("CARGO_BIN_EXE_postfix-config"), &program).unwrap();
    fs::create_dir(world.path("conf")).unwrap();
    std::os::unix::fs::chown(world.path("conf"), Some(1000), Some(1000)).unwrap();
    // The folder of the build may be closed to others, so a copy is run, where everybody may look.
    let script = format!("exec {} check --probe", program.display());
    let by = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "sh", "-c", script.as_str()];
    world.run_by(&by, &[]).with(69).says(&["FAULT", "Postfix itself", "root"]);
}
