//! The pipeline against a simulated Matomo and web servers that write, rotate, copy and compress their logs: thousands of
//! seeded lives. Every answer may fail before, during or after the commit, the process may die at every event, slices of time
//! may end anywhere, what was not synced may be lost, and the ledger may be lost or come back from a backup. Time is simulated
//! too.
//!
//! `SIMULATION_STORIES=10000` tells more stories than usual, `SIMULATION_STORY=17` only one, with what the importer says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod life;
mod server;
mod story;

use std::ops::Range;

use shared::config::Value as _;
use shared::logging::{self, Level, LogOptions};
use story::told;

const STORIES: u64 = 2_800;

/// Stories to tell: the n-th of four parts.
fn seeds(part: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SIMULATION_STORY") {
        logging::start(&LogOptions {
            level: Level::parse("debug").unwrap(),
            format: logging::Format::Text,
            no_color: None,
        });
        return seed..seed + 1;
    }
    let share = number("SIMULATION_STORIES").unwrap_or(STORIES).div_ceil(4);
    1 + part * share..1 + (part + 1) * share
}

fn every_line_once(seeds: Range<u64>) {
    for seed in seeds {
        let story = told(seed, true);
        let mut wrongs = story.wrongs();
        wrongs.extend(story.missing().iter().map(|path| format!("missing: {path}")));
        if story.set_aside > 0 {
            wrongs.push("with a ledger site nothing is ever unknowable".to_owned());
        }
        assert!(wrongs.is_empty(), "story {seed}\n{}\n{}", story.told(), wrongs.join("\n"));
    }
}

#[test]
fn every_line_once_in_the_first_stories() {
    every_line_once(seeds(0));
}

#[test]
fn every_line_once_in_the_next_stories() {
    every_line_once(seeds(1));
}

#[test]
fn every_line_once_in_the_last_stories() {
    every_line_once(seeds(2));
}

#[test]
fn without_a_ledger_site_no_line_is_ever_doubled_and_what_is_missing_is_set_aside() {
    for seed in seeds(3) {
        let story = told(seed, false);
        let mut wrongs = story.wrongs();
        let missing = story.missing();
        if missing.len() > story.set_aside {
            wrongs.push(format!("set aside: {}, missing: {missing:?}", story.set_aside));
        }
        assert!(wrongs.is_empty(), "story {seed}\n{}\n{}", story.told(), wrongs.join("\n"));
    }
}
