//! `history`: the last runs, the newest last.

use jiff::{Timestamp, tz::TimeZone};
use shared::entry::{Exit, Failure};

use crate::history::Run;

/// Shows the last runs.
pub fn history(count: usize, json: bool) -> Result<Exit, Failure> {
    let (settings, runs) = super::look()?;
    let shown = &runs[runs.len().saturating_sub(count)..];
    let text = if json {
        serde_json::to_string_pretty(shown).unwrap_or_default() + "\n"
    } else if shown.is_empty() {
        "No run has ended yet\n".to_owned()
    } else {
        let rows: Vec<Vec<String>> = shown.iter().map(|run| row(run, &settings.zone)).collect();
        super::table(&["STARTED", "JOB", "OUTCOME", "SECONDS", "SITES", "WHAT"], &rows)
    };
    super::say(&text);
    Ok(Exit::Done)
}

fn row(run: &Run, zone: &TimeZone) -> Vec<String> {
    let finished = run.sites.values().filter(|site| site.finished).count();
    vec![
        moment(run.started, zone),
        run.job.clone(),
        run.outcome.to_string(),
        format!("{:.0}", run.seconds()),
        finished.to_string(),
        run.sentence.clone(),
    ]
}

/// `2026-11-24 10:30:00`
pub(super) fn moment(moment: Timestamp, zone: &TimeZone) -> String {
    moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
