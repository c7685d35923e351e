//! Traefik's access log with JSON as its format.

use std::borrow::Cow;

use super::super::{Record, Text};
use super::value::{Object, Value};
use super::{Json, NO_QUERY, iso_date, milliseconds};

const NANOSECONDS_PER_MILLISECOND: f64 = 1e6;

/// Traefik's JSON. A field that is missing counts as empty, also the time: whether it is a date is asked later, of lines
/// that no filter drops. Without path or status it is no access.
pub const TRAEFIK: Json = Json { name: "traefik_json", keys: &["level", "msg", "time"], hex_escapes: false, read };

fn read(mut object: Object<'_>) -> Option<Record<'_>> {
    let date = match object.take("time") {
        Some(Value::Text(text)) => iso_date(&text),
        None => iso_date(&Cow::Borrowed(b"")),
        Some(_) => return None,
    };
    let duration = object.take("Duration").as_ref().and_then(Value::number);
    Some(Record {
        path: object.take_text("RequestPath")?,
        status: object.take_text("DownstreamStatus")?,
        date,
        ip: object.take_text("ClientHost").unwrap_or_default(),
        query: NO_QUERY,
        length: object.take("DownstreamContentSize").and_then(Value::into_length),
        referrer: or_empty(&mut object, "request_Referer"),
        user_agent: or_empty(&mut object, "request_User-Agent"),
        host: or_empty(&mut object, "RequestHost"),
        userid: or_empty(&mut object, "ClientUsername"),
        method: or_empty(&mut object, "RequestMethod"),
        generation_time: duration.and_then(|nanoseconds| milliseconds(nanoseconds / NANOSECONDS_PER_MILLISECOND)),
        ..Record::default()
    })
}

fn or_empty<'v>(object: &mut Object<'v>, key: &str) -> Option<Text<'v>> {
    Some(object.take_text(key).unwrap_or(Cow::Borrowed(b"")))
}
