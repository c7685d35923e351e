//! Decides which files somebody may still write to.

use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::file::Stat;

/// A file below a site's folder, as the folder listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Where it is.
    pub path: Box<Path>,
    /// What the file system says of it.
    pub stat: Stat,
    /// It changed less than the settle time ago: of a plain file, whole lines can be read all the same; an archive may not
    /// be complete.
    pub is_young: bool,
}

impl LogFile {
    /// A file that is named by a person: nobody writes to it.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn at(path: std::path::PathBuf) -> std::io::Result<Self> {
        let stat = Stat::of(&std::fs::metadata(&path)?);
        Ok(Self { path: path.into(), stat, is_young: false })
    }

    /// What was listed is not true any more: no file looks like this, so whoever sees it again looks at the file itself.
    pub fn mark_outdated(&mut self) {
        self.stat.changed_ns = i64::MIN;
    }
}

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

    /// Whether a name carries the current hour (UTC), as web servers that write hourly files name them.
    pub fn is_of_this_hour(&self, name: &[u8]) -> bool {
        names_hour(name, self.hour.as_bytes())
    }

    /// How long until a file counts as settled, if it changed just now and nobody writes to it.
    pub fn rest(&self, stat: &Stat) -> Option<Duration> {
        let age_ns = self.now_ns.saturating_sub(stat.modified_ns);
        // A date in the future is a clock that differs, not a file being written for ever.
        let is_young = (0..self.settle_ns).contains(&age_ns);
        is_young.then(|| Duration::from_nanos(u64::try_from(self.settle_ns - age_ns).unwrap_or(u64::MAX)))
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

    #[test]
    fn the_current_hour_in_utc_is_still_being_written() {
        let rule = SettleRule::at(at("2026-01-31T23:10:00Z"), Duration::ZERO);
        let with_hour = ["access_log.2026-01-31-23", "access.2026013123.log", "a_2026-01-31_23.gz", "a-20260131-23"];
        for name in with_hour.into_iter().chain(["1-2026-01-31-23"]) {
            assert!(rule.is_of_this_hour(name.as_bytes()), "{name}");
        }
        let others = ["access_log.2026-01-31-22", "access_log.2026-01-31", "access_log", "access_log.12026013123"];
        let long = ["access_log.20260131234", "access_log.2026-01-31-2-3", "access_log.2026-01-31-2"];
        for name in others.into_iter().chain(long) {
            assert!(!rule.is_of_this_hour(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_young_file_says_how_long_it_has_to_rest() {
        let rule = SettleRule::at(at("2026-01-31T23:10:00Z"), Duration::from_secs(10));
        let rest = |modified| rule.rest(&Stat { modified_ns: nanoseconds(at(modified)), ..Stat::default() });
        assert_eq!(rest("2026-01-31T23:09:56Z"), Some(Duration::from_secs(6)));
        assert_eq!(rest("2026-01-31T23:09:50Z"), None);
        assert_eq!(rest("2030-01-01T00:00:00Z"), None);
    }
}
