//! Bytes of a log line as the inside of a JSON text: always valid UTF-8, never a lone surrogate.
//!
//! Matomo refuses a whole bulk request for one byte that is not UTF-8, so such bytes never pass as they are.

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// What stands for a byte that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stray {
    /// `%E9`, as a browser would have sent it: for addresses.
    Percent,
    /// U+FFFD: for everything else.
    Replace,
}

/// Appends `text` as the inside of a JSON text.
pub(super) fn push(out: &mut Vec<u8>, text: &[u8], stray: Stray) {
    if is_plain(text) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        push_escaped(out, chunk.valid().as_bytes(), push_escape);
        push_stray(out, chunk.invalid(), stray);
    }
}

/// The same for a text of which it may be known that it is `plain`: that JSON takes it as it is.
#[inline]
pub(super) fn push_known(out: &mut Vec<u8>, text: &[u8], plain: bool, stray: Stray) {
    debug_assert!(!plain || is_plain(text), "{}", text.escape_ascii());
    if plain { out.extend_from_slice(text) } else { push(out, text, stray) }
}

/// Appends `text` as the inside of a JSON text that itself stands inside a JSON text, as `cvar` needs it.
pub(super) fn push_nested(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        push_escaped(out, chunk.valid().as_bytes(), push_nested_escape);
        push_stray(out, chunk.invalid(), Stray::Replace);
    }
}

/// Appends `text` percent-encoded: all but letters, digits and `_.-~`. A byte that is not UTF-8 counts as already
/// encoded once, because that is how `url` carries it.
pub(super) fn push_percent_encoded(out: &mut Vec<u8>, text: &[u8]) {
    if text.is_ascii() {
        return push_reserved_encoded(out, text);
    }
    for chunk in text.utf8_chunks() {
        push_reserved_encoded(out, chunk.valid().as_bytes());
        for &byte in chunk.invalid() {
            out.extend_from_slice(b"%25");
            push_hex(out, byte);
        }
    }
}

fn push_reserved_encoded(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| !UNRESERVED[usize::from(byte)]) {
        out.extend_from_slice(&rest[..at]);
        push_percent(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Bytes that an address carries unencoded.
const UNRESERVED: [bool; 256] = {
    let mut unreserved = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        unreserved[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'_' | b'.' | b'-' | b'~');
        byte += 1;
    }
    unreserved
};

/// Whether `text` may be copied as it is, sixteen bytes at a look; the last look may overlap the one before.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk() {
        let (blocks, _) = text.as_chunks();
        return !blocks.iter().any(is_special_in) && !is_special_in(last);
    }
    match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => !has_special(*first) && !has_special(*last),
        _ => !text.iter().any(|&byte| is_special(byte)),
    }
}

/// Whether any of sixteen bytes is special. No early exit: all are compared at once.
#[inline]
fn is_special_in(block: &[u8; 16]) -> bool {
    block.iter().fold(false, |found, &byte| found | is_special(byte))
}

#[inline]
fn is_special(byte: u8) -> bool {
    // Read as a signed number, a byte outside ASCII is negative.
    (byte.cast_signed() < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Whether any of eight bytes is special. Subtracting from all bytes at once sets the high bit of one that is too
/// small; without such a byte nothing is borrowed from a neighbour, so the answer is exact.
fn has_special(bytes: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES * 0x80;
    let word = u64::from_ne_bytes(bytes);
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * 0x22)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (word | control | quote | backslash) & HIGH != 0
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8], push_one: fn(&mut Vec<u8>, u8)) {
    let mut copied = 0;
    for (at, &byte) in text.iter().enumerate() {
        if is_special(byte) && byte.is_ascii() {
            out.extend_from_slice(&text[copied..at]);
            push_one(out, byte);
            copied = at + 1;
        }
    }
    out.extend_from_slice(&text[copied..]);
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        control => {
            out.extend_from_slice(b"\\u00");
            push_hex(out, control);
        }
    }
}

fn push_nested_escape(out: &mut Vec<u8>, byte: u8) {
    let inner = out.len();
    push_escape(out, byte);
    // The inner escape is a backslash and plain characters, or a backslash and one that needs a backslash again.
    out.insert(inner, b'\\');
    if matches!(byte, b'"' | b'\\') {
        out.insert(inner + 2, b'\\');
    }
}

fn push_stray(out: &mut Vec<u8>, bytes: &[u8], stray: Stray) {
    match stray {
        Stray::Percent => bytes.iter().for_each(|&byte| push_percent(out, byte)),
        Stray::Replace if !bytes.is_empty() => out.extend_from_slice("\u{fffd}".as_bytes()),
        Stray::Replace => {}
    }
}

fn push_percent(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(inside: &[u8]) -> String {
        serde_json::from_slice(&[b"\"", inside, b"\""].concat()).unwrap()
    }

    #[test]
    fn every_ascii_byte_survives_one_and_two_levels() {
        let text: Vec<u8> = (0..0x80).collect();
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        push(&mut once, &text, Stray::Replace);
        push_nested(&mut twice, &text);
        assert_eq!(read_back(&once).as_bytes(), text);
        assert_eq!(read_back(read_back(&twice).as_bytes()).as_bytes(), text);
    }

    #[test]
    fn every_special_byte_is_seen_at_every_place() {
        for length in 0..25 {
            let plain = vec![b'!'; length];
            assert!(is_plain(&plain));
            for place in 0..length {
                for byte in 0..=255 {
                    let mut text = plain.clone();
                    text[place] = byte;
                    assert_eq!(is_plain(&text), !is_special(byte), "{byte} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn stray_bytes_are_encoded_in_addresses_and_replaced_elsewhere() {
        let (mut address, mut other, mut nested, mut title) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        push(&mut address, b"/caf\xE9/\xC3\xBC", Stray::Percent);
        push(&mut other, b"caf\xE9", Stray::Replace);
        push_nested(&mut nested, b"\xFF\"");
        push_percent_encoded(&mut title, b"/caf\xE9/\xC3\xBC~");
        assert_eq!(address, "/caf%E9/ü".as_bytes());
        assert_eq!(other, "caf\u{fffd}".as_bytes());
        assert_eq!(read_back(read_back(&nested).as_bytes()), "\u{fffd}\"");
        assert_eq!(title, b"%2Fcaf%25E9%2F%C3%BC~");
    }
}
