//! Fields by the names the reference importer gives them, for custom variables and `--ignore-groups`.

use crate::format::{Date, GenerationTime, Record};

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Ip,
    Date,
    Timezone,
    Path,
    Query,
    Status,
    Length,
    Referrer,
    UserAgent,
    Host,
    Userid,
    Method,
    Milliseconds,
    Microseconds,
    Seconds,
    EventCategory,
    EventAction,
    EventName,
    /// A field only some formats or a log format of one's own have.
    Extra(String),
}

impl Group {
    /// The field of that name.
    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "ip" => Self::Ip,
            "date" | "time" => Self::Date,
            "timezone" => Self::Timezone,
            "path" => Self::Path,
            "query_string" => Self::Query,
            "status" => Self::Status,
            "length" => Self::Length,
            "referrer" => Self::Referrer,
            "user_agent" => Self::UserAgent,
            "host" => Self::Host,
            "userid" => Self::Userid,
            "method" => Self::Method,
            "generation_time_milli" => Self::Milliseconds,
            "generation_time_micro" => Self::Microseconds,
            "generation_time_secs" => Self::Seconds,
            "event_category" => Self::EventCategory,
            "event_action" => Self::EventAction,
            "event_name" => Self::EventName,
            other => Self::Extra(other.to_owned()),
        }
    }

    /// Whether no hit can be made without it.
    pub(super) fn is_needed(&self) -> bool {
        matches!(self, Self::Ip | Self::Date | Self::Timezone)
    }

    /// The field's text as it stands in the log, if the record has the field.
    pub(super) fn text<'r>(&self, record: &'r Record<'_>) -> Option<&'r [u8]> {
        match self {
            Self::Ip => Some(&record.ip),
            Self::Date => date(&record.date),
            Self::Timezone => zone(&record.date),
            Self::Path => Some(&record.path),
            Self::Query => record.query.as_deref(),
            Self::Status => Some(&record.status),
            Self::Length => record.length.as_deref(),
            Self::Referrer => record.referrer.as_deref(),
            Self::UserAgent => record.user_agent.as_deref(),
            Self::Host => record.host.as_deref(),
            Self::Userid => record.userid.as_deref(),
            Self::Method => record.method.as_deref(),
            Self::Milliseconds | Self::Microseconds | Self::Seconds => self.generation_time(record),
            Self::EventCategory => record.event.as_deref().map(|event| &*event.category),
            Self::EventAction => record.event.as_deref().map(|event| &*event.action),
            Self::EventName => record.event.as_deref().map(|event| &*event.name),
            Self::Extra(name) => record.extra.iter().find(|(key, _)| key == name).map(|(_, text)| &**text),
        }
    }

    fn generation_time<'r>(&self, record: &'r Record<'_>) -> Option<&'r [u8]> {
        match (self, record.generation_time.as_ref()?) {
            (Self::Milliseconds, GenerationTime::Milli(text))
            | (Self::Microseconds, GenerationTime::Micro(text))
            | (Self::Seconds, GenerationTime::Seconds(text)) => Some(text),
            _ => None,
        }
    }
}

/// The field a generation time came from.
pub(super) fn of_generation_time(time: &GenerationTime<'_>) -> Group {
    match time {
        GenerationTime::Milli(_) => Group::Milliseconds,
        GenerationTime::Micro(_) => Group::Microseconds,
        GenerationTime::Seconds(_) => Group::Seconds,
    }
}

fn date<'r>(date: &'r Date<'_>) -> Option<&'r [u8]> {
    match date {
        Date::Clf { date, .. } | Date::Pattern { date, .. } => Some(date),
        Date::Unix { .. } => None,
    }
}

fn zone<'r>(date: &'r Date<'_>) -> Option<&'r [u8]> {
    match date {
        Date::Clf { zone, .. } => Some(zone),
        Date::Pattern { zone, .. } => zone.as_deref(),
        Date::Unix { .. } => None,
    }
}
