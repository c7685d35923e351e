//! A cron expression in a time zone: read, judged possible, explained, and asked for the next run.

use std::{fmt, time::Duration};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::zone::zone_from;
use crate::{
    config::{Span, Value},
    entry::{Exit, Failure},
};

const FIELDS: [&str; 6] = [
    "second",
    "minute",
    "hour",
    "day of the month",
    "month",
    "day of the week",
];
const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);
const EVERY_MAX: Duration = Duration::from_secs(366 * 86_400);
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

#[derive(Clone, Debug)]
enum Rhythm {
    /// At times of the calendar and the wall clock.
    Calendar(Box<Cron>),
    /// At whole multiples of a length of time since 1970, so that a restart does not move the runs.
    Every(Duration),
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
        Self::read(text, zone).map_err(|reason| ScheduleError {
            text: text.chars().take(100).collect(),
            reason,
        })
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
            Rhythm::Calendar(cron) => {
                next_match(cron, &TimeZone::UTC, Timestamp::UNIX_EPOCH).is_some()
            }
            Rhythm::Every(_) => true,
        }
    }

    /// The first run after a moment, never at it. `None` when the calendar ends (year 5000).
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.rhythm {
            Rhythm::Calendar(cron) => next_match(cron, &self.zone, moment)
                .or_else(|| next_match_after_gap(cron, &self.zone, moment)),
            Rhythm::Every(length) => next_multiple(moment, *length),
        }
    }

    /// The next runs after a moment, at most `count`.
    pub fn next_runs(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(after), |run| self.next_after(*run))
            .take(count)
            .collect()
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
        "a cron expression of 5 fields, or 6 with the second first, or @daily, or @every 15m"
            .to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Schedule::parse(text, &TimeZone::UTC).map_err(|error| error.reason)
    }
}

fn split_zone(text: &str) -> Result<(Option<TimeZone>, &str), String> {
    let Some(rest) = text
        .strip_prefix("CRON_TZ=")
        .or_else(|| text.strip_prefix("TZ="))
    else {
        return Ok((None, text));
    };
    let (name, expression) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let zone = zone_from(Some(name))
        .map_err(|error| format!("position 1: {error}; write a name such as Europe/Copenhagen"))?;
    Ok((Some(zone), expression))
}

fn rhythm(expression: &str) -> Result<Rhythm, String> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let standard = match fields.as_slice() {
        [] => return Err("it is empty; write for example 5 * * * * or @hourly".to_owned()),
        ["@every", length @ ..] => return every(&length.concat()),
        [name] if name.starts_with('@') => standard_of(name)?.to_owned(),
        fields @ ([_, _, _, _, _] | [_, _, _, _, _, _]) => {
            check_each(fields)?;
            fields.join(" ")
        }
        fields => {
            return Err(format!(
                "it has {} fields; write 5, or 6 with the second first",
                fields.len()
            ));
        }
    };
    parser()
        .parse(&standard)
        .map(|cron| Rhythm::Calendar(Box::new(cron)))
        .map_err(|error| error.to_string())
}

fn standard_of(name: &str) -> Result<&'static str, String> {
    match name.to_ascii_lowercase().as_str() {
        "@hourly" => Ok("0 * * * *"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@monthly" => Ok("0 0 1 * *"),
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        _ => Err("position 1: an unknown name; there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually and @every 15m".to_owned()),
    }
}

fn every(length: &str) -> Result<Rhythm, String> {
    let span = Span::parse(length)
        .map_err(|_| "position 2: write a length of time such as @every 15m".to_owned())?;
    let length = span.get();
    if length < Duration::from_secs(1) || length > EVERY_MAX {
        return Err("position 2: @every takes from 1s to 366d".to_owned());
    }
    Ok(Rhythm::Every(Duration::from_secs(length.as_secs())))
}

/// Tries each field between stars, because the parser does not say which one it dislikes.
fn check_each(fields: &[&str]) -> Result<(), String> {
    let names = &FIELDS[FIELDS.len() - fields.len()..];
    for (place, (field, name)) in fields.iter().zip(names).enumerate() {
        let mut alone = vec!["*"; fields.len()];
        alone[place] = field;
        if let Err(error) = parser().parse(&alone.join(" ")) {
            let position = place + 1;
            let range = range_of(name);
            return Err(format!(
                "position {position} ({name}): {field:?} is not understood ({error}); write {range}"
            ));
        }
    }
    Ok(())
}

fn range_of(name: &str) -> &'static str {
    match name {
        "hour" => "0-23, *, a list or a step such as */3",
        "day of the month" => "1-31, *, ? or a list",
        "month" => "1-12, JAN-DEC, * or a list",
        "day of the week" => "0-7 (0 and 7 are Sunday), SUN-SAT, *, ? or a list",
        _ => "0-59, *, a list or a step such as */15",
    }
}

fn parser() -> CronParser {
    // Sloppy ranges read `5/15`, which the programs that ran these expressions before accepted.
    CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .sloppy_ranges(true)
        .build()
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
    let quarters = std::iter::successors(next_multiple(moment, QUARTER_HOUR), |quarter| {
        next_multiple(*quarter, QUARTER_HOUR)
    });
    quarters.take(QUARTERS).find_map(|quarter| {
        let next = cron
            .find_next_occurrence(&quarter.to_zoned(zone.clone()), true)
            .ok()?
            .timestamp();
        (next >= quarter).then_some(next)
    })
}

fn next_multiple(moment: Timestamp, length: Duration) -> Option<Timestamp> {
    let seconds = i64::try_from(length.as_secs()).ok()?;
    let behind = moment.as_second().rem_euclid(seconds);
    let whole = Timestamp::from_second(moment.as_second()).ok()?;
    whole
        .checked_add(SignedDuration::from_secs(seconds - behind))
        .ok()
}

fn length_in_words(length: Duration) -> String {
    let seconds = length.as_secs();
    let (count, unit) = [
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ]
    .into_iter()
    .find(|(one, _)| seconds.is_multiple_of(*one))
    .map_or((seconds, "second"), |(one, unit)| (seconds / one, unit));
    if count == 1 {
        unit.to_owned()
    } else {
        format!("{count} {unit}s")
    }
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
    let words = words
        .strip_prefix("At every ")
        .map_or(words.to_owned(), |rest| format!("every {rest}"));
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}
