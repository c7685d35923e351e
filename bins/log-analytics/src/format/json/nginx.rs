//! nginx with the log format the reference proposes: keys are the names of fields.

use super::super::{Date, GenerationTime, Record};
use super::value::{Object, Value};
use super::{Json, iso_date, milliseconds};

/// nginx's JSON.
pub const NGINX: Json = Json { name: "nginx_json", keys: &["referrer", "date"], hex_escapes: true, read };

fn read(object: Object<'_>) -> Option<Record<'_>> {
    let mut record = Record::default();
    let (mut ip, mut path, mut status, mut date) = (None, None, None, None);
    for (key, value) in object.into_members() {
        match &*key {
            "ip" => ip = value.into_text(),
            "path" => path = value.into_text(),
            "status" => status = value.into_text(),
            "date" => date = as_date(value),
            "host" => record.host = value.into_text(),
            "referrer" => record.referrer = value.into_text(),
            "user_agent" => record.user_agent = value.into_text(),
            "userid" => record.userid = value.into_text(),
            "method" => record.method = value.into_text(),
            "query_string" => record.query = value.into_text(),
            "length" => record.length = value.into_length(),
            "generation_time_milli" => record.generation_time = as_generation_time(&value),
            _ => record.extra.extend(value.into_text().map(|text| (key, text))),
        }
    }
    Some(Record { ip: ip?, path: path?, status: status?, date: date?, ..record })
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
