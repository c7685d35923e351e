//! The fields a pattern can name, and a record while its fields come in one by one.

use std::borrow::Cow;
use std::sync::Arc;

use super::record::{Date, Event, GenerationTime, Record, Text};

/// A named field, in the words of `--log-format-regex`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// `date`
    Date,
    /// `time`, a column apart from the date
    Time,
    /// `timezone`
    Timezone,
    /// `path`
    Path,
    /// `query_string`
    Query,
    /// `ip`
    Ip,
    /// `user_agent`
    UserAgent,
    /// `referrer`
    Referrer,
    /// `status`
    Status,
    /// `length`
    Length,
    /// `host`
    Host,
    /// `userid`
    Userid,
    /// `method`
    Method,
    /// `generation_time_milli`
    Milliseconds,
    /// `generation_time_micro`
    Microseconds,
    /// `generation_time_secs`
    Seconds,
    /// `event_category`
    EventCategory,
    /// `event_action`
    EventAction,
    /// `event_name`
    EventName,
    /// Any other name: only custom variables can use it.
    Other(Arc<str>),
}

impl Field {
    /// The field a group of this name fills.
    pub fn named(name: &str) -> Self {
        match name {
            "date" => Self::Date,
            "time" => Self::Time,
            "timezone" => Self::Timezone,
            "path" => Self::Path,
            "query_string" => Self::Query,
            "ip" => Self::Ip,
            "user_agent" => Self::UserAgent,
            "referrer" => Self::Referrer,
            "status" => Self::Status,
            "length" => Self::Length,
            "host" => Self::Host,
            "userid" => Self::Userid,
            "method" => Self::Method,
            "generation_time_milli" => Self::Milliseconds,
            "generation_time_micro" => Self::Microseconds,
            "generation_time_secs" => Self::Seconds,
            "event_category" => Self::EventCategory,
            "event_action" => Self::EventAction,
            "event_name" => Self::EventName,
            other => Self::Other(other.into()),
        }
    }
}

/// A record in the making: its date may come in three pieces.
#[derive(Debug, Default)]
pub struct Draft<'l> {
    /// Everything but the date.
    pub record: Record<'l>,
    date: Text<'l>,
    time: Option<Text<'l>>,
    zone: Option<Text<'l>>,
}

impl<'l> Draft<'l> {
    /// Fills one field.
    pub fn fill(&mut self, field: &Field, text: &'l [u8]) {
        let text = Cow::Borrowed(text);
        let record = &mut self.record;
        match field {
            Field::Date => self.date = text,
            Field::Time => self.time = Some(text),
            Field::Timezone => self.zone = Some(text),
            Field::Path => record.path = text,
            Field::Query => record.query = Some(text),
            Field::Ip => record.ip = text,
            Field::UserAgent => record.user_agent = Some(text),
            Field::Referrer => record.referrer = Some(text),
            Field::Status => record.status = text,
            Field::Length => record.length = Some(text),
            Field::Host => record.host = Some(text),
            Field::Userid => record.userid = Some(text),
            Field::Method => record.method = Some(text),
            Field::Milliseconds => record.generation_time = Some(GenerationTime::Milli(text)),
            Field::Microseconds if matches!(record.generation_time, Some(GenerationTime::Milli(_))) => {}
            Field::Microseconds => record.generation_time = Some(GenerationTime::Micro(text)),
            Field::Seconds if record.generation_time.is_some() => {}
            Field::Seconds => record.generation_time = Some(GenerationTime::Seconds(text)),
            Field::EventCategory => self.event().category = text,
            Field::EventAction => self.event().action = text,
            Field::EventName => self.event().name = text,
            Field::Other(name) => record.extra.push((Cow::Owned(name.to_string()), text)),
        }
    }

    /// The event, made when its first field comes in.
    pub fn event(&mut self) -> &mut Event<'l> {
        self.record.event.get_or_insert_default()
    }

    /// The finished record of a format that writes `[dd/Mon/yyyy:hh:mm:ss +hhmm]`.
    pub fn finish_clf(mut self) -> Record<'l> {
        self.record.date = Date::Clf { date: self.date, zone: self.zone.unwrap_or_default() };
        self.record
    }

    /// The finished record, its date to be read with a strptime pattern.
    /// A date and a time in columns of their own are joined by a blank.
    pub fn finish(mut self, pattern: Cow<'l, str>) -> Record<'l> {
        let date = match self.time {
            Some(time) => Cow::Owned([&*self.date, b" ", &*time].concat()),
            None => self.date,
        };
        self.record.date = Date::Pattern { pattern, date, zone: self.zone };
        self.record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_generation_times_milliseconds_go_before_microseconds_and_those_before_seconds() {
        let fields = [(Field::Milliseconds, &b"1"[..]), (Field::Microseconds, b"2"), (Field::Seconds, b"3")];
        let read = |order: &[usize]| {
            let mut draft = Draft::default();
            order.iter().for_each(|&place| draft.fill(&fields[place].0, fields[place].1));
            draft.record.generation_time
        };
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            assert_eq!(read(&order), Some(GenerationTime::Milli(b"1".into())), "{order:?}");
        }
        for order in [[1, 2], [2, 1]] {
            assert_eq!(read(&order), Some(GenerationTime::Micro(b"2".into())), "{order:?}");
        }
        assert_eq!(read(&[2]), Some(GenerationTime::Seconds(b"3".into())));
    }
}
