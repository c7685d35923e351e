//! What may be written in a schedule, and the reason when something else was.

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::tz::TimeZone;

use super::zone::zone_from;
use crate::config::{Span, Value as _};

const FIELDS: [&str; 6] = ["second", "minute", "hour", "day of the month", "month", "day of the week"];
const EVERY_MAX: Duration = Duration::from_secs(366 * 86_400);

/// What an expression means, zone aside.
#[derive(Clone, Debug)]
pub(super) enum Rhythm {
    /// At times of the calendar and the wall clock.
    Calendar(Box<Cron>),
    /// At whole multiples of a length of time since 1970, so that a restart does not move the runs.
    Every(Duration),
}

pub(super) fn split_zone(text: &str) -> Result<(Option<TimeZone>, &str), String> {
    let Some(rest) = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) else {
        return Ok((None, text));
    };
    let (name, expression) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let zone = zone_from(Some(name))
        .map_err(|error| format!("position 1: {error}; write a name such as Europe/Copenhagen"))?;
    Ok((Some(zone), expression))
}

pub(super) fn rhythm(expression: &str) -> Result<Rhythm, String> {
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
            return Err(format!("it has {} fields; write 5, or 6 with the second first", fields.len()));
        }
    };
    parser().parse(&standard).map(|cron| Rhythm::Calendar(Box::new(cron))).map_err(|error| error.to_string())
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
    let span = Span::parse(length).map_err(|_| "position 2: write a length of time such as @every 15m".to_owned())?;
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
            return Err(format!("position {position} ({name}): {field:?} is not understood ({error}); write {range}"));
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
    CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).sloppy_ranges(true).build()
}
