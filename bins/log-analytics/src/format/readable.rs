//! A line as text a pattern can read, whatever its bytes, and the way back to the bytes.

use std::borrow::Cow;
use std::ops::Range;

/// Stands for one byte that is not UTF-8: a private-use character, so neither a blank, a letter nor a digit.
const STAND_IN: char = '\u{E000}';
/// How many bytes a stand-in is longer than the byte it stands for.
const GROWTH: usize = STAND_IN.len_utf8() - 1;

/// A line in UTF-8. Patterns match the text, captures are cut out of the line itself,
/// so every byte of a field comes out exactly as it went in.
#[derive(Debug)]
pub struct Readable<'l> {
    line: &'l [u8],
    text: Cow<'l, str>,
    /// Where the stand-ins begin in `text`, ascending.
    stand_ins: Vec<usize>,
}

impl<'l> Readable<'l> {
    /// Reads a line; costs nothing but the UTF-8 check when all is well.
    pub fn new(line: &'l [u8]) -> Self {
        match str::from_utf8(line) {
            Ok(text) => Self { line, text: Cow::Borrowed(text), stand_ins: Vec::new() },
            Err(_) => Self::with_stand_ins(line),
        }
    }

    fn with_stand_ins(line: &'l [u8]) -> Self {
        let mut text = String::with_capacity(line.len() + 16);
        let mut stand_ins = Vec::new();
        for chunk in line.utf8_chunks() {
            text.push_str(chunk.valid());
            for _ in chunk.invalid() {
                stand_ins.push(text.len());
                text.push(STAND_IN);
            }
        }
        Self { line, text: Cow::Owned(text), stand_ins }
    }

    /// The text for a pattern.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the line behind a range of the text.
    pub fn bytes(&self, range: Range<usize>) -> &'l [u8] {
        let range = self.origin(range.start)..self.origin(range.end);
        self.line.get(range).unwrap_or_default()
    }

    fn origin(&self, offset: usize) -> usize {
        let before = self.stand_ins.partition_point(|at| *at < offset);
        offset - GROWTH * before
    }

    /// Whether the first character is a blank.
    pub fn starts_blank(&self) -> bool {
        self.text.starts_with(is_blank)
    }

    /// Whether the `n`th word opens a date in brackets.
    pub fn opens_date(&self, n: usize) -> bool {
        self.word(n).is_some_and(|word| word.starts_with('['))
    }

    /// The `n`th word (0 is the first), where blanks are what the reference's patterns call blank.
    pub fn word(&self, n: usize) -> Option<&str> {
        self.text.split(is_blank).filter(|word| !word.is_empty()).nth(n)
    }
}

/// Python's `\s`: Unicode white space and the four separators 0x1C to 0x1F.
pub fn is_blank(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1C}'..='\u{1F}')
}

/// What one look at all bytes of a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// All white space is of the expected sort.
    pub only_blanks: bool,
    /// Printable ASCII and the expected blanks, and no backslash among them.
    pub plain: bool,
}

/// Bytes compared in one step.
const BLOCK: usize = 32;

/// Looks at every byte of a line.
#[inline(always)]
pub fn sweep(line: &[u8], expected: impl Fn(u8) -> bool + Copy) -> Sweep {
    let (odd, backslash) = match line.last_chunk::<BLOCK>() {
        // Whole blocks only; the last one may overlap the one before.
        Some(last) => {
            let (blocks, last) = (look(line.as_chunks::<BLOCK>().0.as_flattened(), expected), look(last, expected));
            (blocks.0 | last.0, blocks.1 | last.1)
        }
        None => look(line, expected),
    };
    Sweep { only_blanks: !odd || !has_odd_blanks(line, expected), plain: !odd && !backslash }
}

/// Whether a byte is neither printable ASCII nor expected, and whether one is a backslash. No early exit: many bytes are
/// compared at once.
#[inline(always)]
fn look(text: &[u8], expected: impl Fn(u8) -> bool) -> (bool, bool) {
    text.iter().fold((false, false), |(odd, backslash), &byte| {
        // Read as signed numbers, bytes outside ASCII are negative: one comparison tells.
        let printable = (byte.cast_signed() > b' '.cast_signed()) | expected(byte);
        (odd | !printable, backslash | (byte == b'\\'))
    })
}

#[cold]
fn has_odd_blanks(line: &[u8], expected: impl Fn(u8) -> bool) -> bool {
    let odd = |character: char| is_blank(character) && !u8::try_from(character).is_ok_and(&expected);
    line.utf8_chunks().any(|chunk| chunk.valid().contains(odd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_come_out_as_they_went_in() {
        let line = b"a\xFF\xE9b \xE2\x82\xAC\xC3";
        let readable = Readable::new(line);
        let text = readable.text();
        assert_eq!(text.chars().count(), 7);
        let blank = text.find(' ').unwrap();
        assert_eq!(readable.bytes(0..blank), b"a\xFF\xE9b");
        assert_eq!(readable.bytes(blank + 1..text.len()), b"\xE2\x82\xAC\xC3");
    }

    #[test]
    fn every_byte_is_seen_at_every_place() {
        let blank = |byte: u8| byte == b' ';
        for length in 0..70 {
            let plain = vec![b'!'; length];
            assert_eq!(sweep(&plain, blank), Sweep { only_blanks: true, plain: true });
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = plain.clone();
                    text[place] = byte;
                    let only_blanks = byte == b' ' || byte >= 0x7f || !is_blank(char::from(byte));
                    let plain = (b' '..=0x7f).contains(&byte) && byte != b'\\';
                    assert_eq!(sweep(&text, blank), Sweep { only_blanks, plain }, "{byte} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn words_are_split_where_python_splits_them() {
        let readable = Readable::new("a\u{1C}b\u{A0}c  d".as_bytes());
        assert_eq!(readable.word(1), Some("b"));
        assert_eq!(readable.word(3), Some("d"));
        assert_eq!(readable.word(4), None);
    }
}
