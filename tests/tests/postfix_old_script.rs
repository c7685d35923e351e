//! Each defect that was found in the shell script that this relay replaces, as a test that it does not come back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use rustix::process::{Signal, kill_process};
use tests::mail::{MailServer, Manners};
use tests::postfix::{SETTINGS, World, family, no_family, submit};

fn world() -> World {
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config"));
    world.set("MTP_RELAY", "localhost:2");
    world
}

fn with_login() -> World {
    let world = world();
    world.set("MTP_USER", "matomo").set("MTP_PASS", "secret");
    world
}

#[test]
fn old_script_01_the_configuration_is_whole_before_postfix_starts() {
    let world = with_login();
    let relay = world.start();
    let log = relay.log();
    let place = log.find("configuration is in place").unwrap();
    assert!(place < log.find("Postfix starts").unwrap(), "{log}");
    // Not one program waited for a file that was too young.
    let age = SystemTime::now().duration_since(fs::metadata(world.path("conf/main.cf")).unwrap().modified().unwrap());
    assert!(age.unwrap() >= Duration::from_secs(9));
    assert!(!log.contains("overriding earlier entry"), "{log}");
}

#[test]
fn old_script_02_a_setup_that_fails_is_told_and_starts_nothing() {
    let world = world();
    world.set("POSTFIX_ipc_timeout", "abc");
    let ended = world.run(&["run"]).with(SETTINGS).says(&["POSTFIX_ipc_timeout"]);
    assert!(!ended.output.contains("Postfix starts") && family(&world.path("queue")).is_empty());
}

#[test]
fn old_script_03_a_postfix_that_dies_ends_the_container() {
    let world = world();
    let relay = world.start();
    kill_process(relay.master(), Signal::KILL).unwrap();
    relay.ends().with(1).says(&["Postfix ended by itself"]);
}

#[test]
fn old_script_04_a_stop_reaches_the_master_itself() {
    let world = world();
    let relay = world.start();
    relay.stops().with(0).says(&["Postfix stopped, as asked"]);
    no_family(&world.path("queue"));
}

#[test]
fn old_script_05_the_level_encrypt_is_written_once_and_stays() {
    let world = with_login();
    world.start().stops().with(0);
    let text = fs::read_to_string(world.path("conf/main.cf")).unwrap();
    assert_eq!(text.matches("smtp_tls_security_level").count(), 1, "{text}");
    assert_eq!(world.parameter("smtp_tls_security_level").as_deref(), Some("encrypt"));
}

#[test]
fn old_script_06_a_relay_without_port_or_login_is_still_the_relay() {
    let world = world();
    world.set("MTP_RELAY", "smtp.example.org");
    world.run(&["print"]).with(0).says(&["relayhost = [smtp.example.org]:25"]);
    world.set("MTP_USER", "u").run(&["print"]).with(SETTINGS).says(&["MTP_USER is set but MTP_PASS is not"]);
    world.set("MTP_PASS", "p").run(&["print"]).with(0).says(&["relayhost = [smtp.example.org]:587"]);
}

#[test]
fn old_script_07_nobody_but_root_reads_the_password() {
    let world = with_login();
    world.start().stops().with(0);
    assert_eq!(fs::metadata(world.path("conf/relay_passwd")).unwrap().mode() & 0o7777, 0o600);
    assert!(!world.path("conf/relay_passwd.db").exists());
}

#[test]
fn old_script_08_a_line_end_adds_no_line_to_the_password_map() {
    for name in ["MTP_PASS", "MTP_USER"] {
        let world = with_login();
        world.set(name, "a\n[other.example]:25 user:password");
        world.run(&["run"]).with(SETTINGS).says(&[name]);
        assert!(!world.path("conf").exists());
    }
}

#[test]
fn old_script_09_a_dollar_is_a_dollar() {
    let server = MailServer::start(Manners::default());
    let world = with_login();
    world
        .set("MTP_RELAY", &format!("localhost:{}", server.port()))
        .set("MTP_PASS", "a$b ${c")
        .set("MTP_BANNER", "5 $ or ${x");
    let relay = world.start();
    assert_eq!(tests::postfix::greeting(world.listens_at()), "220 5 $ or ${x");
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    server.receives(1);
    assert_eq!(server.logins()[0].password, "a$b ${c");
}

#[test]
fn old_script_10_the_allowed_networks_are_a_setting_with_both_protocols() {
    let world = world();
    world
        .run(&["print"])
        .with(0)
        .says(&["mynetworks = 127.0.0.0/8, [::1]/128, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, [fc00::]/7"]);
    world.set("MTP_NETWORKS", "10.1.0.0/16").run(&["print"]).with(0).says(&["mynetworks = 10.1.0.0/16"]);
}

#[test]
fn old_script_11_mail_to_the_relays_own_name_is_sent_on() {
    let world = world();
    let relay = world.start();
    let answer = submit(world.listens_at(), "a@example.org", &["anyone@relay.example"], "Subject: s\n\nt");
    assert!(answer.accepted(), "{answer:?}\n{}", relay.log());
    // Only what is named as ending here is refused, with a reason.
    drop(relay);
    world.set("MTP_DESTINATION", "here.example");
    let _relay = world.start();
    let answer = submit(world.listens_at(), "a@example.org", &["anyone@here.example"], "Subject: s\n\nt");
    assert!(answer.0.last().unwrap().contains("this relay has no mailboxes"), "{answer:?}");
}

#[test]
fn old_script_12_no_subject_is_logged() {
    let world = world();
    world.set("LOG_LEVEL", "trace");
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", "Subject: private matter\n\nt");
    relay.says(&["status=deferred"]);
    relay.stops().with(0).never_says("private matter");
}

#[test]
fn old_script_13_no_table_needs_a_further_run() {
    let world = with_login();
    world.set("MTP_HEADER_PRIVACY", "yes");
    world.start().stops().with(0);
    let mut names: Vec<_> = fs::read_dir(world.path("conf")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["header_privacy", "main.cf", "master.cf", "relay_passwd", "replies"]);
    let text = fs::read_to_string(world.path("conf/main.cf")).unwrap();
    assert!(!text.contains("hash:/etc") && !text.contains(" hash:"), "{text}");
}

#[test]
fn old_script_14_nothing_of_an_earlier_start_stays() {
    let world = world();
    world.set("MTP_BANNER", "old").start().stops().with(0);
    fs::write(world.path("conf/main.cf"), "relayhost = [forgotten.example]\nsmtpd_banner = old\n").unwrap();
    world.unset("MTP_BANNER").start().stops().with(0);
    let text = fs::read_to_string(world.path("conf/main.cf")).unwrap();
    assert!(!text.contains("forgotten") && !text.contains("smtpd_banner"), "{text}");
}

#[test]
fn old_script_15_the_authorities_of_this_image_are_used() {
    let world = world();
    world.run(&["print"]).with(0).says(&["smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt"]);
}
