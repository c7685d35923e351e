//! What may be wrong around Postfix when it starts: each works all the same, or ends with a clear line of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::{Duration, Instant};

use tests::mail::{Auth, MailServer, Manners};
use tests::postfix::World;

fn world() -> World {
    let world = World::new(env!("CARGO_BIN_EXE_postfix-config"));
    world.set("MTP_RELAY", "localhost:2");
    world
}

fn with_login() -> World {
    let world = world();
    world.set("MTP_USER", "matomo").set("MTP_PASS", "S3CR3T-pa55");
    world
}

#[test]
fn a_05_10_a_busy_port_is_named() {
    let world = world();
    let _other = TcpListener::bind(world.listens_at()).unwrap();
    world.run(&["run"]).with(69).says(&["cannot listen on", "Address already in use"]).says(&["MTP_LISTEN_PORT"]);
}

#[test]
fn a_05_10_a_second_instance_changes_nothing() {
    let world = world();
    let relay = world.start();
    let before = fs::read(world.path("conf/main.cf")).unwrap();
    world.set("MTP_BANNER", "other").run(&["run"]).with(75).says(&["another Postfix is running on the queue"]);
    assert_eq!(fs::read(world.path("conf/main.cf")).unwrap(), before);
    relay.stops().with(0);
}

#[test]
fn a_05_10_a_queue_of_somebody_else_is_given_back_with_its_mail() {
    let world = world();
    let address = (world.address(), 2526).into();
    world.set("MTP_RELAY", &format!("{}:2526", world.address()));
    let relay = world.start();
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    relay.says(&["status=deferred"]);
    relay.stops().with(0);
    give(&world.path("queue"));
    let relay = world.start();
    relay.says(&["WARN", "queue belonged to somebody else", "4242"]);
    let server = MailServer::start_at(address, Manners { auth: Auth::Nobody, ..Manners::default() }).unwrap();
    assert_eq!(server.receives(1)[0].to, ["b@example.net"]);
    relay.takes("a@example.org", "c@example.net", "Subject: s\n\nt");
    server.receives(2);
    let log = relay.stops().with(0);
    log.never_says("warning: not owned").never_says("Permission denied");
}

