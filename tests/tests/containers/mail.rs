//! postfix-config with a real Postfix, on a read-only root, with the capabilities that its page lists and no other.

use std::net::{IpAddr, SocketAddr};

use tests::acceptance::wait_until;
use tests::engine::{Container, Network, Recipe, Volume};
use tests::mail::{Auth, MailServer, Manners};
use tests::postfix::submit;

pub const MESSAGE: &str = "Subject: report\n\nVisits: 42";
/// As docs/postfix-config.md and compose/compose.yml have them.
const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// The image as compose/compose.yml starts it.
pub fn relay(queue: &Volume) -> Recipe {
    let recipe = Recipe::of("postfix-config").hardened().mount(queue, "/var/spool/postfix");
    let recipe = recipe.with(&["--tmpfs", "/run", "--tmpfs", "/var/lib/postfix"]).env("MTP_HOST", "relay.example");
    CAPABILITIES.iter().fold(recipe, |recipe, capability| recipe.with(&["--cap-add", capability]))
}

/// Waits until Postfix listens.
#[track_caller]
pub fn is_ready(relay: &Container) {
    wait_until("Postfix is up", || {
        assert!(relay.runs(), "{}", relay.logs());
        relay.try_exec(&["/usr/local/bin/postfix-config", "health"]).is_ok()
    });
}

/// Where a container of the engine's network is, from here.
fn address(relay: &Container) -> SocketAddr {
    let text = relay.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    (text.parse::<IpAddr>().unwrap(), 25).into()
}

/// The relay takes a message from this machine.
#[track_caller]
pub fn takes(relay: &Container, text: &str) {
    let answer = submit(address(relay), "a@example.org", &["b@example.net"], text);
    assert!(answer.accepted(), "{answer:?}\n{}", relay.logs());
}

#[test]
fn c_131_postfix_takes_and_delivers_mail_on_a_read_only_root_with_few_rights() {
    let network = Network::new();
    let polite = Manners { auth: Auth::Nobody, ..Manners::default() };
    let provider = MailServer::start_at((network.gateway(), 0).into(), polite).unwrap();
    let queue = Volume::new();
    let recipe = relay(&queue).with(&["--network", network.id()]);
    let recipe = recipe.env("MTP_RELAY", &network.gateway().to_string()).env("MTP_PORT", &provider.port().to_string());
    let relay = recipe.start(&["run"]);
    is_ready(&relay);
    takes(&relay, MESSAGE);
    assert!(provider.receives(1)[0].text.contains("Visits: 42"));
    relay.exec(&["/usr/local/bin/postfix-config", "send-test", "person@example.net"]);
    assert_eq!(provider.receives(2)[1].to, ["person@example.net"]);
    assert!(relay.try_exec(&["touch", "/etc/here"]).is_err(), "the root is not read-only: this test proves nothing");
}

#[test]
fn mail_that_was_taken_survives_a_kill_of_the_container() {
    let network = Network::new();
    let queue = Volume::new();
    let provider = MailServer::start_at((network.gateway(), 0).into(), Manners::default()).unwrap();
    let (host, port) = (network.gateway(), provider.port());
    drop(provider);
    let recipe = relay(&queue).with(&["--network", network.id()]);
    let recipe = recipe.env("MTP_RELAY", &host.to_string()).env("MTP_PORT", &port.to_string());
    let relay = recipe.start(&["run"]);
    is_ready(&relay);
    takes(&relay, MESSAGE);
    relay.kill().is(137);
    let provider = MailServer::start_at((host, port).into(), Manners { auth: Auth::Nobody, ..Manners::default() });
    relay.start();
    is_ready(&relay);
    relay.exec(&["postqueue", "-c", "/run/postfix-config", "-f"]);
    assert!(provider.unwrap().receives(1)[0].text.contains("Visits: 42"));
}
