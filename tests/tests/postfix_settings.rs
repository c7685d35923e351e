//! What operators write into the variables, what Postfix makes of it, and what is refused before anything starts.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use tests::mail::{MailServer, Manners};
use tests::postfix::{SETTINGS, World, greeting};
use tests::repository::root;

const SECRET: &str = "S3CR3T-pa55";

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_postfix-config"))
}

fn with_login() -> World {
    let world = world();
    world.set("MTP_RELAY", "localhost:2").set("MTP_USER", "matomo").set("MTP_PASS", SECRET);
    world
}

#[test]
fn a_05_02_every_bad_value_is_named_and_nothing_starts() {
    let long = "a".repeat(64);
    let trailing = format!("{SECRET} ");
    let two_lines = format!("{SECRET}\n[evil]:25 a:b");
    for (name, value) in [
        ("MTP_HOST", " "),
        ("MTP_HOST", "a b"),
        ("MTP_HOST", "a\nrelayhost = evil"),
        ("MTP_HOST", "a/b"),
        ("MTP_HOST", "-a"),
        ("MTP_HOST", "a..b"),
        ("MTP_HOST", "[10.0.0.1]"),
        ("MTP_HOST", "bücher.example"),
        ("MTP_HOST", long.as_str()),
        ("MTP_RELAY", "[[h]]"),
        ("MTP_RELAY", "h:0"),
        ("MTP_RELAY", "h:70000"),
        ("MTP_RELAY", "h:abc"),
        ("MTP_RELAY", "[a b]:25"),
        ("MTP_RELAY", "2001:db8::1"),
        ("MTP_RELAY", "a$b"),
        ("MTP_PORT", "0"),
        ("MTP_PORT", "70000"),
        ("MTP_PORT", "abc"),
        ("MTP_PORT", "3"),
        ("MTP_USER", "a:b"),
        ("MTP_USER", "a\nb"),
        ("MTP_USER", ""),
        ("MTP_PASS", trailing.as_str()),
        ("MTP_PASS", two_lines.as_str()),
        ("MTP_PASS", ""),
        ("MTP_NETWORKS", "10.0.0.1/8"),
        ("MTP_NETWORKS", "10.0.0.0/33"),
        ("MTP_NETWORKS", "hash:/etc/passwd"),
        ("SMTP_TLS_SECURITY_LEVEL", "bogus"),
        ("SMTP_TLS_SECURITY_LEVEL", "none"),
        ("SMTPD_TLS_SECURITY_LEVEL", "bogus"),
        ("SMTPD_TLS_SECURITY_LEVEL", "encrypt"),
        ("MTP_TLS_MODE", "ssl"),
        ("MTP_PROTOCOLS", "ipv5"),
        ("MTP_INTERFACES", "eth0:1"),
        ("MTP_MS_SIZE_LIMIT", "large"),
        ("MTP_MS_SIZE_LIMIT", "-1"),
        ("MTP_BANNER", "a\nb"),
        ("MTP_DESTINATION", "a b@c"),
        ("MTP_RELAY_DOMAINS", "a$b"),
        ("MTP_ALLOWED_SENDER_DOMAINS", "a=OK}"),
        ("MTP_SENDER", "nobody"),
        ("MTP_MESSAGES_PER_MINUTE", "61"),
        ("MTP_CA_FILE", "ca.pem"),
        ("MTP_CONFIG_DIR", "/tmp/a b"),
        ("TZ", "Europe/Nowhere"),
        ("POSTFIX_relayhost", "evil"),
        ("POSTFIX_biff", "a\nrelayhost = evil"),
    ] {
        let world = with_login();
        world.set(name, value);
        let ended = world.run(&["run"]).with(SETTINGS).says(&[name]).never_says(SECRET);
        assert!(!ended.output.contains("Postfix starts"), "{name}={value:?}\n{ended}");
        assert!(!world.path("queue").exists(), "{name}={value:?} touched the queue");
    }
}

#[test]
fn a_05_02_values_in_files_meet_the_same_rules() {
    for (content, good) in [
        (format!("{SECRET}\n"), true),
        (format!("{SECRET}\r\n"), true),
        (format!("{SECRET}\n\n"), false),
        (format!("{SECRET} \n"), false),
        (format!("{SECRET}\0"), false),
        (String::new(), false),
    ] {
        let world = with_login();
        fs::write(world.path("secret"), &content).unwrap();
        world.unset("MTP_PASS").set("MTP_PASS_FILE", &world.path("secret").to_string_lossy());
        let ended = world.run(&["check"]).never_says(SECRET);
        assert_eq!(ended.status.code(), Some(if good { 0 } else { SETTINGS }), "{content:?}\n{ended}");
    }
    let world = with_login();
    world.set("MTP_PASS_FILE", "/dev/null");
    world.run(&["check"]).with(SETTINGS).says(&["MTP_PASS and MTP_PASS_FILE are both set"]);
}

