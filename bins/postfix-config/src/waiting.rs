//! Messages that wait in the queue, as `postqueue -j` lists them.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// One message.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// Its name in the log.
    pub queue_id: String,
    /// Which part of the queue it is in: `active`, `deferred`, `hold`, …
    pub queue_name: String,
    /// When it came, in seconds since 1970.
    arrival_time: i64,
    /// Its size in bytes.
    #[serde(default)]
    message_size: u64,
    /// Whom it is from; empty for a notice of failure.
    #[serde(default)]
    pub sender: String,
    /// Whom it is still to reach.
    #[serde(default)]
    pub recipients: Vec<Recipient>,
}

/// One recipient of a message.
#[derive(Debug, Deserialize)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// Why it has not been reached; missing while nobody has tried.
    #[serde(default)]
    pub delay_reason: Option<String>,
}

/// The answer of `postqueue -j` cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read a line of the queue's list")]
pub struct ListError {
    #[from]
    source: serde_json::Error,
}

/// The messages, those that wait longest first. One that moved to another part of the queue while Postfix was listing is
/// listed in both; the later place is where it is.
pub fn read(list: &str) -> Result<Vec<Message>, ListError> {
    let lines = list.lines().filter(|line| !line.trim().is_empty());
    let mut messages = lines.map(serde_json::from_str::<Message>).collect::<Result<Vec<_>, _>>()?;
    messages.sort_by(|a, b| (a.arrival_time, &a.queue_id).cmp(&(b.arrival_time, &b.queue_id)));
    messages.dedup_by(|later, kept| {
        let is_same = later.queue_id == kept.queue_id;
        if is_same {
            std::mem::swap(later, kept);
        }
        is_same
    });
    Ok(messages)
}

impl Message {
    /// How long it has been waiting.
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        SignedDuration::from_secs((now.as_second() - self.arrival_time).max(0))
    }

    /// Why it waits, for a column.
    pub fn why(&self) -> &str {
        let reason = self.recipients.iter().find_map(|recipient| recipient.delay_reason.as_deref());
        match self.queue_name.as_str() {
            "hold" => "held back by an operator",
            "active" => reason.unwrap_or("on its way"),
            "incoming" | "maildrop" => reason.unwrap_or("just arrived"),
            _ => reason.unwrap_or("not tried yet"),
        }
    }

    fn row(&self, now: Timestamp) -> [String; 6] {
        let sender = if self.sender.is_empty() { "(notice of failure)" } else { &self.sender };
        let recipient = match self.recipients.as_slice() {
            [] => "-".to_owned(),
            [one] => one.address.clone(),
            [first, more @ ..] => format!("{} and {} more", first.address, more.len()),
        };
        [
            self.queue_id.clone(),
            in_words(self.age(now)),
            size(self.message_size),
            sender.to_owned(),
            recipient,
            self.why().to_owned(),
        ]
    }
}

const HEADINGS: [&str; 6] = ["ID", "WAITS", "SIZE", "FROM", "TO", "WHY"];

/// The messages as a table for people.
pub fn table(messages: &[Message], now: Timestamp) -> String {
    if messages.is_empty() {
        return "The queue is empty\n".to_owned();
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(messages.iter().map(|message| message.row(now).map(|cell| printable(&cell))));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// An address or an answer of a server may hold anything; a table has one line a message.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `3d 4h`, `5h 6m`, `7m 8s`.
pub fn in_words(age: SignedDuration) -> String {
    let seconds = age.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        ..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} kB", bytes / 1024),
        _ => format!("{} MB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
{"queue_name": "deferred", "queue_id": "B2", "arrival_time": 1000, "message_size": 20480, "forced_expire": false, "sender": "a@b.example", "recipients": [{"address": "c@d.example", "delay_reason": "connect to r[1.2.3.4]:25: Connection refused"}, {"address": "e@d.example"}]}
{"queue_name": "active", "queue_id": "A1", "arrival_time": 900, "message_size": 300, "sender": "", "recipients": [{"address": "c@d.example"}]}
"#;

    #[test]
    fn a_message_that_moves_while_the_queue_is_listed_is_one() {
        let line = |place| format!(r#"{{"queue_name": "{place}", "queue_id": "B2", "arrival_time": 1000}}"#);
        let messages = read(&[line("active"), line("deferred")].join("\n")).unwrap();
        let places: Vec<&str> = messages.iter().map(|message| &*message.queue_name).collect();
        assert_eq!(places, ["deferred"]);
    }

    #[test]
    fn the_longest_wait_is_on_top_and_every_row_says_why() {
        let messages = read(LIST).unwrap();
        let table = table(&messages, Timestamp::from_second(4_700).unwrap());
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("ID  WAITS"), "{table}");
        assert!(lines[1].starts_with("A1  1h 3m") && lines[1].ends_with("on its way"), "{table}");
        assert!(lines[1].contains("(notice of failure)"));
        assert!(lines[2].contains("20 kB") && lines[2].contains("c@d.example and 1 more"), "{table}");
        assert!(lines[2].ends_with("connect to r[1.2.3.4]:25: Connection refused"));
        assert_eq!(super::table(&[], Timestamp::UNIX_EPOCH), "The queue is empty\n");
        assert!(read("nonsense").is_err());
    }
}
