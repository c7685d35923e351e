//! A cron expression in a time zone: read, judged possible, explained, and asked for the next run.

use std::{fmt, time::Duration};

use croner::Cron;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::grammar::{Rhythm, rhythm, split_zone};
use crate::{
    config::Value,
    entry::{Exit, Failure},
};

const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);
/// No cron expression is longer than this, and the parser need not see what is.
const TEXT_BYTES_MAX: usize = 512;

/// When a job runs.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    rhythm: Rhythm,
    zone: TimeZone,
    zone_is_own: bool,
}

/// An expression that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the schedule {text:?} cannot be used: {reason}")]
pub struct ScheduleError {
    text: String,
    /// What is wrong, where, and what would be right.
    pub reason: String,
}

impl From<ScheduleError> for Failure {
    fn from(error: ScheduleError) -> Self {
        Failure::new(Exit::Config, error)
            .help("write five fields (minute hour day month weekday), six with the second first, @daily, or @every 15m")
    }
}

impl Schedule {
    /// Reads five fields, six (second first), a name such as `@daily`, or `@every 90s`, each after an
    /// optional `TZ=zone` or `CRON_TZ=zone`, which wins over `zone`.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, ScheduleError> {
        Self::read(text, zone).map_err(|reason| ScheduleError { text: text.chars().take(100).collect(), reason })
    }

    /// The same schedule in another zone, unless its text names its own.
    #[must_use]
    pub fn in_zone(mut self, zone: &TimeZone) -> Self {
        if !self.zone_is_own {
            self.zone = zone.clone();
        }
        self
    }

    fn read(text: &str, zone: &TimeZone) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("it is longer than {TEXT_BYTES_MAX} bytes"));
        }
        if text.starts_with(['"', '\'']) {
            return Err("position 1: a quote; write the expression without quotes".to_owned());
        }
        let (own_zone, expression) = split_zone(text)?;
        let rhythm = rhythm(expression)?;
        let schedule = Self {
            text: expression.split_whitespace().collect::<Vec<_>>().join(" "),
            rhythm,
            zone_is_own: own_zone.is_some(),
            zone: own_zone.unwrap_or_else(|| zone.clone()),
        };
        if schedule.is_possible() {
            Ok(schedule)
        } else {
            Err("no date ever matches; check the day of the month against the month".to_owned())
        }
    }

    fn is_possible(&self) -> bool {
        match &self.rhythm {
            Rhythm::Calendar(cron) => next_match(cron, &TimeZone::UTC, Timestamp::UNIX_EPOCH).is_some(),
            Rhythm::Every(_) => true,
        }
    }

    /// The first run after a moment, never at it. `None` when the calendar ends (year 5000).
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.rhythm {
            Rhythm::Calendar(cron) => {
                next_match(cron, &self.zone, moment).or_else(|| next_match_after_gap(cron, &self.zone, moment))
            }
            Rhythm::Every(length) => next_multiple(moment, *length),
        }
    }

    /// The next runs after a moment, at most `count`.
    pub fn next_runs(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(after), |run| self.next_after(*run)).take(count).collect()
    }

    /// The schedule in plain English, with its zone: `at minute 5 past every hour (Europe/Copenhagen)`.
    pub fn in_words(&self) -> String {
        let words = match &self.rhythm {
            Rhythm::Calendar(cron) => calendar_in_words(cron),
            Rhythm::Every(length) => format!("every {}", length_in_words(*length)),
        };
        format!("{words} ({})", zone_name(&self.zone))
    }

    /// The zone in which the fields are read.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

/// The expression as it was written, without its zone.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As a setting: read in UTC, then moved with [`Schedule::in_zone`].
impl Value for Schedule {
    fn rule() -> String {
        "a cron expression of 5 fields, or 6 with the second first, or @daily, or @every 15m".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Schedule::parse(text, &TimeZone::UTC).map_err(|error| error.reason)
    }
}

fn next_match(cron: &Cron, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
    let start = moment.to_zoned(zone.clone());
    let next = cron.find_next_occurrence(&start, false).ok()?.timestamp();
    // Everybody who loops over runs relies on this.
    (next > moment).then_some(next)
}

/// croner 4.0.3 finds nothing beyond a gap of a whole day, as when Samoa crossed the date line. Clocks
/// change at quarter hours, so the search starts again at each of the next ones.
fn next_match_after_gap(cron: &Cron, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
    const QUARTERS: usize = 2 * 24 * 4;
    let quarters =
        std::iter::successors(next_multiple(moment, QUARTER_HOUR), |quarter| next_multiple(*quarter, QUARTER_HOUR));
    quarters.take(QUARTERS).find_map(|quarter| {
        let next = cron.find_next_occurrence(&quarter.to_zoned(zone.clone()), true).ok()?.timestamp();
        (next >= quarter).then_some(next)
    })
}

fn next_multiple(moment: Timestamp, length: Duration) -> Option<Timestamp> {
    let seconds = i64::try_from(length.as_secs()).ok()?;
    let behind = moment.as_second().rem_euclid(seconds);
    let whole = Timestamp::from_second(moment.as_second()).ok()?;
    whole.checked_add(SignedDuration::from_secs(seconds - behind)).ok()
}

fn length_in_words(length: Duration) -> String {
    let seconds = length.as_secs();
    let (count, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")]
        .into_iter()
        .find(|(one, _)| seconds.is_multiple_of(*one))
        .map_or((seconds, "second"), |(one, unit)| (seconds / one, unit));
    if count == 1 { unit.to_owned() } else { format!("{count} {unit}s") }
}

fn zone_name(zone: &TimeZone) -> String {
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None => "a zone of its own rules".to_owned(),
    }
}

fn calendar_in_words(cron: &Cron) -> String {
    let words = cron.describe();
    let words = words.trim_end_matches('.');
    let words = words.strip_prefix("At every ").map_or(words.to_owned(), |rest| format!("every {rest}"));
    let mut letters = words.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
