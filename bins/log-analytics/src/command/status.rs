//! `status`: a table of the sites, read from the ledger and the folder listing; nothing is asked or changed.

use jiff::Timestamp;
use shared::entry::{Exit, Failure};

use crate::report::{Quarantined, SiteStanding, TakenOver, sites};

/// Shows every site.
pub fn status(json: bool) -> Result<Exit, Failure> {
    let settings = super::settings()?;
    let mut all = Vec::new();
    for (_, standing) in sites(&settings)? {
        all.push(standing.map_err(|error| {
            let help = error.help();
            Failure::new(Exit::CannotCreate, error).help(help)
        })?);
    }
    let text = if json { serde_json::to_string_pretty(&all).unwrap_or_default() + "\n" } else { table(&all) };
    super::say(&text);
    Ok(Exit::Done)
}

fn row(site: &SiteStanding) -> [String; 13] {
    let moment = |moment: Option<Timestamp>| moment.map_or_else(|| "-".to_owned(), |moment| moment.to_string());
    [
        site.site.to_string(),
        site.waiting.to_string(),
        site.being_written.to_string(),
        site.in_progress.to_string(),
        site.imported.to_string(),
        site.quarantined.len().to_string(),
        site.set_aside_lines.to_string(),
        site.unreadable_lines.to_string(),
        site.hits.to_string(),
        moment(site.last_import),
        moment(site.last_hit),
        moment(site.last_fetched),
        moment(site.last_changed),
    ]
}

const HEADINGS: [&str; 13] = [
    "SITE",
    "WAITING",
    "BEING WRITTEN",
    "IN PROGRESS",
    "IMPORTED",
    "QUARANTINED",
    "LINES SET ASIDE",
    "UNREADABLE",
    "HITS",
    "LAST IMPORT",
    "LAST HIT",
    "LAST FETCHED",
    "LOGS ARRIVED",
];

fn table(all: &[SiteStanding]) -> String {
    if all.is_empty() {
        return "No site folder and no ledger yet: put logs into logs/<SITE_ID>/ below ANALYTICS_DIR\n".to_owned();
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(all.iter().map(row));
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
        if site.vanished > 0 {
            text.push_str(&format!("went away half imported at site {}: {} files\n", site.site, site.vanished));
        }
        if let Some(TakenOver { at, imported, given_up }) = &site.taken_over {
            let at = at.map_or_else(String::new, |at| format!(" at {at}"));
            text.push_str(&format!(
                "taken over from the shell image at site {}{at}: {imported} files as imported, {given_up} given up\n",
                site.site
            ));
        }
    }
    text
}
