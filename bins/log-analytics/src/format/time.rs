//! Dates of log lines as moments.

use super::record::{Date, Moment};

impl Date<'_> {
    /// The moment in UTC; none if the date does not exist.
    #[must_use]
    pub fn moment(&self) -> Option<Moment> {
        match self {
            Self::Unix { seconds, micros } => Some(Moment {
                seconds: *seconds,
                micros: *micros,
            }),
            Self::Clf { date, zone } => {
                let date = std::str::from_utf8(date).ok()?;
                let zone: i64 = std::str::from_utf8(zone)
                    .ok()?
                    .replace(':', "")
                    .parse()
                    .ok()?;
                let date = jiff::civil::DateTime::strptime("%d/%b/%Y:%H:%M:%S", date).ok()?;
                let seconds = date
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .ok()?
                    .timestamp()
                    .as_second();
                let offset = zone.signum() * (zone.abs() / 100 * 3600 + zone.abs() % 100 * 60);
                Some(Moment {
                    seconds: seconds - offset,
                    micros: 0,
                })
            }
            Self::Pattern { .. } => None,
        }
    }
}
