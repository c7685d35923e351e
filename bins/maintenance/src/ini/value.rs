//! A value that may be written without quotes, and the reading of those that others wrote.

use std::fmt;

/// A value of letters, digits and `._-`: it means the same to every reader, so it needs no quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// The value, when it is of that kind.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (!text.is_empty() && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// `1` or `0`.
    pub fn switch(on: bool) -> Self {
        Self(if on { "1" } else { "0" }.to_owned())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether PHP takes a value for true.
pub fn is_true(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "no" | "off" | "false" | "none" | "null")
}

/// What a value in the file means: quotes and their escapes removed, and Matomo's own encoding undone, which writes
/// `&quot;` for a quote and `&#36;` for a dollar sign. Nothing where a name such as `&eacute;` is left that we do not know.
pub fn decode(raw: &[u8]) -> Option<String> {
    without_entities(&unquoted(std::str::from_utf8(raw).ok()?))
}

fn unquoted(raw: &str) -> String {
    if let Some(inner) = raw.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return inner.to_owned();
    }
    let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return raw.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some(escaped @ ('"' | '\\' | '\''))) => {
                text.push(*escaped);
                letters.next();
            }
            _ => text.push(letter),
        }
    }
    text
}

fn without_entities(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let named = after.split_once(';').filter(|(name, _)| is_entity_name(name));
        let Some((name, behind)) = named else {
            plain.push('&');
            rest = after;
            continue;
        };
        plain.push(entity(name)?);
        rest = behind;
    }
    plain.push_str(rest);
    Some(plain)
}

fn is_entity_name(name: &str) -> bool {
    let bare = name.strip_prefix('#').unwrap_or(name);
    (1..=8).contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn entity(name: &str) -> Option<char> {
    match name {
        "quot" => Some('"'),
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        _ => match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
            Some(digits) => u32::from_str_radix(digits, 16).ok().and_then(char::from_u32),
            None => name.strip_prefix('#')?.parse().ok().and_then(char::from_u32),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_matomo_meant() {
        let cases: [(&str, Option<&str>); 9] = [
            ("plain", Some("plain")),
            ("\"p&quot;w\\\\#; &#36;x\"", Some("p\"w\\#; $x")),
            ("'raw \\ it'", Some("raw \\ it")),
            ("\"a\\\"b\\n\"", Some("a\"b\\n")),
            ("\"a & b; c\"", Some("a & b; c")),
            ("\"&amp;amp;\"", Some("&amp;")),
            ("\"&#x41;\"", Some("A")),
            ("\"&eacute;\"", None),
            ("\"\"", Some("")),
        ];
        for (raw, expected) in cases {
            assert_eq!(decode(raw.as_bytes()).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn only_what_needs_no_quotes_can_be_written() {
        assert!(Value::new("5.0.2-rc_1").is_some());
        for text in ["", "a b", "\"", "a;b", "${HOME}", "a\n"] {
            assert!(Value::new(text).is_none(), "{text:?}");
        }
    }
}
