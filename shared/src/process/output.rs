//! Bytes of a program to lines, in bounded pieces; the last ones are kept.

use std::{borrow::Cow, collections::VecDeque};

use crate::logging::escaped;

/// Longest piece of a line: container engines cut what they store at 16 KiB, and we want to choose where.
pub const PIECE_BYTES_MAX: usize = 16_000;
const TAIL_LINES_MAX: usize = 20;
const TAIL_BYTES_MAX: usize = 4_096;
const TAIL_LINE_BYTES_MAX: usize = 500;

/// Which of the two outputs of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A line of a program, or a piece of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it was written.
    pub stream: Stream,
    /// The bytes as they were written, without the line end.
    pub bytes: &'a [u8],
    /// Whether it goes on where the last piece of this stream ended.
    pub continues: bool,
}

impl Line<'_> {
    /// The text with everything escaped that is no text or would command a terminal.
    pub fn text(&self) -> Cow<'_, str> {
        escaped(self.bytes)
    }
}

/// Cuts one stream into lines. `\n`, `\r\n` and a lone `\r` (a progress bar) end a line.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    partial: Vec<u8>,
    continues: bool,
    after_return: bool,
}

impl Splitter {
    /// Takes the next bytes and gives each finished line, or piece of one, to `give`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], give: &mut impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            match bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                Some(end) => {
                    self.add(&bytes[..end], give);
                    self.end_line(give);
                    self.after_return = bytes[end] == b'\r';
                    bytes = &bytes[end + 1..];
                }
                None => {
                    self.add(bytes, give);
                    return;
                }
            }
        }
    }

    /// The stream has ended: what is left is a line without an end.
    pub(super) fn finish(&mut self, give: &mut impl FnMut(&[u8], bool)) {
        if !self.partial.is_empty() {
            self.end_line(give);
        }
    }

    fn end_line(&mut self, give: &mut impl FnMut(&[u8], bool)) {
        give(&self.partial, self.continues);
        self.partial.clear();
        self.continues = false;
    }

    fn add(&mut self, mut bytes: &[u8], give: &mut impl FnMut(&[u8], bool)) {
        while self.partial.len() + bytes.len() > PIECE_BYTES_MAX {
            let (now, later) = bytes.split_at(PIECE_BYTES_MAX - self.partial.len());
            self.partial.extend_from_slice(now);
            let cut = whole_characters(&self.partial);
            give(&self.partial[..cut], self.continues);
            self.partial.drain(..cut);
            self.continues = true;
            bytes = later;
        }
        self.partial.extend_from_slice(bytes);
    }
}

/// How many bytes can be cut off without splitting a character at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    for at in (from..bytes.len()).rev() {
        let wanted = match bytes[at] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if at + wanted > bytes.len() { at } else { bytes.len() };
    }
    bytes.len()
}

/// The last lines of both streams, cleaned, in the order in which we read them.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    pub(super) fn keep(&mut self, line: Line<'_>) {
        let shown = &line.bytes[..line.bytes.len().min(TAIL_LINE_BYTES_MAX)];
        let mut text =
            escaped(&shown[..if shown.len() < line.bytes.len() { whole_characters(shown) } else { shown.len() }])
                .into_owned();
        if shown.len() < line.bytes.len() {
            text.push('…');
        }
        self.bytes += text.len() + 1;
        self.lines.push_back(text);
        while self.lines.len() > TAIL_LINES_MAX || (self.bytes > TAIL_BYTES_MAX && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
        }
    }

    pub(super) fn text(self) -> String {
        Vec::from(self.lines).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of what is fed in chunks, each with a `+` when it continues.
    fn pieces(chunks: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut give = |bytes: &[u8], continues: bool| {
            assert!(bytes.len() <= PIECE_BYTES_MAX);
            found.push(format!("{}{}", if continues { "+" } else { "" }, String::from_utf8_lossy(bytes)));
        };
        let mut splitter = Splitter::default();
        chunks.iter().for_each(|chunk| splitter.feed(chunk, &mut give));
        splitter.finish(&mut give);
        found
    }

    #[test]
    fn every_kind_of_line_end_ends_a_line() {
        assert_eq!(pieces(&[b"a\nb\r\nc\rd\n\n\r\n\re"]), ["a", "b", "c", "d", "", "", "", "e"]);
        assert_eq!(pieces(&[b"a\r", b"\nb"]), ["a", "b"]);
        assert_eq!(pieces(&[b"no end"]), ["no end"]);
        assert_eq!(pieces(&[b""]), [""; 0]);
    }

    #[test]
    fn c_033_pieces_are_cut_exactly_at_their_limit() {
        for length in [PIECE_BYTES_MAX - 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 2 * PIECE_BYTES_MAX] {
            let line = [vec![b'x'; length], vec![b'\n']].concat();
            let found = pieces(&[&line[..7], &line[7..]]);
            assert_eq!(found.len(), length.div_ceil(PIECE_BYTES_MAX));
            assert_eq!(found.iter().map(|piece| piece.trim_start_matches('+').len()).sum::<usize>(), length);
        }
    }

    #[test]
    fn c_035_no_piece_and_no_read_splits_a_character() {
        for filler in 0..4 {
            let text = "x".repeat(filler) + &"é€😀".repeat(4_000);
            let bytes = text.as_bytes();
            for at in [1, 2, 3, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1] {
                let found = pieces(&[&bytes[..at], &bytes[at..]]);
                let joined: String = found.iter().map(|piece| piece.trim_start_matches('+')).collect();
                assert_eq!(joined, text);
            }
        }
    }

    #[test]
    fn the_tail_is_bounded_and_clean() {
        let mut tail = Tail::default();
        for number in 0..10_000 {
            let text = format!("line {number}\x1b[31m {}", "x".repeat(1_000));
            tail.keep(Line { stream: Stream::Out, bytes: text.as_bytes(), continues: false });
        }
        let text = tail.text();
        assert!(text.len() <= TAIL_BYTES_MAX && text.contains("line 9999\\u{1b}[31m"), "{text}");
    }
}
