//! Stories about records and their hits; the reference's own recordings; any bytes at all.

mod any_bytes;
mod filters;
mod golden;
mod parameters;

use std::borrow::Cow;

use serde_json::Value;

use super::{Dates, HitOptions, Judge, Judged, Site, Skip, Verdict};
use crate::format::{Date, Moment, Record, Text};

/// 2026-11-24 00:00:00 UTC.
const NOW: Moment = Moment { seconds: 1_795_478_400, micros: 0 };

/// 2024-03-12 08:00:00 UTC.
const THEN: i64 = 1_710_230_400;

fn text(text: &str) -> Text<'_> {
    Cow::Borrowed(text.as_bytes())
}

/// A page view without anything special.
fn view(path: &str) -> Record<'_> {
    Record {
        ip: text("192.0.2.1"),
        date: Date::Unix { seconds: THEN, micros: 0 },
        path: text(path),
        status: text("200"),
        user_agent: Some(text("Mozilla/5.0 (X11)")),
        ..Record::default()
    }
}

fn site() -> Site {
    Site::new(1, "https://www.example.org")
}

fn judge(options: &HitOptions) -> Judge {
    Judge::new(options, false).unwrap()
}

fn kept<'r>(judge: &mut Judge, record: &'r Record<'r>) -> Judged<'r> {
    match judge.judge(record, &mut Dates::default(), NOW) {
        Verdict::Keep(hit) => hit,
        Verdict::Skip(skipped) => panic!("{} for {record:?}", skipped.reason.word()),
    }
}

/// The hit of a record, as Matomo reads it.
fn hit(options: &HitOptions, record: &Record<'_>) -> Value {
    let mut judge = judge(options);
    let kept = kept(&mut judge, record);
    let mut out = Vec::new();
    judge.write(&kept, &site(), &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// Why a record is no hit, if it is none.
fn reason(options: &HitOptions, record: &Record<'_>) -> Option<Skip> {
    match judge(options).judge(record, &mut Dates::default(), NOW) {
        Verdict::Keep(_) => None,
        Verdict::Skip(skipped) => Some(skipped.reason),
    }
}

/// All that EEA enables.
fn everything() -> HitOptions {
    HitOptions {
        enable_http_errors: true,
        enable_http_redirects: true,
        enable_static: true,
        enable_bots: true,
        ..HitOptions::default()
    }
}
