//! Backups on a schedule, and what `check` and the settings say before anything goes wrong.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;
use tests::installation::{DATABASE, Installation};

use crate::failures::kill_dumps;
use crate::{PROGRAM, healthy, is_dumping, terminate, until};

/// An address that takes every message, and the messages.
fn hook() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let told = Arc::new(Mutex::new(Vec::new()));
    let page = told.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let mut text = Vec::new();
            let mut piece = [0; 4096];
            while !text.ends_with(b"}") {
                match stream.read(&mut piece) {
                    Ok(read) if read > 0 => text.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            page.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
        }
    });
    (url, told)
}

#[test]
fn run_takes_backups_by_its_schedule_and_health_says_how_it_is() {
    let matomo = Installation::new(PROGRAM, 1);
    matomo
        .set("MAINTENANCE_BACKUP_CRON", "* * * * * *")
        .set("MAINTENANCE_KEEP", "2")
        .set("MAINTENANCE_REHEARSE", "yes");
    let daemon = matomo.start(&["run"]);
    until("two backups", || matomo.sets().len() >= 2);
    until("a good health", || matomo.run(&["health"]).code == Some(0));
    terminate(&daemon);
    let done = daemon.wait();
    assert!(matches!(done.code, Some(0)), "{done}");
    done.says(&["Backup is whole"]).says(&["Rehearsal was good"]);
    // A failure is told by health, and to people.
    let (url, told) = hook();
    matomo.set("MATOMO_DATABASE_PASSWORD", "wrong").set("NOTIFY_WEBHOOK_URL", &url);
    let daemon = matomo.start(&["run"]);
    until("a bad health", || {
        let said = matomo.run(&["health"]).stdout;
        said.starts_with("failing") && said.contains("Access denied")
    });
    until("a message", || {
        told.lock().unwrap().iter().any(|text| text.contains("failing") && text.contains("Access denied"))
    });
    terminate(&daemon);
    daemon.wait().ends_with(0).says(&["ERROR", "Backup failed", "Access denied"]);
}

/// A schedule that gives no time to wait for.
const YEARLY: &str = "0 0 0 1 1 *";

#[test]
fn with_yes_a_backup_is_taken_at_every_start() {
    let matomo = Installation::new(PROGRAM, 1);
    matomo.set("MAINTENANCE_BACKUP_CRON", YEARLY).set("RUN_AT_START", "yes");
    for count in 1..=2 {
        let daemon = matomo.start(&["run"]);
        until("a backup", || matomo.sets().len() == count);
        terminate(&daemon);
        daemon.wait().ends_with(0);
    }
}

#[test]
fn a_backup_that_was_cut_short_is_made_up_for_at_the_next_start() {
    let matomo = Installation::new(PROGRAM, 30);
    matomo.set("MAINTENANCE_BACKUP_CRON", YEARLY);
    let daemon = matomo.start(&["run"]);
    until("a dump under way", || is_dumping(&matomo.database));
    daemon.kill_after(Duration::ZERO);
    assert_eq!(matomo.sets().len(), 0);
    let daemon = matomo.start(&["run"]);
    until("a backup", || matomo.sets().len() == 1);
    terminate(&daemon);
    daemon.wait().ends_with(0);
}

#[test]
fn a_dump_that_lost_its_connection_is_tried_again_where_that_is_wanted() {
    let matomo = Installation::new(PROGRAM, 60);
    matomo.set("MAINTENANCE_BACKUP_CRON", YEARLY).set("JOB_ATTEMPTS", "2").set("JOB_RETRY_DELAY", "1s");
    let daemon = matomo.start(&["run"]);
    until("a dump under way", || kill_dumps(&matomo.database));
    until("a backup", || matomo.sets().len() == 1);
    terminate(&daemon);
    daemon.wait().ends_with(0).says(&["Backup failed", "database.sql.zst"]).says(&["tried again"]);
}

#[test]
fn check_reports_everything_at_once() {
    let matomo = healthy();
    let done = matomo.run(&["check"]).ends_with(0);
    for words in [
        &["ok", "can be edited"][..],
        &["ok", "MariaDB"],
        &["ok", "9 tables"],
        &["ok", "scratch databases"],
        &["ok", "tracking on (200)"],
        &["ok", "tar"],
    ] {
        assert!(done.stdout.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}\n{done}");
    }
    matomo.database.ask(&format!("ALTER TABLE {DATABASE}.matomo_goal ENGINE=MyISAM"));
    matomo.unset("MARIADB_ROOT_PASSWORD").set("MATOMO_URL", "http://127.0.0.1:1").set("MAINTENANCE_DIR", "/proc/none");
    let done = matomo.run(&["check", "--json"]).ends_with(73).json();
    let kinds: Vec<&Json> = done.as_array().unwrap().iter().map(|finding| &finding["kind"]).collect();
    assert!(
        kinds.iter().filter(|kind| **kind == "fault").count() == 2
            && kinds.iter().filter(|kind| **kind == "advice").count() == 2,
        "{done}"
    );
}

#[test]
fn wrong_settings_are_all_told_at_once() {
    let matomo = Installation::new(PROGRAM, 1);
    matomo.set("MAINTENANCE_BACKUP_CRON", "never").set("MAINTENANCE_KEEP", "0").set("MAINTENANCE_KEEEP", "3");
    matomo
        .run(&["status"])
        .ends_with(78)
        .says(&["MAINTENANCE_BACKUP_CRON"])
        .says(&["MAINTENANCE_KEEP is"])
        .says(&["did you mean MAINTENANCE_KEEP"]);
}
