//! JSON lines whose fields an operator names: `--json-fields ip=client.addr,path=request.uri,…`.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::field::{Draft, Field};
use super::super::{Date, Fit, LineParser, Malformed, Parsed, Record};
use super::value::{Object, Value};
use super::{iso_date, raw};

const MICROSECONDS_PER_SECOND: f64 = 1e6;

/// Which field stands where in an object; keys of nested objects are joined by dots.
#[derive(Debug, Clone)]
pub struct Mapped {
    fields: Arc<[(Field, Vec<String>)]>,
    date_format: Option<Arc<str>>,
}

impl Mapped {
    /// Field names are those of `--log-format-regex`. Dates are ISO 8601 or seconds since 1970 unless a format is given.
    pub fn new(pairs: &[(String, String)], date_format: Option<&str>) -> Self {
        let path = |keys: &str| keys.split('.').map(str::to_owned).collect();
        let fields = pairs.iter().map(|(field, keys)| (Field::named(field), path(keys))).collect();
        Self { fields, date_format: date_format.map(Arc::from) }
    }

    /// Whether some key fills this field.
    pub fn has(&self, field: &Field) -> bool {
        self.fields.iter().any(|(known, _)| known == field)
    }

    fn record(&self, line: &[u8]) -> Option<Record<'static>> {
        let text = raw::readable(line);
        let object = Object::parse(&text)?;
        let mut texts: Vec<(&Field, Cow<'_, [u8]>)> = Vec::with_capacity(self.fields.len());
        let mut date = None;
        for (field, keys) in &*self.fields {
            let Some(value) = find(&object, keys) else { continue };
            match field {
                Field::Date => date = self.date(value),
                field => texts.extend(value.to_text().map(|text| (field, text))),
            }
        }
        let mut draft = Draft::default();
        for (field, text) in &texts {
            draft.fill(field, text);
        }
        let mut record = draft.record;
        record.date = date?;
        (!record.ip.is_empty() && !record.path.is_empty() && !record.status.is_empty()).then(|| raw::into_owned(record))
    }

    fn date<'v>(&self, value: &Value<'v>) -> Option<Date<'v>> {
        match (&self.date_format, value) {
            (Some(format), value) => Some(Date::Pattern {
                pattern: format.to_string().into(),
                date: value.to_text()?.into_owned().into(),
                zone: None,
            }),
            (None, Value::Text(text)) if !is_number(text) => Some(iso_date(text)),
            (None, value) => unix(value.number()?),
        }
    }
}

fn is_number(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok())
}

fn unix<'v>(seconds: f64) -> Option<Date<'v>> {
    let micros = (seconds * MICROSECONDS_PER_SECOND).round();
    // Beyond this no calendar goes, and whole numbers below it are exact.
    if micros.abs() > 9e15 {
        return None;
    }
    let micros = micros as i64;
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    Some(Date::Unix { seconds, micros: u32::try_from(micros).ok()? })
}

fn find<'o, 'v>(object: &'o Object<'v>, keys: &[String]) -> Option<&'o Value<'v>> {
    let (last, outer) = keys.split_last()?;
    let mut object = object;
    for key in outer {
        object = match object.get(key)? {
            Value::Object(inner) => inner,
            _ => return None,
        };
    }
    object.get(last)
}

impl LineParser for Mapped {
    fn parse<'l>(&mut self, line: &'l [u8]) -> Parsed<'l> {
        match self.record(line) {
            Some(record) => Parsed::Record(record),
            None if line.trim_ascii().is_empty() => Parsed::Malformed(Malformed::Blank),
            None => Parsed::Malformed(Malformed::Json),
        }
    }

    fn carries_host(&self) -> bool {
        self.has(&Field::Host)
    }

    fn fit(&mut self, line: &[u8], _: usize) -> Option<Fit> {
        self.record(line).map(|_| Fit::Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(date_format: Option<&str>) -> Mapped {
        let pairs = [
            ("ip", "client.addr"),
            ("date", "ts"),
            ("path", "req.uri"),
            ("status", "code"),
            ("length", "bytes"),
            ("user_agent", "req.headers.ua"),
            ("cache", "cache"),
        ];
        Mapped::new(&pairs.map(|(field, key)| (field.to_owned(), key.to_owned())), date_format)
    }

    fn moment(line: &str, date_format: Option<&str>) -> Option<i64> {
        mapped(date_format).record(line.as_bytes())?.date.moment().map(|moment| moment.seconds)
    }

    #[test]
    fn nested_keys_numbers_and_extra_names_are_found() {
        let line = r#"{"ts":1717567200.25,"client":{"addr":"192.0.2.1"},"req":{"uri":"/a","headers":{"ua":"curl"}},"code":200,"bytes":7,"cache":"HIT"}"#;
        let record = mapped(None).record(line.as_bytes()).unwrap();
        assert_eq!((&*record.ip, &*record.path, &*record.status), (&b"192.0.2.1"[..], &b"/a"[..], &b"200"[..]));
        assert_eq!(record.user_agent.as_deref(), Some(&b"curl"[..]));
        assert_eq!(record.extra[0].0, "cache");
        assert_eq!(record.date, Date::Unix { seconds: 1_717_567_200, micros: 250_000 });
    }

    #[test]
    fn dates_come_in_three_shapes() {
        let line = |date: &str| format!(r#"{{"ts":{date},"client":{{"addr":"1"}},"req":{{"uri":"/"}},"code":"200"}}"#);
        assert_eq!(moment(&line(r#""2024-06-05T08:00:00+02:00""#), None), Some(1_717_567_200));
        assert_eq!(moment(&line(r#""1717567200""#), None), Some(1_717_567_200));
        assert_eq!(moment(&line(r#""05.06.2024 06:00:00""#), Some("%d.%m.%Y %H:%M:%S")), Some(1_717_567_200));
        assert_eq!(moment(&line("1e300"), None), None);
    }

    #[test]
    fn a_line_without_what_a_hit_needs_is_malformed() {
        assert_eq!(mapped(None).parse(b"{}"), Parsed::Malformed(Malformed::Json));
        assert_eq!(mapped(None).parse(b" "), Parsed::Malformed(Malformed::Blank));
        assert!(!mapped(None).carries_host());
    }
}
