//! `history`: what the last commands did.

use shared::config;
use shared::entry::{Exit, Failure};

use crate::config::StateSettings;
use crate::history::{Entry, History};
use crate::site::Arrivals;

/// Shows the last commands, the oldest first, and when logs last arrived for each site.
pub fn history(json: bool, last: usize) -> Result<Exit, Failure> {
    let settings = config::from_env::<StateSettings>(&config::Neighbours::default())?.settings;
    let folder = settings.analytics_dir.join("rsync");
    let entries = History::open(&folder.join("history.jsonl")).read();
    let entries = &entries[entries.len().saturating_sub(last)..];
    if json {
        let lines = entries.iter().filter_map(|entry| serde_json::to_string(entry).ok());
        super::say(&lines.map(|line| line + "\n").collect::<String>());
        return Ok(Exit::Done);
    }
    super::say(&entries.iter().map(line).collect::<String>());
    let arrivals = Arrivals::read(&folder.join("state.json")).map_err(|error| Failure::new(Exit::Failed, error))?;
    super::say(&sites(&arrivals));
    Ok(Exit::Done)
}

fn line(entry: &Entry) -> String {
    let Entry { began, command, result, exit, seconds, attempts, .. } = entry;
    let count = |name: &str, count: Option<u64>| count.map(|count| format!(", {count} {name}")).unwrap_or_default();
    let mark = if entry.good { "ok  " } else { "FAIL" };
    let began = began.strftime("%Y-%m-%d %H:%M:%SZ");
    let tries = if *attempts > 1 { format!(", {attempts} attempts") } else { String::new() };
    let (files, bytes) = (count("files", entry.statistics.files), count("bytes", entry.statistics.received));
    format!("{began}  {mark}  {command}  exit {exit}, {seconds} s{tries}{files}{bytes}: {result}\n")
}

fn sites(arrivals: &Arrivals) -> String {
    let moment = |moment: Option<jiff::Timestamp>| {
        moment.map_or_else(|| "never".to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
    };
    let line = |(site, known): (&String, &crate::site::SiteArrival)| {
        format!(
            "site {site}: last fetched {}, logs last arrived {}\n",
            moment(known.last_fetched),
            moment(known.last_changed)
        )
    };
    if arrivals.sites.is_empty() {
        "no logs arrived yet\n".to_owned()
    } else {
        arrivals.sites.iter().map(line).collect()
    }
}