#[test]
fn what_only_postfix_knows_is_refused_by_name() {
    for (name, value, words) in [
        ("POSTFIX_no_such_parameter", "1", "POSTFIX_no_such_parameter: no_such_parameter is no parameter"),
        ("POSTFIX_smtp_helo_name", "$no_such_name", "POSTFIX_smtp_helo_name: a value fills in $no_such_name, which"),
        (
            "POSTFIXMASTER_submission__inet",
            "submission inet n - n - - smtpd -o no_such=1",
            "POSTFIXMASTER_submission__inet: no_such is no parameter of this Postfix",
        ),
        ("POSTFIXMASTER_smtp__unix__no_such", "1", "POSTFIXMASTER_smtp__unix__no_such: no_such is no parameter"),
        ("POSTFIX_ipc_timeout", "abc", "look at POSTFIX_ipc_timeout"),
        ("MTP_INTERFACES", "192.0.2.1", "look at MTP_INTERFACES"),
        ("MTP_CA_FILE", "/no/such/file", "MTP_CA_FILE names /no/such/file, which cannot be read"),
        ("MTP_CA_FILE", "/etc/passwd", "MTP_CA_FILE names /etc/passwd, which holds no certificate"),
    ] {
        let world = with_login();
        world.set(name, value);
        let ended = world.run(&["run"]).with(SETTINGS).says(&[words]).never_says(SECRET);
        assert!(!ended.output.contains("Postfix starts"), "{ended}");
        world.run(&["check"]).with(SETTINGS).says(&["FAULT", words]);
    }
}

#[test]
fn a_05_04_a_banner_is_seen_as_it_was_written() {
    let world = world();
    world.set("MTP_RELAY", "localhost:2").set("MTP_BANNER", "a $x $$ ${");
    let relay = world.start();
    assert_eq!(greeting(world.listens_at()), "220 a $x $$ ${");
    drop(relay);
    world.set("MTP_BANNER", "$myhostname says #hello = \"you\"");
    let _relay = world.start();
    assert_eq!(greeting(world.listens_at()), "220 relay.example says #hello = \"you\"");
}

#[test]
fn a_05_12_a_variable_that_is_taken_away_takes_its_setting_away() {
    let world = with_login();
    world.set("MTP_BANNER", "hello").set("MTP_HEADER_PRIVACY", "yes").set("POSTFIX_maximal_queue_lifetime", "2d");
    world.start().stops().with(0);
    for name in ["smtpd_banner", "smtp_sasl_auth_enable", "smtp_header_checks", "maximal_queue_lifetime"] {
        assert!(world.parameter(name).is_some(), "{name}");
    }
    for name in ["MTP_BANNER", "MTP_HEADER_PRIVACY", "POSTFIX_maximal_queue_lifetime", "MTP_USER", "MTP_PASS"] {
        world.unset(name);
    }
    world.start().stops().with(0);
    for name in ["smtpd_banner", "smtp_sasl_auth_enable", "smtp_header_checks", "maximal_queue_lifetime"] {
        assert_eq!(world.parameter(name), None);
    }
    assert!(!world.path("conf/relay_passwd").exists() && !world.path("conf/header_privacy").exists());
}

#[test]
fn a_05_15_postfix_has_no_objection_to_any_shape() {
    let shapes = root().join("bins/postfix-config/src/golden");
    let mut count = 0;
    for shape in fs::read_dir(shapes).unwrap().map(|entry| entry.unwrap().path()) {
        let world = world();
        let environment = fs::read_to_string(shape.join("environment")).unwrap();
        for (name, value) in environment.lines().filter_map(|line| line.split_once('=')) {
            // Where files and addresses are named, this machine has others.
            let ours = world.path("x").to_string_lossy().into_owned();
            let value = if value.starts_with("/run/secrets") { ours } else { value.to_owned() };
            if !["MTP_INTERFACES", "MTP_PROTOCOLS", "MTP_LISTEN_PORT"].contains(&name) {
                world.set(name, &value);
            }
        }
        let folder = world.path("generated");
        fs::create_dir(world.path("data")).unwrap();
        let postfix = Command::new("chown").arg("postfix").arg(world.path("data")).status().unwrap();
        assert!(postfix.success());
        fs::create_dir(world.path("queue")).unwrap();
        world.run(&["generate", "--with-secrets", "--out", &folder.to_string_lossy()]).with(0);
        for words in [
            &["postconf", "-n"][..],
            &["postconf", "-M"],
            &["postmap", "-q", "probe", "inline:{probe=ok}"],
            &["postfix", "check"],
        ] {
            let ended = Command::new(words[0])
                .arg("-c")
                .arg(&folder)
                .args(&words[1..])
                .env("PATH", "/usr/sbin:/usr/bin:/bin")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(ended.status.success() && said.is_empty(), "{} {words:?}: {said}", shape.display());
        }
        count += 1;
    }
    assert!(count >= 7);
}

