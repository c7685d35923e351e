//! How a request is written down.

use jiff::Timestamp;
use serde_json::json;

use super::{HOST, Line};

/// The formats that journeys use; the golden cases know many more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Apache's and nginx's usual one, with referrer and user agent.
    #[default]
    Combined,
    /// The same after the name of the host.
    VhostCombined,
    /// One JSON object a line, with the names that Matomo's importer knows from nginx.
    NginxJson,
}

impl Format {
    /// A line without its line end.
    ///
    /// # Panics
    /// When the second is outside of the years that a calendar knows.
    pub fn write(self, line: &Line) -> String {
        match self {
            Format::Combined => combined(line),
            Format::VhostCombined => format!("{HOST} {}", combined(line)),
            Format::NginxJson => nginx_json(line),
        }
    }
}

#[expect(clippy::expect_used, reason = "a log from beyond the calendar is a mistake in the journey")]
fn written(second: i64, layout: &str) -> String {
    Timestamp::from_second(second).expect("a second of the calendar").strftime(layout).to_string()
}

fn combined(line: &Line) -> String {
    let Line { address, path, status, bytes, agent, .. } = line;
    let time = written(line.second, "%d/%b/%Y:%H:%M:%S +0000");
    let referrer = if line.referrer.is_empty() { "-" } else { &line.referrer };
    format!(r#"{address} - - [{time}] "GET {path} HTTP/1.1" {status} {bytes} "{referrer}" "{agent}""#)
}

fn nginx_json(line: &Line) -> String {
    json!({
        "ip": line.address, "host": HOST, "path": line.path, "status": line.status.to_string(),
        "referrer": line.referrer, "user_agent": line.agent, "length": line.bytes,
        "generation_time_milli": 1.5, "date": written(line.second, "%Y-%m-%dT%H:%M:%S+00:00"),
    })
    .to_string()
}

/// The name of the file that a line belongs to: one file an hour, UTC.
pub(super) fn hour_file(second: i64) -> String {
    written(second, "access_log.%Y-%m-%d-%H")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Traffic, YEAR_2026};

    #[test]
    fn the_three_formats_look_as_servers_write_them() {
        let line = Line {
            second: YEAR_2026 + 3_661,
            address: "192.0.2.7".into(),
            agent: "Agent/1".into(),
            referrer: String::new(),
            path: "/a?n=1".into(),
            status: 200,
            bytes: 512,
            ..Traffic::seeded(0).lines(1).remove(0)
        };
        let expected = r#"192.0.2.7 - - [01/Jan/2026:01:01:01 +0000] "GET /a?n=1 HTTP/1.1" 200 512 "-" "Agent/1""#;
        assert_eq!(Format::Combined.write(&line), expected);
        assert_eq!(Format::VhostCombined.write(&line), format!("www.example.org {expected}"));
        let json: serde_json::Value = serde_json::from_str(&Format::NginxJson.write(&line)).unwrap();
        assert_eq!(json["date"], "2026-01-01T01:01:01+00:00");
        assert_eq!(hour_file(line.second), "access_log.2026-01-01-01");
    }
}
