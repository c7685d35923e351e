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

/// A file as it was judged: settled, or why it is left alone.
pub type Judged = Result<Settled, (LogFile, Unsettled)>;

/// Judges the files of one listing.
pub struct SettleRule {
    now_ns: i64,
    settle_ns: i64,
    /// Year, month, day and hour of that time in UTC.
    hour: String,
}

impl SettleRule {
    /// At `now`; a file that was last written `settle` ago or earlier is settled.
    pub fn at(now: SystemTime, settle: Duration) -> Self {
        let hour = Timestamp::try_from(now).map(|now| now.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H").to_string());
        let settle_ns = i64::try_from(settle.as_nanos()).unwrap_or(i64::MAX);
        Self { now_ns: nanoseconds(now), settle_ns, hour: hour.unwrap_or_default() }
    }

    /// Judges a file by its name and date.
    ///
    /// # Errors
    /// The reason why the file is left alone.
    pub fn judge(&self, name: &[u8], file: LogFile) -> Judged {
        if names_hour(name, self.hour.as_bytes()) {
            return Err((file, Unsettled::CurrentHour));
        }
        let age_ns = self.now_ns.saturating_sub(file.modified_ns);
        // A date in the future is a clock that differs, not a file being written for ever.
        if (0..self.settle_ns).contains(&age_ns) {
            let remaining = Duration::from_nanos(u64::try_from(self.settle_ns - age_ns).unwrap_or(u64::MAX));
            return Err((file, Unsettled::Young { remaining }));
        }
        Ok(Settled(file))
    }
}

/// Nanoseconds since 1970, negative before.
pub fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |after| -after),
    }
}

/// Whether a name holds an hour, `2026013123` being looked for as `2026-01-31-23` and with other separators too.
fn names_hour(name: &[u8], hour: &[u8]) -> bool {
    let begins_number = |&at: &usize| name[at].is_ascii_digit() && (at == 0 || !name[at - 1].is_ascii_digit());
    !hour.is_empty() && (0..name.len()).filter(begins_number).any(|at| begins_with_hour(&name[at..], hour))
}

/// Whether a text begins with the digits, in four numbers at most, and the last number ends with the last digit.
fn begins_with_hour(text: &[u8], mut digits: &[u8]) -> bool {
    let mut separators_left = 3;
    for byte in text {
        match digits.split_first() {
            None => return !byte.is_ascii_digit(),
            Some((digit, rest)) if byte == digit => digits = rest,
            Some(_) if byte.is_ascii_digit() || separators_left == 0 => return false,
            Some(_) => separators_left -= 1,
        }
    }
    digits.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        SystemTime::from(text.parse::<Timestamp>().unwrap())
    }

    fn settle(name: &str, modified: &str, now: SystemTime, settle: Duration) -> Judged {
        let path = PathBuf::from("/logs/4").join(name);
        let file = LogFile { path, size: 1, modified_ns: nanoseconds(at(modified)) };
        SettleRule::at(now, settle).judge(name.as_bytes(), file)
    }

    #[test]
    fn the_current_hour_in_utc_is_still_being_written() {
        let now = at("2026-01-31T23:10:00Z");
        let with_hour = ["access_log.2026-01-31-23", "access.2026013123.log", "a_2026-01-31_23.gz", "a-20260131-23"];
        for name in with_hour.into_iter().chain(["1-2026-01-31-23"]) {
            let judged = settle(name, "2026-01-31T20:00:00Z", now, Duration::ZERO);
            assert!(matches!(judged, Err((_, Unsettled::CurrentHour))), "{name}");
        }
        let others = ["access_log.2026-01-31-22", "access_log.2026-01-31", "access_log", "access_log.12026013123"];
        let long = ["access_log.20260131234", "access_log.2026-01-31-2-3", "access_log.2026-01-31-2"];
        for name in others.into_iter().chain(long) {
            assert!(settle(name, "2026-01-31T20:00:00Z", now, Duration::ZERO).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_young_file_says_how_long_it_has_to_rest() {
        let now = at("2026-01-31T23:10:00Z");
        let judged = settle("a.log", "2026-01-31T23:09:56Z", now, Duration::from_secs(10));
        assert!(matches!(judged, Err((_, Unsettled::Young { remaining })) if remaining == Duration::from_secs(6)));
        assert!(settle("a.log", "2026-01-31T23:09:50Z", now, Duration::from_secs(10)).is_ok());
        assert!(settle("a.log", "2030-01-01T00:00:00Z", now, Duration::from_secs(10)).is_ok());
    }
}