#[test]
fn generate_and_print_hide_the_password_unless_asked() {
    let world = with_login();
    let folder = world.path("generated");
    let out = folder.to_string_lossy().into_owned();
    world
        .run(&["print"])
        .with(0)
        .says(&["[localhost]:2 matomo:(hidden)"])
        .says(&["relayhost = [localhost]:2"])
        .never_says(SECRET);
    assert!(!world.path("conf").exists());
    world.run(&["generate", "--out", &out]).with(0).says(&["main.cf"]);
    assert_eq!(fs::read_to_string(folder.join("relay_passwd")).unwrap(), "[localhost]:2 matomo:(hidden)\n");
    world.run(&["generate", "--out", &out, "--with-secrets"]).with(0).never_says(SECRET);
    assert_eq!(fs::read_to_string(folder.join("relay_passwd")).unwrap(), format!("[localhost]:2 matomo:{SECRET}\n"));
    assert_eq!(fs::metadata(folder.join("relay_passwd")).unwrap().mode() & 0o7777, 0o600);
    world
        .run(&["generate", "--out", &world.path("conf").to_string_lossy()])
        .with(64)
        .says(&["the running configuration"]);
    world.run(&["generate", "--out", "/tmp/a b"]).with(64);
}

/// Letters that mean something to a shell, to `main.cf`, or to a table.
const ODD: [&str; 10] = ["\"a\" b", "a  b", "#a", "a#b", "a:b", "$a", "${a", "a\nb", " a", "ü"];

#[test]
fn c_146_every_variable_with_every_odd_letter_is_refused_or_means_itself() {
    let names = [
        "MTP_HOST",
        "MTP_RELAY",
        "MTP_PORT",
        "MTP_USER",
        "MTP_PASS",
        "MTP_BANNER",
        "MTP_DESTINATION",
        "MTP_RELAY_DOMAINS",
        "MTP_INTERFACES",
        "MTP_PROTOCOLS",
        "MTP_MS_SIZE_LIMIT",
        "SMTP_TLS_SECURITY_LEVEL",
        "SMTPD_TLS_SECURITY_LEVEL",
        "MTP_NETWORKS",
        "MTP_SENDER",
        "MTP_MASQUERADE_DOMAINS",
        "MTP_ALLOWED_SENDER_DOMAINS",
        "MTP_DKIM_MILTER",
    ];
    let usual = parameters(&with_login());
    for name in names {
        for odd in ODD {
            let world = with_login();
            world.set(name, odd);
            let ended = world.run(&["print"]);
            if ended.status.code() != Some(0) {
                assert_eq!(ended.status.code(), Some(SETTINGS), "{name}={odd:?}\n{ended}");
                assert!(ended.output.contains(name), "{name}={odd:?}\n{ended}");
                continue;
            }
            let parameters = parameters(&world);
            let changed: Vec<&String> = parameters.iter().filter(|line| !usual.contains(line)).collect();
            let companion = |line: &&&String| COMPANIONS.iter().any(|name| line.starts_with(name));
            let alone = changed.iter().filter(|line| !companion(line)).count();
            assert!(alone <= 1, "{name}={odd:?} changes {changed:?}");
        }
    }
}

/// Parameters that are set together with another one, by one variable.
const COMPANIONS: [&str; 3] =
    ["local_header_rewrite_clients = permit_mynetworks", "non_smtpd_milters = ", "milter_default_action = accept"];

/// The settings as Postfix reads them.
fn parameters(world: &World) -> Vec<String> {
    let folder = Path::new("/tmp").join(format!("c-146-{}-{}", std::process::id(), world.listens_at().port()));
    let out = folder.to_string_lossy().into_owned();
    world.run(&["generate", "--out", &out]).with(0);
    let ended = Command::new("postconf")
        .arg("-c")
        .arg(&folder)
        .arg("-n")
        .env("PATH", "/usr/sbin:/usr/bin:/bin")
        .output()
        .unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    // The folders of this world are not what is compared.
    text.lines()
        .filter(|line| !["_directory = ", "texthash:", "regexp:"].iter().any(|place| line.contains(place)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn c_146_odd_letters_reach_the_relay_and_the_client_as_they_are() {
    for password in ["\"quoted\"", "a  b", "#a", "a:b", "$a ${b $$", " a", "ü'\\", "'"] {
        let server = MailServer::start(Manners::default());
        let world = world();
        world
            .set("MTP_RELAY", &format!("localhost:{}", server.port()))
            .set("MTP_USER", "#us er$ü\"")
            .set("MTP_PASS", password);
        world.run(&["check", "--probe"]).with(0).says(&["AUTH: the relay takes the login"]);
        let relay = world.start();
        relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
        server.receives(1);
        for login in server.logins() {
            assert_eq!((login.user.as_str(), login.password.as_str()), ("#us er$ü\"", password));
        }
        assert_eq!(server.logins().len(), 3, "two of the probe (our own, and Postfix tried), one of Postfix");
    }
}

#[test]
fn one_wrong_value_is_one_reason() {
    let world = with_login();
    world.set("MTP_INTERFACES", "127.23.0.1");
    world.run(&["run"]).with(78).says(&["MTP_INTERFACES"]).never_says("password map");
}
