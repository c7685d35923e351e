//! Text from outside made safe: it stays on its line and gives no orders to a terminal.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use serde_json::Value as Json;

/// Writes the text with everything escaped that would break the line, move the cursor or turn the text.
pub(super) fn write_escaped(out: &mut impl Write, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| if is_unsafe(c) { write!(out, "{}", c.escape_default()) } else { out.write_char(c) })
}

/// Writes a value so that its end can be seen: quoted when it is empty or holds a blank, a quote or `=`.
pub(super) fn write_value(out: &mut impl Write, text: &str) -> fmt::Result {
    let is_quoted = text.len() >= 2 && text.starts_with('"') && text.ends_with('"');
    let is_plain = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
    if is_quoted || is_plain {
        return write_escaped(out, text);
    }
    out.write_char('"')?;
    write_escaped(out, &text.replace('\\', "\\\\").replace('"', "\\\""))?;
    out.write_char('"')
}

/// A text as JSON in which nothing is left that a terminal would obey: JSON itself lets C1 controls and the marks that
/// turn the direction of a text stand as they are.
pub(super) struct InJson<'a>(pub(super) &'a Json);

impl fmt::Display for InJson<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string().chars().try_for_each(|c| {
            // All of them lie in the first plane, where one unit of UTF-16 says it.
            if is_unsafe(c) { write!(out, "\\u{:04x}", u32::from(c)) } else { out.write_char(c) }
        })
    }
}

fn is_unsafe(c: char) -> bool {
    // Line separators, and the marks that reverse the direction of what follows.
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes from outside as text for one line of a terminal. What is no UTF-8 becomes `\xff`, what would command the
/// terminal `\u{1b}`; tabs stay.
pub(crate) fn escaped(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(is_unsafe_in_output) => Cow::Borrowed(text),
        _ => Cow::Owned(escape_bytes(bytes)),
    }
}

fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 4);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unsafe_in_output(c) { out.extend(c.escape_default()) } else { out.push(c) }
        }
        for byte in chunk.invalid() {
            // Writing to a text cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn is_unsafe_in_output(c: char) -> bool {
    c != '\t' && is_unsafe(c)
}
