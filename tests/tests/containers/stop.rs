//! `docker stop` of each image: when it waits for its next run, and when it is in the middle of one.

use std::net::TcpListener;
use std::time::Duration;

use tests::console::{Plays, Web};
use tests::engine::{Container, Network, Recipe, Volume};
use tests::mail::{Auth, MailServer, Manners, Mood};

use crate::mail::{self, MESSAGE};
use crate::matomo::{self, NEVER};

/// Three seconds are the bound of the acceptance list; ten are the engine's grace, after which it kills (137).
#[track_caller]
fn stops_idle(container: &Container, ready: &str) {
    container.says(ready);
    container.stop().is(0).in_time();
}

#[test]
fn c_136_log_analytics_stops_while_it_waits() {
    // Nobody answers there, so the first pass is over at once.
    let recipe = Recipe::of("log-analytics").hardened().env("MATOMO_URL", "http://127.0.0.1:9");
    let recipe = recipe.env("MATOMO_TOKEN", "0123456789abcdef").env("MATOMO_IMPORT_LOGS_CRON", NEVER);
    stops_idle(&recipe.start(&["run"]), "Pass ended");
}

#[test]
fn c_136_archiver_stops_while_it_waits() {
    let recipe = matomo::archiver("http://127.0.0.1:9").env("MATOMO_ARCHIVE_CRON", NEVER);
    stops_idle(&recipe.start(&["run"]), "Schedule");
}

#[test]
fn c_136_rsync_client_stops_while_it_waits() {
    let recipe = Recipe::of("rsync-client").hardened().env("RSYNC_COMMANDS", "true").env("RUN_AT_START", "no");
    stops_idle(&recipe.env("MATOMO_RSYNC_LOGS_CRON", NEVER).start(&["run"]), "Schedule");
}

#[test]
fn c_136_maintenance_stops_while_it_waits() {
    let recipe = Recipe::of("maintenance").hardened().env("RUN_AT_START", "no").env("MATOMO_DIR", "/var/www/html");
    stops_idle(&recipe.env("MAINTENANCE_BACKUP_CRON", NEVER).start(&["run"]), "Schedule");
}

#[test]
fn c_136_postfix_config_stops_while_it_waits() {
    let queue = Volume::new();
    let relay = mail::relay(&queue).env("MTP_HOST", "relay.example").start(&["run"]);
    mail::is_ready(&relay);
    relay.stop().is(0).in_time();
}

#[test]
fn c_007_rsync_client_kills_a_job_that_ignores_the_stop_and_names_it_last() {
    let job = "trap '' TERM; echo on my way; while :; do sleep 0.1; done";
    let recipe = Recipe::of("rsync-client").hardened().env("RSYNC_COMMANDS", job).env("RSYNC_SPLIT", "never");
    let client = recipe.start(&["run"]);
    client.says("rsync-1| on my way");
    let end = client.stop().is(0).in_time();
    let last = end.last_line();
    assert!(last.contains("Stopped, as asked") && last.contains("killed=\"rsync-1 after "), "{last}");
}

#[test]
fn c_136_archiver_stops_in_the_middle_of_an_archiving() {
    // Takes connections and never answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let archiver = matomo::archiver(&url).env("SHUTDOWN_GRACE", "6s").env("STOP_FAREWELL", "1s");
    let archiver = archiver.env("MATOMO_ARCHIVE_CRON", "* * * * * *").start(&["run"]);
    let _request = silent.accept().unwrap();
    archiver.stop().is(0).in_time();
    let web = Web::open(Plays::Slowly(Duration::from_secs(60)));
    let archiver = matomo::archiver(&web.url()).env("SHUTDOWN_GRACE", "6s").env("STOP_FAREWELL", "1s");
    let archiver = archiver.env("MATOMO_ARCHIVE_CRON", "* * * * * *").start(&["run"]);
    archiver.says("Site archived");
    archiver.stop().is(0).in_time().says(&["outcome=stopped"]);
}

#[test]
fn c_136_postfix_config_stops_in_the_middle_of_a_delivery() {
    let network = Network::new();
    let silent = Manners { mood: Mood::Silent, auth: Auth::Nobody, ..Manners::default() };
    let provider = MailServer::start_at((network.gateway(), 0).into(), silent).unwrap();
    let queue = Volume::new();
    let recipe = mail::relay(&queue).with(&["--network", network.id()]);
    let recipe = recipe.env("MTP_RELAY", &network.gateway().to_string()).env("MTP_PORT", &provider.port().to_string());
    let relay = recipe.start(&["run"]);
    mail::is_ready(&relay);
    mail::takes(&relay, MESSAGE);
    tests::acceptance::wait_until("Postfix talks with the provider", || provider.connections() > 0);
    relay.stop().is(0).in_time();
    // What was accepted is in the queue, and leaves after the next start.
    provider.behave(|manners| manners.mood = Mood::Takes);
    relay.start();
    mail::is_ready(&relay);
    assert!(provider.receives(1)[0].text.contains("Visits: 42"));
}
