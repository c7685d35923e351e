//! Matomo's archiving queue: rows that claim to be worked on, and which of them nobody works on any more.
//!
//! A row that is cut off stays "Processing", and its site is left out by every run for 24 hours, without a word.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Map, Value};

/// Rows of a queue are many at the first run of a large Matomo; more than this is not looked at.
const ROWS_MAX: usize = 200_000;

/// Matomo's tables hold whole seconds, and the clocks of two hosts differ a little.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(2);

/// A row that claims to be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The site.
    pub site: u32,
    /// Since when; none when Matomo does not say.
    pub started: Option<Timestamp>,
}

/// The output of `diagnostics:archiving-queue` is not what we can read.
#[derive(Debug, thiserror::Error)]
#[error("diagnostics:archiving-queue answers in a shape that is not known here: {0}")]
pub struct QueueError(String);

fn unknown(what: impl Into<String>) -> QueueError {
    QueueError(what.into())
}

/// The rows under way in `diagnostics:archiving-queue --json`. Other lines around the JSON are passed over; the names
/// of the fields are taken in any case and with or without blanks, because versions differ.
///
/// # Errors
/// When there is no list in the text, or a row of it is not understood: then nobody can tell which sites are stuck.
pub fn under_way(text: &str) -> Result<Vec<Row>, QueueError> {
    let rows = match rows(text)? {
        Value::Array(rows) => rows,
        Value::Object(rows) => rows.into_iter().map(|(_, row)| row).collect(),
        _ => return Err(unknown("no list")),
    };
    rows.iter().take(ROWS_MAX).filter_map(|value| row(value).transpose()).collect()
}

fn rows(text: &str) -> Result<Value, QueueError> {
    let mut problem = None;
    for (at, _) in text.match_indices(['[', '{']).take(50) {
        match serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>().next() {
            Some(Ok(value)) if value.is_array() || value.as_object().is_some_and(holds_rows) => return Ok(value),
            Some(Err(error)) => problem = problem.or(Some(error)),
            _ => {}
        }
    }
    Err(unknown(problem.map_or_else(|| "no list in JSON".to_owned(), |error| error.to_string())))
}

fn holds_rows(object: &Map<String, Value>) -> bool {
    object.values().all(Value::is_object)
}

fn row(value: &Value) -> Result<Option<Row>, QueueError> {
    let object = value.as_object().ok_or_else(|| unknown("a row is no object"))?;
    let fields: BTreeMap<String, &Value> = object.iter().map(|(name, value)| (bare(name), value)).collect();
    let field = |names: &[&str]| names.iter().find_map(|name| fields.get(*name).copied());
    let status = field(&["status"]).ok_or_else(|| unknown("a row without a status"))?;
    if !is_under_way(status)? {
        return Ok(None);
    }
    let site = field(&["site", "idsite", "siteid", "website"]).and_then(number);
    let site = site.ok_or_else(|| unknown("a row without the number of its site"))?;
    let started = field(&["started", "tsstarted", "timestarted", "starttime", "processingstarted"]);
    let started = match started {
        None => return Err(unknown("a row under way without a time at which it started")),
        Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(value) => {
            let moment = value.as_str().and_then(moment);
            Some(moment.ok_or_else(|| unknown(format!("{value} as the time at which a row started")))?)
        }
    };
    Ok(Some(Row { site, started }))
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().map_or_else(|| value.as_str()?.trim().parse().ok(), |number| u32::try_from(number).ok())
}

fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Measured: `Processing`. The others are what its sources and its table have.
fn is_under_way(status: &Value) -> Result<bool, QueueError> {
    let word = status.as_str().map(bare).or_else(|| status.as_u64().map(|number| number.to_string()));
    match word.as_deref() {
        Some("processing" | "inprogress" | "1") => Ok(true),
        Some("queued" | "0") => Ok(false),
        _ => Err(unknown(format!("{status} as the status of a row"))),
    }
}

/// Matomo's database speaks UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse()
        .ok()
        .or_else(|| text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp()))
}

/// A site with rows that nobody works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckSite {
    /// The site.
    pub site: u32,
    /// How many rows.
    pub rows: usize,
    /// The oldest of their starts.
    pub since: Option<Timestamp>,
    /// The latest of their starts.
    pub until: Option<Timestamp>,
}

