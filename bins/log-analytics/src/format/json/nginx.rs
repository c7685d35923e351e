//! nginx with the log format the reference proposes: keys are the names of fields.

use std::borrow::Cow;

use super::super::{Date, GenerationTime, Record, Text};
use super::value::{Object, Value};
use super::{Json, iso_date, milliseconds};

/// nginx's JSON.
pub const NGINX: Json = Json { name: "nginx_json", keys: &["referrer", "date"], hex_escapes: true, read };

fn read(object: Object<'_>) -> Option<Record<'_>> {
    let mut record = Record::default();
    let (mut ip, mut path, mut status, mut date) = (None, None, None, None);
    for (key, value) in object.into_members() {
        match &*key {
            b"ip" => ip = value.into_text(),
            b"path" => path = value.into_text(),
            b"status" => status = value.into_text(),
            b"date" => date = as_date(value),
            b"host" => record.host = value.into_text(),
            b"referrer" => record.referrer = value.into_text(),
            b"user_agent" => record.user_agent = value.into_text(),
            b"userid" => record.userid = value.into_text(),
            b"method" => record.method = value.into_text(),
            b"query_string" => record.query = value.into_text(),
            b"length" => record.length = value.into_length(),
            b"generation_time_milli" => record.generation_time = as_generation_time(&value),
            _ => record.extra.extend(value.into_text().map(|text| (name(key), text))),
        }
    }
    Some(Record { ip: ip?, path: path?, status: status?, date: date?, ..record })
}

fn name(key: Text<'_>) -> Cow<'_, str> {
    match key {
        Cow::Borrowed(key) => String::from_utf8_lossy(key),
        Cow::Owned(key) => String::from_utf8_lossy(&key).into_owned().into(),
    }
}

fn as_date(value: Value<'_>) -> Option<Date<'_>> {
    match value {
        Value::Text(text) => Some(iso_date(&text)),
        _ => None,
    }
}

/// Whatever its name says, the field is in seconds. Less than a millisecond counts as nothing.
fn as_generation_time(value: &Value<'_>) -> Option<GenerationTime<'static>> {
    milliseconds((value.number()? * 1000.0).trunc())
}
