//! What `docker inspect` shows of each image's health: starting, healthy, unhealthy, and healthy again.

use std::time::Duration;

use tests::console::{Plays, Web};
use tests::engine::{Container, Recipe, Volume};
use tests::installation::Installation;
use tests::matomo::Switch;

use crate::import::Logs;
use crate::mail;
use crate::matomo::{NEVER, archiver, maintenance};

const EVERY_SECOND: &str = "* * * * * *";
/// The program that is asked stays the image's own; only the engine asks more often.
const OFTEN: [&str; 6] = ["--health-interval", "1s", "--health-start-period", "1s", "--health-retries", "1"];

#[test]
fn a_container_is_starting_until_its_first_answer() {
    // With the image's own interval the first answer comes after half a minute.
    let recipe = Recipe::of("rsync-client").env("RSYNC_COMMANDS", "true").env("MATOMO_RSYNC_LOGS_CRON", NEVER);
    let client = recipe.start(&["run"]);
    assert_eq!(client.health(), "starting");
    client.says("Schedule");
    assert_eq!(client.health(), "starting");
}

#[test]
fn log_analytics_is_as_healthy_as_its_last_pass() {
    let logs = Logs::new(50, Duration::ZERO);
    let importer = logs.importer().with(&OFTEN).env("MATOMO_IMPORT_LOGS_CRON", EVERY_SECOND).start(&["run"]);
    importer.becomes("healthy");
    logs.matomo.set(Switch::Maintenance, true);
    let more = tests::log::Traffic::seeded(9).lines(20);
    let folder = tempfile::tempdir().unwrap();
    tests::log::hourly(folder.path(), &more, tests::log::Format::Combined).unwrap();
    logs.volume.take(folder.path(), "logs/4/more");
    importer.becomes("unhealthy");
    logs.matomo.set(Switch::Maintenance, false);
    importer.becomes("healthy");
}

#[test]
fn archiver_is_as_healthy_as_its_last_archiving() {
    let web = Web::open(Plays::Well);
    let well = archiver(&web.url()).with(&OFTEN).env("MATOMO_ARCHIVE_CRON", EVERY_SECOND).start(&["run"]);
    well.says("outcome=ok");
    well.becomes("healthy");
    let web = Web::open(Plays::Errors);
    let ill = archiver(&web.url()).with(&OFTEN).env("MATOMO_ARCHIVE_CRON", EVERY_SECOND).start(&["run"]);
    ill.becomes("unhealthy");
}

#[test]
fn rsync_client_is_as_healthy_as_its_last_pass() {
    let volume = Volume::new();
    let recipe = Recipe::of("rsync-client").hardened().with(&OFTEN).mount(&volume, "/analytics");
    let recipe = recipe.env("RSYNC_COMMANDS", "test ! -e /analytics/broken").env("RSYNC_RETRIES", "0");
    let client = recipe.env("MATOMO_RSYNC_LOGS_CRON", EVERY_SECOND).start(&["run"]);
    client.becomes("healthy");
    client.exec(&["touch", "/analytics/broken"]);
    client.becomes("unhealthy");
    client.exec(&["rm", "/analytics/broken"]);
    client.becomes("healthy");
}

#[test]
fn maintenance_is_as_healthy_as_its_last_backup() {
    let matomo = Installation::new("/bin/false", 1);
    let recipe = maintenance(&matomo).with(&OFTEN).env("RUN_AT_START", "yes");
    let well = recipe.clone().env("MAINTENANCE_BACKUP_CRON", NEVER).start(&["run"]);
    well.says("Run ended");
    well.becomes("healthy");
    drop(well);
    // Another folder, in which no backup of this time was made yet.
    let folder = matomo.folder().join("other-backups");
    std::fs::create_dir(&folder).unwrap();
    let recipe = recipe.env("MAINTENANCE_DIR", &folder.display().to_string());
    let ill = recipe
        .env("MATOMO_DATABASE_PASSWORD", "not-the-password")
        .env("MAINTENANCE_BACKUP_CRON", NEVER)
        .start(&["run"]);
    ill.becomes("unhealthy");
}

#[test]
fn postfix_config_is_unhealthy_while_mail_waits_too_long() {
    let queue = Volume::new();
    // Nobody listens at that port of its own.
    let recipe = mail::relay(&queue).with(&OFTEN).env("MTP_RELAY", "127.0.0.1").env("MTP_PORT", "9");
    let relay = recipe.env("MTP_HEALTH_MAX_DEFERRED", "0").start(&["run"]);
    relay.becomes("healthy");
    mail::takes(&relay, mail::MESSAGE);
    relay.becomes("unhealthy");
    relay.exec(&["postsuper", "-c", "/run/postfix-config", "-d", "ALL"]);
    relay.becomes("healthy");
}

/// The engine asks by the program itself, so an image without a shell has an answer as well.
#[test]
fn c_092_the_answer_says_why() {
    let recipe = Recipe::of("rsync-client").hardened().with(&OFTEN).env("RSYNC_RETRIES", "0");
    let client: Container =
        recipe.env("RSYNC_COMMANDS", "exit 23").env("MATOMO_RSYNC_LOGS_CRON", EVERY_SECOND).start(&["run"]);
    client.becomes("unhealthy");
    let said = client.inspect("{{range .State.Health.Log}}{{.Output}}{{end}}");
    assert!(said.contains("1 of 1 commands failed"), "{said}");
}
