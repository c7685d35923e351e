//! Volumes that somebody else owns, and starts that come too soon.

use tests::engine::{Recipe, Volume};
use tests::stack::CANNOT_WRITE_STATE;

use crate::matomo::NEVER;

#[test]
fn c_112_rsync_client_names_a_volume_of_somebody_else() {
    let volume = Volume::new();
    volume.sh("chown 0:0 /volume && chmod 755 /volume && echo kept >/volume/file");
    let recipe = Recipe::of("rsync-client").hardened().mount(&volume, "/analytics").env("RSYNC_COMMANDS", "true");
    let end = recipe.env("VOLUME_WAIT", "1s").env("MATOMO_RSYNC_LOGS_CRON", NEVER).run(&["run"]);
    end.is(CANNOT_WRITE_STATE).says(&["/analytics/rsync"]).says(&["Permission denied"]);
    assert_eq!(volume.sh("cat /volume/file"), "kept");
}

#[test]
fn c_112_archiver_names_a_volume_of_somebody_else() {
    let volume = Volume::new();
    // An empty volume would take the owner of the folder that it covers.
    volume.sh("touch /volume/used && chown 0:0 /volume && chmod 755 /volume");
    let recipe = crate::matomo::archiver("http://127.0.0.1:9").mount(&volume, "/var/lib/archiver");
    let end = recipe.env("MATOMO_ARCHIVE_CRON", NEVER).run(&["run"]);
    end.is(CANNOT_WRITE_STATE).says(&["/var/lib/archiver"]).says(&["Permission denied"]);
}

/// Rancher's crontab service starts a container again whenever it is restarted itself.
#[test]
fn c_119_a_start_inside_the_interval_does_nothing_and_says_so() {
    let volume = Volume::new();
    let recipe = Recipe::of("rsync-client").hardened().mount(&volume, "/analytics").env("MIN_INTERVAL", "1h");
    let job = recipe.env("RSYNC_COMMANDS", "echo once >>/analytics/runs").start(&["once"]);
    job.end().is(0);
    let said = job.logs().lines().count();
    job.start();
    let again = job.end().is(0);
    let more: Vec<&str> = again.output.lines().skip(said).collect();
    assert!(more.iter().any(|line| line.contains("MIN_INTERVAL")), "{more:?}");
    assert_eq!(volume.sh("cat /volume/runs"), "once");
}

#[test]
fn c_069_a_restart_inside_a_slot_does_not_run_it_again() {
    let volume = Volume::new();
    let recipe = Recipe::of("rsync-client").hardened().mount(&volume, "/analytics");
    let recipe = recipe.env("RSYNC_COMMANDS", "echo once >>/analytics/runs").env("MATOMO_RSYNC_LOGS_CRON", NEVER);
    let client = recipe.start(&["run"]);
    client.says("Run ended");
    client.stop().is(0);
    client.start();
    client.until("it has read its history", |logs| logs.matches("Schedule").count() == 2);
    // A run that it owes would be under way, and the answer come after it, or be the next.
    client.signal("USR2");
    client.says("Status job=rsync running=no");
    let log = client.logs();
    let status = log.lines().find(|line| line.contains("Status job=rsync")).unwrap();
    assert!(status.contains("-01-01T00:00:00Z"), "{status}");
    client.stop().is(0);
    assert_eq!(volume.sh("cat /volume/runs"), "once");
}