/// Gives a tree to the user 4242.
fn give(path: &std::path::Path) {
    chown(path, Some(4242), Some(4242)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

#[test]
fn a_05_10_a_configuration_folder_that_cannot_be_written_is_named_or_good_as_it_is() {
    let world = world();
    world.start().stops().with(0);
    let conf = world.path("conf").to_string_lossy().into_owned();
    let script = format!("mount --bind {conf} {conf} && mount -o remount,bind,ro {conf} && exec \"$@\"");
    let read_only = ["unshare", "-m", "sh", "-c", script.as_str(), "sh"];
    // The files are there and right: nothing has to be written.
    let relay = world.launch(&read_only, &["run"]);
    relay.says(&["ready to accept mail"]);
    relay.stops().with(0);
    world.set("MTP_BANNER", "new");
    world
        .run_by(&read_only, &["run"])
        .with(73)
        .says(&["cannot replace", "main.cf"])
        .says(&["mount a writable folder there"]);
}

#[test]
fn a_05_10_missing_plugins_are_named_before_mail_waits_for_ever() {
    let script = "mount -t tmpfs none $(dirname $(find /usr/lib -name libplain.so | head -1)) && exec \"$@\"";
    let hidden = ["unshare", "-m", "sh", "-c", script, "sh"];
    let words = ["lacks the SASL plugins libplain.so and liblogin.so"];
    with_login().run_by(&hidden, &["run"]).with(78).says(&words).says(&["libsasl2-modules"]);
    // Without a login they are not needed.
    let world = world();
    let relay = world.launch(&hidden, &["run"]);
    relay.says(&["ready to accept mail"]);
    relay.stops().with(0);
}

#[test]
fn a_05_10_another_user_than_root_is_told_why() {
    let world = world();
    fs::set_permissions(env!("CARGO_BIN_EXE_postfix-config"), fs::Permissions::from_mode(0o755)).unwrap();
    // The folder of the build may be closed to others, so the binary is copied to where everybody may look.
    let copy = world.path("copy");
    fs::copy(env!("CARGO_BIN_EXE_postfix-config"), &copy).unwrap();
    let by = World::new(&copy.to_string_lossy());
    by.run_by(&["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"], &["run"])
        .with(78)
        .says(&["runs as user 1000, but Postfix starts as root only"]);
}

#[test]
fn the_capabilities_in_the_docs_are_enough() {
    let server = MailServer::start(Manners::default());
    let world = with_login();
    world.set("MTP_RELAY", &format!("localhost:{}", server.port()));
    let listed = "-all,+chown,+dac_override,+fowner,+kill,+net_bind_service,+setgid,+setuid";
    let relay = world.launch(&["setpriv", "--bounding-set", listed, "--inh-caps", listed, "--no-new-privs"], &["run"]);
    relay.says(&["ready to accept mail"]);
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    server.receives(1);
    relay.stops().with(0);
}

#[test]
fn a_read_only_root_with_a_queue_and_two_tmpfs_is_enough() {
    let server = MailServer::start(Manners::default());
    let world = world().through(&server);
    for folder in ["queue", "data", "conf"] {
        fs::create_dir(world.path(folder)).unwrap();
    }
    // Everything below `/` becomes read-only, the three folders of this world excepted.
    let [queue, data, conf] = ["queue", "data", "conf"].map(|name| world.path(name).to_string_lossy().into_owned());
    let script = format!(
        "mount --bind {queue} {queue} && mount -t tmpfs none {data} && mount -t tmpfs none {conf} \
         && awk '{{print $2}}' /proc/mounts | grep -vxF -e {queue} -e {data} -e {conf} | grep -v ^/proc | \
            while read place; do mount -o remount,bind,ro \"$place\" 2>/dev/null || true; done; \
         touch /read-only-or-not 2>/dev/null && exit 99; touch /tmp/read-only-or-not 2>/dev/null && exit 98; exec \"$@\""
    );
    let read_only = ["unshare", "-m", "sh", "-c", script.as_str(), "sh"];
    let relay = world.launch(&read_only, &["run"]);
    relay.says(&["ready to accept mail"]);
    relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
    assert!(server.receives(1)[0].logged_in);
    relay.stops().with(0).never_says("Read-only").never_says("ERROR");
}

/// A folder of the system in which no name is known and the only name server says nothing.
fn with_silent_dns(world: &World) -> (UdpSocket, String) {
    let silent = UdpSocket::bind((world.address(), 53)).unwrap();
    fs::write(world.path("resolv.conf"), format!("nameserver {}\n", world.address())).unwrap();
    fs::write(world.path("hosts"), "").unwrap();
    let [resolv, hosts] = ["resolv.conf", "hosts"].map(|name| world.path(name).to_string_lossy().into_owned());
    let script = format!("mount --bind {resolv} /etc/resolv.conf && mount --bind {hosts} /etc/hosts && exec \"$@\"");
    (silent, script)
}

#[test]
fn clients_are_greeted_at_once_though_no_name_server_answers() {
    let world = world();
    world.set("MTP_RELAY", "127.0.0.1:2");
    let (_silent, script) = with_silent_dns(&world);
    let relay = world.launch(&["unshare", "-m", "sh", "-c", &script, "sh"], &["run"]);
    relay.says(&["ready to accept mail"]);
    for _ in 0..2 {
        let begin = Instant::now();
        relay.takes("a@example.org", "b@example.net", "Subject: s\n\nt");
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}\n{}", begin.elapsed(), relay.log());
    }
    relay.says(&["client=unknown[127.0.0.1]"]);
}
