//! The lines of programs that we run, as lines of our log: each marked with its job, cut to pieces, safe to show.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::{Format, escape::escaped, now, outlet::Outlet};
use crate::process::{Line, PIECE_BYTES_MAX, Stream};

/// So many lines that are sent together carry their label; after that it is a flood, and one in so many does: a label is
/// longer than the lines that floods are made of. A flood goes on as long as more than so many come together, whatever
/// the pieces in which a busy machine hands it over.
const LABELLED_LINES: u64 = 100;

/// Gathers the lines of one program until they are sent together.
pub(crate) struct Pump {
    outlet: Option<(Outlet, Format)>,
    label: String,
    batch: Vec<u8>,
    count: u64,
    /// What was sent last was a flood.
    was_flood: bool,
}

impl Pump {
    /// For a program with this label; silent until logging was started.
    pub(crate) fn new(label: &str) -> Self {
        Self {
            outlet: super::outlet(),
            label: escaped(label.as_bytes()).into_owned(),
            batch: Vec::new(),
            count: 0,
            was_flood: false,
        }
    }

    /// As [`Pump::new`], for a program whose lines nobody wants to see.
    pub(crate) fn silent() -> Self {
        Self { outlet: None, label: String::new(), batch: Vec::new(), count: 0, was_flood: false }
    }

    pub(crate) fn add(&mut self, line: Line<'_>) {
        let Some((_, format)) = &self.outlet else { return };
        let text = line.text();
        let mut continues = line.continues;
        let mut rest = text.as_ref();
        loop {
            let (piece, later) = rest.split_at(piece_end(rest, *format));
            match format {
                Format::Text => {
                    let label = if self.wants_label() { &self.label } else { "" };
                    write_text(&mut self.batch, label, line.stream, continues, piece);
                }
                Format::Json => write_json(&mut self.batch, now(), &self.label, line.stream, continues, piece),
            }
            self.count += 1;
            if later.is_empty() {
                return;
            }
            (rest, continues) = (later, true);
        }
    }

    /// Sends what was gathered; answers how many bytes were dropped because nobody reads. Safe to abandon.
    pub(crate) async fn send(&mut self) -> u64 {
        let Some((outlet, _)) = &self.outlet else { return 0 };
        if self.batch.is_empty() {
            return 0;
        }
        let dropped = outlet.push_output(&mut self.batch, self.count).await;
        self.sent();
        dropped
    }

    /// Whether the next line carries its label. Nobody else writes within a batch, so there the label of a line before
    /// is its own.
    fn wants_label(&self) -> bool {
        let is_flood = self.was_flood || self.count >= LABELLED_LINES;
        !is_flood || self.count.is_multiple_of(LABELLED_LINES)
    }

    fn sent(&mut self) {
        self.was_flood = self.count > LABELLED_LINES;
        self.count = 0;
    }
}

/// Where to cut: an escaped text may be longer than the piece it was.
fn piece_end(text: &str, format: Format) -> usize {
    let cost = |c: char| match format {
        Format::Text => c.len_utf8(),
        Format::Json if matches!(c, '"' | '\\') => 2,
        Format::Json if c.is_ascii_control() => 6,
        Format::Json => c.len_utf8(),
    };
    if text.len() <= PIECE_BYTES_MAX && format == Format::Text {
        return text.len();
    }
    let mut sum = 0;
    let end = text.char_indices().find(|(_, c)| {
        sum += cost(*c);
        sum > PIECE_BYTES_MAX
    });
    end.map_or(text.len(), |(at, _)| at)
}

/// `label| text`, `label! text` for standard error; a `+` says that the line before goes on. In a flood the label is
/// left out: `| text`.
fn write_text(out: &mut Vec<u8>, label: &str, stream: Stream, continues: bool, piece: &str) {
    out.extend_from_slice(label.as_bytes());
    out.push(if stream == Stream::Out { b'|' } else { b'!' });
    if continues {
        out.push(b'+');
    }
    if !piece.is_empty() {
        out.push(b' ');
        out.extend_from_slice(piece.as_bytes());
    }
    out.push(b'\n');
}

fn write_json(out: &mut Vec<u8>, moment: Timestamp, label: &str, stream: Stream, continues: bool, piece: &str) {
    let stream = if stream == Stream::Out { "stdout" } else { "stderr" };
    let (message, job) = (Json::from(piece), Json::from(label));
    let mut line = String::new();
    // Writing to a text cannot fail.
    let _ = write!(
        line,
        r#"{{"timestamp":"{moment}","level":"info","message":{message},"job":{job},"stream":"{stream}"{}}}"#,
        if continues { r#","continues":true"# } else { "" }
    );
    out.extend_from_slice(line.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_032_a_flood_in_small_pieces_is_a_flood() {
        let mut pump = Pump::silent();
        let labels = [150, 150, 60, 60].map(|lines| {
            let mut labels = 0;
            for _ in 0..lines {
                labels += u32::from(pump.wants_label());
                pump.count += 1;
            }
            pump.sent();
            labels
        });
        assert_eq!(labels, [101, 2, 1, 60], "and a calm line carries its label again");
    }
}