/// Sites whose rows are stuck, while no archiver of ours runs: rows that were started in a run of ours that was cut
/// off, and rows of unknown or great age. Anything younger may belong to an archiver on another host.
pub fn stuck(
    rows: &[Row],
    cut_off: &[(Timestamp, Timestamp)],
    now: Timestamp,
    patience: SignedDuration,
) -> Vec<StuckSite> {
    let ours = |started: Timestamp| {
        cut_off.iter().any(|(from, to)| started >= *from - CLOCK_SLACK && started <= *to + CLOCK_SLACK)
    };
    let is_stuck =
        |row: &&Row| row.started.is_none_or(|started| ours(started) || started.duration_until(now) > patience);
    let mut sites: BTreeMap<u32, StuckSite> = BTreeMap::new();
    for row in rows.iter().filter(is_stuck) {
        let site =
            sites.entry(row.site).or_insert(StuckSite { site: row.site, rows: 0, since: row.started, until: None });
        site.rows += 1;
        site.since = [site.since, row.started].into_iter().flatten().min();
        site.until = site.until.max(row.started);
    }
    sites.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn rows_under_way_are_found_whatever_stands_around_them() {
        let text = r#"WARNING [1:2] odd [text]
[{"Invalidation":"1","Site":"4","Period":"Day","Status":"Processing","Started":"2026-11-24 10:00:00"},
 {"Invalidation":"2","Site":"4","Status":"Queued","Started":null},
 {"invalidation":3,"idsite":7,"status":1,"ts_started":"2026-11-24T10:05:00Z"}]
done"#;
        let rows = under_way(text).unwrap();
        assert_eq!(
            rows,
            [
                Row { site: 4, started: Some(at("2026-11-24T10:00:00Z")) },
                Row { site: 7, started: Some(at("2026-11-24T10:05:00Z")) },
            ]
        );
        assert_eq!(under_way("[]").unwrap(), []);
        let keyed = r#"{"0":{"Site":9,"Status":"In progress","Started":null}}"#;
        assert_eq!(under_way(keyed).unwrap(), [Row { site: 9, started: None }]);
    }

    #[test]
    fn a_shape_that_is_not_known_is_an_error_and_no_empty_queue() {
        for (text, why) in [
            ("", "no list"),
            ("Command not found", "no list"),
            (r#"{"result":"error"}"#, "no list"),
            (r#"[{"Site":"#, "EOF"),
            (r#"["4"]"#, "no object"),
            (r#"[{"Site":4,"State":"Processing"}]"#, "without a status"),
            (r#"[{"Site":4,"Status":"En cours","Started":"2026-11-24 10:00:00"}]"#, "En cours"),
            (r#"[{"Site":"Shop","Status":"Processing","Started":"2026-11-24 10:00:00"}]"#, "number of its site"),
            (r#"[{"Site":4,"Status":"Processing"}]"#, "without a time"),
            (r#"[{"Site":4,"Status":"Processing","Started":"two hours ago"}]"#, "two hours ago"),
        ] {
            let error = under_way(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_row_is_stuck_when_its_run_was_cut_off_or_when_it_is_old() {
        let row = |site, minute: &str| Row { site, started: Some(at(&format!("2026-11-24T{minute}:00Z"))) };
        let rows = [row(1, "10:00"), row(1, "10:01"), row(2, "10:20"), row(3, "06:00"), Row { site: 4, started: None }];
        let cut_off = [(at("2026-11-24T09:59:00Z"), at("2026-11-24T10:02:00Z"))];
        let now = at("2026-11-24T10:30:00Z");
        let sites: Vec<_> =
            stuck(&rows, &cut_off, now, SignedDuration::from_hours(3)).into_iter().map(|s| (s.site, s.rows)).collect();
        assert_eq!(sites, [(1, 2), (3, 1), (4, 1)], "site 2 may be at work on another host");
        assert_eq!(
            stuck(&rows, &cut_off, now, SignedDuration::from_hours(3))[0].since,
            Some(at("2026-11-24T10:00:00Z"))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text: String) {
            let _ = under_way(&text);
        }
    }
}
