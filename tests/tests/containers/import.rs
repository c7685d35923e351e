//! log-analytics and its volume: killed, stopped, starved, doubled. Matomo counts each line once.

use std::time::Duration;

use tempfile::TempDir;
use tests::arrival::Arrival;
use tests::engine::{Recipe, Volume};
use tests::log::{self, Format, Line, Traffic};
use tests::matomo::{Matomo, Setup, TOKEN};
use tests::stack::{ALL_IN, CANNOT_WRITE_STATE, EVERYTHING, TRY_AGAIN};

pub const SITE: u64 = 4;
const LEDGER_SITE: u64 = 99;

/// A volume with logs, and a Matomo that waits for them.
pub struct Logs {
    pub volume: Volume,
    pub matomo: Matomo,
    lines: Vec<Line>,
}

impl Logs {
    /// So many lines in hourly files; Matomo takes its time for each request.
    pub fn new(lines: usize, pace: Duration) -> Self {
        let folder: TempDir = tempfile::tempdir().unwrap();
        let lines = Traffic::seeded(8).lines(lines);
        log::hourly(folder.path(), &lines, Format::Combined).unwrap();
        let volume = Volume::new();
        // The first container gives the volume the owner that the image has for it.
        volume.sh("chown 1000:1000 /volume && mkdir -p /volume/logs");
        volume.take(folder.path(), &format!("logs/{SITE}"));
        let matomo = Matomo::start(Setup { ledger_site: Some(LEDGER_SITE), pace, ..Setup::default() });
        Self { volume, matomo, lines }
    }

    /// log-analytics on this volume, as hardened as compose/compose.yml has it.
    pub fn importer(&self) -> Recipe {
        let recipe = Recipe::of("log-analytics").hardened().on_loopback().mount(&self.volume, "/analytics");
        let recipe = recipe.env("MATOMO_URL", &self.matomo.url()).env("MATOMO_TOKEN", TOKEN);
        let recipe = recipe.env("MATOMO_LEDGER_SITE", &LEDGER_SITE.to_string()).env("SETTLE_TIME", "0s");
        recipe.env("MATOMO_IMPORT_OPTIONS", EVERYTHING).env("MATOMO_BATCH_SIZE", "20")
    }

    /// Waits until Matomo has some of the lines.
    pub fn under_way(&self) {
        self.matomo.wait_for("some hits", |seen| seen.hits >= 40);
        assert!(self.matomo.hits_of(SITE).len() < self.lines.len(), "too late: all is in");
    }

    /// Nothing is missing, doubled or out of order.
    #[track_caller]
    pub fn all_in_once(&self) {
        self.matomo.rests();
        let sites = self.matomo.sites();
        let arrival = Arrival::of(&self.lines, sites.main_url(SITE).unwrap(), &self.matomo.hits_of(SITE));
        assert!(arrival.is_exact() && self.matomo.marks_doubled() == 0, "{arrival}");
    }
}

#[test]
fn killed_in_the_middle_and_started_again_it_counts_each_line_once() {
    let logs = Logs::new(1_000, Duration::from_millis(150));
    let importer = logs.importer().env("MATOMO_IN_DOUBT_WAIT", "1s").start(&["once"]);
    logs.under_way();
    importer.kill().is(137);
    importer.start();
    importer.end().is(ALL_IN);
    logs.all_in_once();
}

#[test]
fn c_136_stopped_in_the_middle_it_ends_in_time_and_goes_on_later() {
    let logs = Logs::new(1_000, Duration::from_millis(150));
    let importer = logs.importer().start(&["run"]);
    logs.under_way();
    importer.stop().is(0).in_time().says(&["log-analytics stops, as asked"]);
    logs.importer().run(&["once"]).is(ALL_IN);
    logs.all_in_once();
}

#[test]
fn two_importers_on_one_volume_double_nothing() {
    let logs = Logs::new(1_000, Duration::from_millis(150));
    let first = logs.importer().start(&["once"]);
    logs.under_way();
    let second = logs.importer().run(&["once"]).is(TRY_AGAIN);
    second.says(&["WARN", "Another importer is at work on the site", "site=4"]);
    assert!(first.runs(), "too late: the first has ended\n{}", first.logs());
    first.end().is(ALL_IN);
    logs.all_in_once();
}

#[test]
fn c_137_it_imports_within_32_megabytes() {
    let logs = Logs::new(20_000, Duration::ZERO);
    let importer = logs.importer().env("MATOMO_BATCH_SIZE", "200").with(&["--memory", "32m", "--memory-swap", "32m"]);
    let end = importer.run(&["once"]).is(ALL_IN);
    assert!(!end.starved, "{}", end.output);
    logs.all_in_once();
}

#[test]
fn c_112_a_volume_of_somebody_else_is_named_and_nothing_is_lost() {
    let logs = Logs::new(200, Duration::ZERO);
    logs.volume.sh("chown 0:0 /volume && chmod 755 /volume");
    let importer = logs.importer();
    let words = ["IMPORT_LOG_ERROR Ledger cannot be used", "/analytics/ledger", "Permission denied", "nothing is lost"];
    importer.run(&["once"]).is(CANNOT_WRITE_STATE).says(&words);
    importer.run(&["run"]).is(CANNOT_WRITE_STATE).says(&["/analytics/ledger"]).says(&["Permission denied"]);
    assert!(logs.matomo.hits().is_empty());
    logs.volume.sh("chown 1000:1000 /volume");
    importer.run(&["once"]).is(ALL_IN);
    logs.all_in_once();
}
