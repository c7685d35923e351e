//! Text of a log line: mostly UTF-8, but any byte may occur.

use std::borrow::Cow;

/// The first `characters_max` characters; a byte that is not UTF-8 counts as one.
#[inline(always)]
pub(super) fn cut(text: &[u8], characters_max: usize) -> &[u8] {
    if text.len() <= characters_max { text } else { cut_long(text, characters_max) }
}

#[cold]
fn cut_long(text: &[u8], characters_max: usize) -> &[u8] {
    if text[..characters_max].is_ascii() {
        return &text[..characters_max];
    }
    &text[..widths(text).take(characters_max).sum()]
}

/// Without the quotes some formats leave around a field. As in the reference, the last character goes
/// whenever the first one is a quote, whatever it is.
#[inline]
pub(super) fn unquote(text: &[u8]) -> &[u8] {
    match text.strip_prefix(b"\"") {
        None => text,
        Some(rest) => &rest[..rest.len() - widths(rest).last().unwrap_or(0)],
    }
}

/// Lower case by Unicode's rules; bytes that are not UTF-8 stay.
pub(super) fn lowercase(text: &[u8]) -> Cow<'_, [u8]> {
    // No early exit: many bytes are looked at in one step.
    if !text.iter().fold(false, |found, byte| found | !byte.is_ascii() | byte.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    let mut lower = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        lower.extend_from_slice(chunk.valid().to_lowercase().as_bytes());
        lower.extend_from_slice(chunk.invalid());
    }
    Cow::Owned(lower)
}

/// Without `byte` at either end.
pub(super) fn trim(mut text: &[u8], byte: u8) -> &[u8] {
    while let Some(rest) = text.strip_prefix(&[byte]) {
        text = rest;
    }
    while let Some(rest) = text.strip_suffix(&[byte]) {
        text = rest;
    }
    text
}

/// Bytes per character.
fn widths(text: &[u8]) -> impl Iterator<Item = usize> {
    text.utf8_chunks()
        .flat_map(|chunk| chunk.valid().chars().map(char::len_utf8).chain(chunk.invalid().iter().map(|_| 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_counts_characters_not_bytes() {
        assert_eq!(cut(b"abc", 3), b"abc");
        assert_eq!(cut(b"abcd", 3), b"abc");
        assert_eq!(cut("äöüß".as_bytes(), 3), "äöü".as_bytes());
        assert_eq!(cut(b"a\xffbcd", 3), b"a\xffb");
    }

    #[test]
    fn unquoting_takes_both_ends_when_the_first_is_a_quote() {
        assert_eq!(unquote(b"\"agent\""), b"agent");
        assert_eq!(unquote(b"\"agent"), b"agen");
        assert_eq!(unquote("\"agentü".as_bytes()), b"agent");
        assert_eq!(unquote(b"\""), b"");
        assert_eq!(unquote(b"a\""), b"a\"");
        assert_eq!(unquote(b""), b"");
    }

    #[test]
    fn lower_case_leaves_strange_bytes_alone() {
        assert!(matches!(lowercase(b"/plain?x=1"), Cow::Borrowed(_)));
        assert_eq!(&*lowercase("/ÄB\u{41}".as_bytes()), "/äba".as_bytes());
        assert_eq!(&*lowercase(b"A\xC4"), b"a\xC4");
    }

    #[test]
    fn trimming_takes_every_dot() {
        assert_eq!(trim(b"..www.example.org.", b'.'), b"www.example.org");
        assert_eq!(trim(b"...", b'.'), b"");
    }
}
