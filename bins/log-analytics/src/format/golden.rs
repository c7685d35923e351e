//! Test: every format reads its sample in `golden/<name>/` as recorded there, and detection knows it again.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Choice, Date, Detector, FORMATS, FormatOptions, GenerationTime, Parsed, Record, named};

/// Set it to write `records.json` anew; then read the difference before you commit it.
const UPDATE: &str = "UPDATE_GOLDEN";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format/golden").join(name)
}

fn sample(name: &str) -> Vec<u8> {
    let path = folder(name).join("lines.log");
    fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "the format {name} has no sample: write some of its lines, odd ones too, to {} and run \
             {UPDATE}=1 cargo test -p log-analytics --lib golden ({error})",
            path.display()
        )
    })
}

fn lines(sample: &[u8]) -> impl Iterator<Item = &[u8]> {
    sample.strip_suffix(b"\n").unwrap_or(sample).split(|byte| *byte == b'\n')
}

fn choice(name: &str) -> Choice {
    let options = FormatOptions { name: Some(name.to_owned()), ..FormatOptions::default() };
    named(&options).unwrap().unwrap()
}

#[test]
fn every_format_reads_its_sample_as_recorded() {
    for format in FORMATS {
        let sample = sample(format.name());
        let mut parser = choice(format.name()).parser();
        let records: Value = lines(&sample).map(|line| parsed(&parser.parse(line))).collect();
        let path = folder(format.name()).join("records.json");
        if std::env::var_os(UPDATE).is_some() {
            fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&records).unwrap())).unwrap();
        }
        let recorded = fs::read_to_string(&path).unwrap_or_default();
        let recorded: Value = serde_json::from_str(&recorded).unwrap_or_default();
        for (number, line) in lines(&sample).enumerate() {
            let place = format!("{}, line {}: {}", format.name(), number + 1, line.escape_ascii());
            assert_eq!(records[number], recorded[number], "{place}\nif this is as it should be, set {UPDATE}=1");
        }
        assert_eq!(records.as_array().map(Vec::len), recorded.as_array().map(Vec::len), "{}", format.name());
    }
}

#[test]
fn every_format_but_ovh_is_detected_from_its_sample() {
    for format in FORMATS {
        let sample = sample(format.name());
        let mut detector = Detector::new(&FormatOptions::default());
        let found = lines(&sample).find_map(|line| detector.offer(line)).unwrap();
        let expected = if format.name() == "ovh" { "ncsa_extended" } else { format.name() };
        assert_eq!(found.name, expected);
    }
}

#[test]
fn a_detected_header_is_counted_and_a_named_one_consumed() {
    let sample = sample("iis");
    let first = lines(&sample).next().unwrap();
    let mut detector = Detector::new(&FormatOptions::default());
    let mut found = lines(&sample).find_map(|line| detector.offer(line)).unwrap();
    assert!(found.parser.needs_header() && found.parser.carries_host());
    assert!(matches!(found.parser.parse(first), Parsed::Malformed(_)));
    assert_eq!(choice("iis").parser().parse(first), Parsed::Header);
}

fn parsed(parsed: &Parsed<'_>) -> Value {
    match parsed {
        Parsed::Record(record) => Value::Object(fields(record)),
        Parsed::Malformed(why) => json!({ "malformed": format!("{why:?}") }),
        Parsed::Header => json!({ "header": true }),
    }
}

fn fields(record: &Record<'_>) -> Map<String, Value> {
    let texts = [
        ("ip", Some(&record.ip)),
        ("path", Some(&record.path)),
        ("query", record.query.as_ref()),
        ("status", Some(&record.status)),
        ("length", record.length.as_ref()),
        ("referrer", record.referrer.as_ref()),
        ("user_agent", record.user_agent.as_ref()),
        ("host", record.host.as_ref()),
        ("userid", record.userid.as_ref()),
        ("method", record.method.as_ref()),
    ];
    let mut fields = Map::new();
    for (name, value) in texts {
        fields.extend(value.map(|value| (name.to_owned(), text(value))));
    }
    fields.insert("date".to_owned(), date(&record.date));
    fields.extend(record.generation_time.as_ref().map(|time| ("generation_time".to_owned(), generation_time(time))));
    let event = record.event.as_deref();
    fields.extend(
        event.map(|event| ("event".to_owned(), json!([text(&event.category), text(&event.action), text(&event.name)]))),
    );
    fields.extend(record.extra.iter().map(|(name, value)| (format!("extra {name}"), text(value))));
    fields
}

/// The moment if there is one, otherwise what was taken for a date.
fn date(date: &Date<'_>) -> Value {
    match date.moment() {
        Some(moment) => {
            let nanoseconds = i32::try_from(moment.micros * 1000).unwrap();
            jiff::Timestamp::new(moment.seconds, nanoseconds).unwrap().to_string().into()
        }
        None => json!({ "invalid": written(date) }),
    }
}

fn written(date: &Date<'_>) -> Value {
    match date {
        Date::Clf { date, zone } => json!([text(date), text(zone)]),
        Date::Pattern { date, zone, .. } => json!([text(date), zone.as_deref().map(text)]),
        Date::Unix { seconds, micros } => json!([seconds, micros]),
    }
}

fn generation_time(time: &GenerationTime<'_>) -> Value {
    let (value, unit) = match time {
        GenerationTime::Milli(value) => (value, "ms"),
        GenerationTime::Micro(value) => (value, "us"),
        GenerationTime::Seconds(value) => (value, "s"),
    };
    format!("{} {unit}", value.escape_ascii()).into()
}

/// Text as it is; bytes that are not UTF-8 as escapes.
fn text(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "bytes": bytes.escape_ascii().to_string() }),
    }
}
