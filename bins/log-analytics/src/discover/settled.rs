//! Decides which files nobody writes to any more.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A file below a site's folder, as the folder listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes, as stored.
    pub size: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub modified_ns: i64,
}

/// A log file that nobody writes to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled(LogFile);

/// Why a file is left alone for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsettled {
    /// Its name carries the current hour (UTC), as the web servers that write hourly files name them.
    CurrentHour,
    /// It changed less than the settle time ago.
    Young {
        /// How long until it counts as settled, if nobody writes to it.
        remaining: Duration,
    },
}

impl Settled {
    /// The file.
    pub fn file(&self) -> &LogFile {
        &self.0
    }
}

/// Judges a file at `now`; one that was last written `settle` ago or earlier is settled.
///
/// # Errors
/// The reason why the file is left alone.
pub fn settle(file: LogFile, now: SystemTime, settle: Duration) -> Result<Settled, (LogFile, Unsettled)> {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if names_hour_of(&name, now) {
        return Err((file, Unsettled::CurrentHour));
    }
    let age_ns = nanoseconds(now).saturating_sub(file.modified_ns);
    let settle_ns = i64::try_from(settle.as_nanos()).unwrap_or(i64::MAX);
    // A date in the future is a clock that differs, not a file being written for ever.
    if (0..settle_ns).contains(&age_ns) {
        let remaining = Duration::from_nanos(u64::try_from(settle_ns - age_ns).unwrap_or(u64::MAX));
        return Err((file, Unsettled::Young { remaining }));
    }
    Ok(Settled(file))
}

/// Nanoseconds since 1970, negative before.
pub fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |after| -after),
    }
}

/// Whether a name holds the hour of `now` in UTC, as `2026-01-31-23`, `2026013123` or with other separators.
fn names_hour_of(name: &str, now: SystemTime) -> bool {
    let Ok(now) = Timestamp::try_from(now) else { return false };
    let hour = now.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H").to_string();
    digit_groups(name).any(|digits| digits == hour)
}

/// The ten digits of every date-and-hour in a name.
fn digit_groups(name: &str) -> impl Iterator<Item = String> + '_ {
    let parts: Vec<&str> = name.split(|c: char| !c.is_ascii_digit()).collect();
    let joined: Vec<String> = (0..parts.len())
        .flat_map(|first| (1..=4).filter_map(move |count| Some((first, first.checked_add(count)?))))
        .filter(|&(_, end)| end <= parts.len())
        .map(|(first, end)| parts[first..end].concat())
        .collect();
    joined.into_iter().filter(|digits| digits.len() == 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        SystemTime::from(text.parse::<Timestamp>().unwrap())
    }

    fn file(name: &str, modified: &str) -> LogFile {
        LogFile { path: PathBuf::from("/logs/4").join(name), size: 1, modified_ns: nanoseconds(at(modified)) }
    }

    #[test]
    fn the_current_hour_in_utc_is_still_being_written() {
        let now = at("2026-01-31T23:10:00Z");
        for name in ["access_log.2026-01-31-23", "access.2026013123.log", "a_2026-01-31_23.gz", "a-20260131-23"] {
            let judged = settle(file(name, "2026-01-31T20:00:00Z"), now, Duration::ZERO);
            assert!(matches!(judged, Err((_, Unsettled::CurrentHour))), "{name}");
        }
        for name in ["access_log.2026-01-31-22", "access_log.2026-01-31", "access_log", "access_log.12026013123"] {
            assert!(settle(file(name, "2026-01-31T20:00:00Z"), now, Duration::ZERO).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_young_file_says_how_long_it_has_to_rest() {
        let now = at("2026-01-31T23:10:00Z");
        let judged = settle(file("a.log", "2026-01-31T23:09:56Z"), now, Duration::from_secs(10));
        assert!(matches!(judged, Err((_, Unsettled::Young { remaining })) if remaining == Duration::from_secs(6)));
        assert!(settle(file("a.log", "2026-01-31T23:09:50Z"), now, Duration::from_secs(10)).is_ok());
        assert!(settle(file("a.log", "2030-01-01T00:00:00Z"), now, Duration::from_secs(10)).is_ok());
    }
}
