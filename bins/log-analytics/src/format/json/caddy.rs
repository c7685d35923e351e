//! Caddy's access log, version 2.

use super::super::{Date, GenerationTime, Record, Text};
use super::value::{Object, Value};
use super::{Json, NO_QUERY};

const MICROSECONDS_PER_SECOND: f64 = 1e6;

/// Caddy's JSON. Older versions name the client only by the address of the connection.
pub const CADDY: Json =
    Json { name: "caddy_json", keys: &["request", "user_id", "resp_headers"], hex_escapes: false, read };

fn read(mut object: Object<'_>) -> Option<Record<'_>> {
    let Some(Value::Object(mut request)) = object.take("request") else {
        return None;
    };
    let mut headers = match request.take("headers") {
        Some(Value::Object(headers)) => headers,
        _ => Object::default(),
    };
    Some(Record {
        ip: request.take_text("client_ip").or_else(|| request.take_text("remote_ip"))?,
        date: date(object.take("ts")?.number()?),
        path: request.take_text("uri")?,
        status: object.take_text("status")?,
        query: NO_QUERY,
        length: object.take("size").and_then(Value::into_length),
        referrer: first(&mut headers, "Referer"),
        user_agent: first(&mut headers, "User-Agent"),
        host: request.take_text("host"),
        userid: object.take_text("user_id"),
        method: request.take_text("method"),
        generation_time: object.take_text("duration").map(GenerationTime::Seconds),
        ..Record::default()
    })
}

/// The first of a header's values.
fn first<'v>(headers: &mut Object<'v>, name: &str) -> Option<Text<'v>> {
    match headers.take(name)? {
        Value::List(values) => values.into_iter().next()?.into_text(),
        value => value.into_text(),
    }
}

/// Seconds since 1970, rounded to the nearest microsecond as Python does.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number out of range is no date later on"
)]
fn date(timestamp: f64) -> Date<'static> {
    let seconds = timestamp.floor();
    let micros = ((timestamp - seconds) * MICROSECONDS_PER_SECOND).round_ties_even();
    if micros < MICROSECONDS_PER_SECOND {
        Date::Unix { seconds: seconds as i64, micros: micros as u32 }
    } else {
        Date::Unix { seconds: (seconds as i64).saturating_add(1), micros: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_keeps_its_microseconds() {
        assert_eq!(date(1_717_567_200.123456), Date::Unix { seconds: 1_717_567_200, micros: 123_456 });
        assert_eq!(date(1_717_567_200.0), Date::Unix { seconds: 1_717_567_200, micros: 0 });
        assert_eq!(date(0.999_999_9), Date::Unix { seconds: 1, micros: 0 });
        assert_eq!(date(-0.25), Date::Unix { seconds: -1, micros: 750_000 });
        assert_eq!(date(1e300).moment(), None);
    }

    #[test]
    fn all_seventeen_digits_of_a_timestamp_are_read() {
        let line = r#"{"ts":1648623843.5126097,"request":{"client_ip":"192.0.2.1","uri":"/"},"status":200}"#;
        let record = Object::parse(line).and_then(read).unwrap();
        assert_eq!(record.date, Date::Unix { seconds: 1_648_623_843, micros: 512_610 });
    }
}
