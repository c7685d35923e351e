//! The time zone of a schedule, by its name in the tz database; a copy of the database is built in.

use jiff::tz::TimeZone;

use crate::{
    config::Value,
    entry::{Exit, Failure},
};

/// The name of a time zone is not known.
#[derive(Debug, thiserror::Error)]
#[error("there is no time zone {name:?}")]
pub struct ZoneError {
    name: String,
    source: jiff::Error,
}

impl From<ZoneError> for Failure {
    fn from(error: ZoneError) -> Self {
        Failure::new(Exit::Config, error)
            .help("set TZ to a name of the tz database such as Europe/Copenhagen, or to UTC")
    }
}

/// The zone that `TZ` names; UTC when it names none. A leading `:` is dropped, as the C library does;
/// POSIX strings such as `CET-1CEST,M3.5.0,M10.5.0/3` are understood.
pub fn zone_from(text: Option<&str>) -> Result<TimeZone, ZoneError> {
    let name = text.unwrap_or_default().trim();
    let name = name.strip_prefix(':').unwrap_or(name);
    if name.is_empty() || name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name)
        .or_else(|unknown| TimeZone::posix(name).map_err(|_| unknown))
        .map_err(|source| ZoneError { name: name.to_owned(), source })
}

impl Value for TimeZone {
    fn rule() -> String {
        "a time zone such as Europe/Copenhagen or UTC".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        zone_from(Some(text)).map_err(|_| "there is no such zone in the tz database".to_owned())
    }
}
