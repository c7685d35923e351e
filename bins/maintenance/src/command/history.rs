//! `history`: the sets, and what was done.

use jiff::Timestamp;
use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::{Report, reading, tell};
use crate::history::{self, Event};
use crate::set::{Kind, Rehearsal, Set};

const EVENTS_SHOWN: usize = 20;

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    kind: Kind,
    ended: Timestamp,
    bytes: u64,
    rows: u64,
    schema_of_matomo: Option<String>,
    rehearsal: Option<Rehearsal>,
}

#[derive(Debug, Serialize)]
struct All {
    sets: Vec<Listed>,
    unusable: Vec<String>,
    events: Vec<Event>,
}

/// Lists everything.
pub fn history(report: Report) -> Result<Exit, Failure> {
    let session = reading()?;
    let (sets, bad) = session.shelf.sets()?;
    let all = All {
        sets: sets.into_iter().map(listed).collect(),
        unusable: bad.iter().map(|error| crate::sentence(error)).collect(),
        events: history::read(&session),
    };
    tell(report, &all, || words(&all));
    Ok(Exit::Done)
}

fn listed(set: Set) -> Listed {
    Listed {
        kind: set.manifest.kind,
        ended: set.manifest.ended,
        bytes: set.manifest.bytes(),
        rows: set.manifest.rows(),
        schema_of_matomo: set.manifest.database.matomo,
        rehearsal: set.rehearsal,
        name: set.name,
    }
}

fn words(all: &All) -> String {
    let mut text = String::new();
    for set in &all.sets {
        let rehearsed = match &set.rehearsal {
            Some(rehearsal) if rehearsal.good => format!("rehearsed {}", rehearsal.at.strftime("%Y-%m-%d")),
            Some(_) => "REHEARSAL FAILED".to_owned(),
            None => "never rehearsed".to_owned(),
        };
        let version = set.schema_of_matomo.as_deref().unwrap_or("unknown");
        text += &format!("{}  {} MB  {} rows  Matomo {version}  {rehearsed}\n", set.name, set.bytes >> 20, set.rows);
    }
    if all.sets.is_empty() {
        text += "no backup set yet\n";
    }
    all.unusable.iter().for_each(|why| text += &format!("UNUSABLE  {why}\n"));
    let skipped = all.events.len().saturating_sub(EVENTS_SHOWN);
    for event in &all.events[skipped..] {
        let word = if event.good { "ok    " } else { "FAILED" };
        let set = event.set.as_deref().map_or(String::new(), |set| format!(" {set}"));
        let at = event.at.strftime("%Y-%m-%d %H:%M:%SZ");
        text += &format!("{at}  {word}  {}{set}: {}\n", event.command, event.sentence);
    }
    text
}
