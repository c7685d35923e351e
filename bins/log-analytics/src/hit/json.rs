//! Bytes of a log line as the inside of a JSON text: always valid UTF-8, never a lone surrogate.
//!
//! Matomo refuses a whole bulk request for one byte that is not UTF-8, so such bytes never pass as they are.

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
    for chunk in text.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) {
                out.push(byte);
            } else {
                push_percent(out, byte);
            }
        }
        for &byte in chunk.invalid() {
            out.extend_from_slice(b"%25");
            push_hex(out, byte);
        }
    }
}

/// Whether `text` may be copied as it is. Written without branches so that the compiler can look at many bytes at once.
fn is_plain(text: &[u8]) -> bool {
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte >= 0x80);
    !text.iter().fold(false, |any, &byte| any | special(byte))
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8], push_one: fn(&mut Vec<u8>, u8)) {
    let mut copied = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte < 0x20 || byte == b'"' || byte == b'\\' {
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
    out.push(b'%');
    push_hex(out, byte);
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
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
    fn stray_bytes_are_encoded_in_addresses_and_replaced_elsewhere() {
        let (mut address, mut other, mut nested, mut title) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
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
