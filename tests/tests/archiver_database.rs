//! Work on a real MariaDB: rows that nobody works on are freed, old raw data is counted before it goes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use jiff::{Span, Timestamp, tz::TimeZone};
use tests::console::{Console, Database};

const PROGRAM: &str = env!("CARGO_BIN_EXE_archiver");

fn stage() -> (Console, Database) {
    let (console, database) = (Console::new(PROGRAM), Database::start());
    database.configure(&console.root());
    (console, database)
}

fn text(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[test]
fn stuck_rows_are_given_back_and_the_others_stay() {
    let (console, database) = stage();
    let now = Timestamp::now();
    let (old, young) = (text(now - Span::new().hours(20)), text(now));
    database.ask(&format!(
        "INSERT INTO matomo.mt_archive_invalidations (idsite, status, ts_started) VALUES
         (4, 1, '{old}'), (4, 1, '{old}'), (4, 0, NULL), (5, 1, '{young}'), (6, 1, NULL)"
    ));
    let queue = format!(
        r#"[{{"Site":"4","Status":"Processing","Started":"{old}"}},{{"Site":"4","Status":"Processing","Started":"{old}"}},
            {{"Site":"5","Status":"Processing","Started":"{young}"}},{{"Site":"6","Status":"Processing","Started":null}}]"#
    );
    console
        .queue(&queue)
        .run(&["check"])
        .ends_with(0)
        .says(&["ok", "MariaDB"])
        .says(&["rows of the archiving queue that are under way: 4"]);
    let rows = || {
        database.ask("SELECT idsite, status, ts_started IS NULL FROM matomo.mt_archive_invalidations ORDER BY 1, 2, 3")
    };
    let before = rows();
    console
        .run(&["once"])
        .ends_with(0)
        .says(&["Site is stuck", "site=4", "rows=2"])
        .says(&["site=6"])
        .never_says("site=5");
    assert_eq!(rows(), before, "without the setting nothing is changed");
    console.run(&["once", "free"]).ends_with(0).says(&["outcome=ok", "3 rows of 2 sites were given back"]);
    assert_eq!(rows(), "4\t0\t1\n4\t0\t1\n4\t0\t1\n5\t1\t0\n6\t0\t1");
    console.queue("[]").run(&["once", "free"]).ends_with(0).says(&["nothing to do"]);
    // With the setting, each archiving does it first.
    database
        .ask(&format!("UPDATE matomo.mt_archive_invalidations SET status = 1, ts_started = '{old}' WHERE idsite = 4"));
    console.queue(&queue).set("ARCHIVE_FREE_STUCK", "yes").run(&["once"]).ends_with(0).says(&["given back", "site=4"]);
    assert_eq!(database.ask("SELECT SUM(status) FROM matomo.mt_archive_invalidations WHERE idsite = 4"), "0");
}

#[test]
fn c_148_raw_data_is_counted_deleted_and_counted_again() {
    let (console, database) = stage();
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let day = |ago: i64| today.checked_sub(Span::new().days(ago)).unwrap();
    for (site, ago) in [(1, 400), (1, 30), (1, 29), (1, 0), (2, 400)] {
        let visit = format!(
            "INSERT INTO matomo.mt_log_visit (idsite, visit_last_action_time) VALUES ({site}, '{} 12:00:00')",
            day(ago)
        );
        database.ask(&visit);
    }
    let visits = || database.ask("SELECT COUNT(*) FROM matomo.mt_log_visit");
    console.set("DAYS_TO_KEEP", "30").set("SITE_TO_DELETE", "1");
    console
        .run(&["once", "delete-raw-data", "--dry-run"])
        .ends_with(0)
        .says(&["dry run: 2 visits up to", &day(30).to_string()]);
    assert_eq!((visits().as_str(), console.calls().len()), ("5", 0), "a dry run deletes nothing");
    // The stand-in says that it is done, whatever it did.
    console.run(&["once", "delete-raw-data"]).ends_with(1).says(&["no visit", "is gone"]);
    let delete = console.root().join("delete");
    let statement =
        format!("DELETE FROM matomo.mt_log_visit WHERE idsite = 1 AND visit_last_action_time < '{} 00:00:00'", day(29));
    fs::write(&delete, format!("#!/bin/sh\n{} --execute \"{statement}\"\n", database.client())).unwrap();
    fs::set_permissions(&delete, fs::Permissions::from_mode(0o755)).unwrap();
    console.run(&["once", "delete-raw-data"]).ends_with(0).says(&["outcome=ok", "2 visits up to", "2 before, 0 now"]);
    assert_eq!(visits(), "3");
    let words = console.calls_of("core:delete-logs-data")[1]["words"].to_string();
    assert!(words.contains(&format!("--dates=2000-01-01,{}", day(30))) && words.contains("--idsite=1"), "{words}");
    console.run(&["once", "delete-raw-data"]).ends_with(0).says(&["nothing to do", "no visit up to"]);
    console
        .set("DAYS_TO_KEEP", "36000")
        .run(&["once", "delete-raw-data"])
        .ends_with(0)
        .says(&["no raw data can be older"]);
    for days in ["0", "-1", "36501", "a year"] {
        console.set("DAYS_TO_KEEP", days).run(&["once", "delete-raw-data"]).ends_with(78).says(&["DAYS_TO_KEEP"]);
    }
    assert_eq!(console.calls_of("core:delete-logs-data").len(), 2);
}

#[test]
fn a_database_that_refuses_is_told_without_its_password() {
    let (console, database) = stage();
    database.ask("ALTER USER m@localhost IDENTIFIED BY 'another'");
    console.queue(r#"[{"Site":"4","Status":"Processing","Started":"2020-01-01 00:00:00"}]"#);
    let ended = console.run(&["once", "free"]);
    ended.ends_with(1).says(&["the database refuses", "Access denied"]).never_says("p&");
}
