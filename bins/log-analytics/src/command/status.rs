//! `status`: a table of the sites, read from the ledger and the folder listing; nothing is asked or changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::arrival::{Arrival, arrivals};
use crate::discover::{self, Discovery, SiteId};
use crate::ledger::{Book, FileState, Ledger, Standing};
use crate::pipeline::waiting;

/// One site's standing.
#[derive(Debug, Serialize)]
struct SiteStatus {
    site: SiteId,
    /// Settled files of which something is left to import.
    waiting: u64,
    /// Files still being written.
    being_written: u64,
    /// Files begun and not ended.
    in_progress: u64,
    imported: u64,
    quarantined: Vec<Quarantined>,
    /// Lines set aside because nobody can tell whether they arrived.
    set_aside_lines: usize,
    lines: u64,
    hits: u64,
    last_import: Option<Timestamp>,
    last_hit: Option<Timestamp>,
    /// When rsync-client last fetched without trouble, with or without something new.
    last_fetched: Option<Timestamp>,
    /// When logs last arrived through it.
    last_changed: Option<Timestamp>,
    days_to_invalidate: usize,
}

#[derive(Debug, Serialize)]
struct Quarantined {
    file: String,
    why: String,
}

/// Shows every site.
pub fn status(json: bool) -> Result<Exit, Failure> {
    let settings = super::settings()?;
    let ledger = Ledger::look(&settings.ledger_folder());
    let folder = settings.logs_folder();
    let found = discover::discover(&folder, &settings.files, SystemTime::now(), settings.settle_time.get());
    let found = found.map_err(|error| {
        Failure::new(Exit::Config, format!("cannot list the folder of the logs {}: {error}", folder.display()))
            .help("mount the volume with the logs, or set ANALYTICS_DIR")
    })?;
    let unreadable = |error: crate::ledger::LedgerError| {
        let help = error.help();
        Failure::new(Exit::CannotCreate, error).help(help)
    };
    let waiting = waiting(&found, &ledger).map_err(unreadable)?;
    let sites: BTreeSet<SiteId> = found.settled.keys().copied().chain(ledger.sites()).collect();
    let arrivals = arrivals(&settings.analytics_dir);
    let mut all = Vec::new();
    for site in sites {
        let arrival = arrivals.get(&site).copied().unwrap_or_default();
        all.push(SiteStatus::of(&ledger.peek(site).map_err(unreadable)?, &found, &waiting, arrival));
    }
    let text = if json { serde_json::to_string_pretty(&all).unwrap_or_default() + "\n" } else { table(&all) };
    super::say(&text);
    Ok(Exit::Done)
}

impl SiteStatus {
    fn of(book: &Book, found: &Discovery, waiting: &BTreeMap<SiteId, u64>, arrival: Arrival) -> Self {
        let site = book.site();
        let count = |state: &FileState| book.files().filter(|file| file.state == *state).count() as u64;
        let quarantined: Vec<Quarantined> = book
            .files()
            .filter_map(|file| match &file.state {
                FileState::Quarantined(why) => Some(Quarantined { file: file.path.clone(), why: why.clone() }),
                _ => None,
            })
            .collect();
        let begun =
            book.files().filter(|file| file.state == FileState::Waiting && (file.checkpoint > 0 || file.hits > 0));
        let withheld = book.pending().filter(|pending| matches!(pending.standing, Standing::Withheld(_)));
        let date = |seconds: i64| Timestamp::from_second(seconds).ok();
        let last_import = book.files().map(|file| file.finished_ms).max().filter(|&ms| ms > 0);
        let waiting = waiting.get(&site).copied().unwrap_or_default();
        Self {
            site,
            waiting: waiting.saturating_sub(quarantined.len() as u64),
            being_written: found.unsettled.get(&site).map_or(0, |files| files.len() as u64),
            in_progress: begun.count() as u64,
            imported: count(&FileState::Finished),
            quarantined,
            set_aside_lines: withheld.map(|pending| pending.intent.hits()).sum(),
            lines: book.files().map(|file| file.lines).sum(),
            hits: book.files().map(|file| file.hits).sum(),
            last_import: last_import.and_then(|ms| date(ms / 1000)),
            last_hit: book.files().filter_map(|file| file.newest).max().and_then(date),
            last_fetched: arrival.last_fetched,
            last_changed: arrival.last_changed,
            days_to_invalidate: book.days().len(),
        }
    }

    fn row(&self) -> [String; 12] {
        let moment = |moment: Option<Timestamp>| moment.map_or_else(|| "-".to_owned(), |moment| moment.to_string());
        [
            self.site.to_string(),
            self.waiting.to_string(),
            self.being_written.to_string(),
            self.in_progress.to_string(),
            self.imported.to_string(),
            self.quarantined.len().to_string(),
            self.set_aside_lines.to_string(),
            self.hits.to_string(),
            moment(self.last_import),
            moment(self.last_hit),
            moment(self.last_fetched),
            moment(self.last_changed),
        ]
    }
}

const HEADINGS: [&str; 12] = [
    "SITE",
    "WAITING",
    "BEING WRITTEN",
    "IN PROGRESS",
    "IMPORTED",
    "QUARANTINED",
    "LINES SET ASIDE",
    "HITS",
    "LAST IMPORT",
    "LAST HIT",
    "LAST FETCHED",
    "LOGS ARRIVED",
];

fn table(all: &[SiteStatus]) -> String {
    if all.is_empty() {
        return "No site folder and no ledger yet: put logs into logs/<SITE_ID>/ below ANALYTICS_DIR\n".to_owned();
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(all.iter().map(SiteStatus::row));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    for site in all {
        for Quarantined { file, why } in &site.quarantined {
            text.push_str(&format!("quarantined at site {}: {file}: {why}\n", site.site));
        }
    }
    text
}
