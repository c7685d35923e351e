//! The short way through a line of JSON: accepts a strict subset of what `serde_json` accepts, with the same members,
//! and leaves everything else to it.
//!
//! The subset: one object of texts, numbers, booleans and nulls, printable ASCII without a backslash, at most one blank
//! where JSON allows any. nginx and Traefik write nothing else on nearly all lines.

use std::borrow::Cow;

use super::super::search;
use super::value::{MEMBERS_USUAL, Object, Value};

/// Reads a line that is known to be printable ASCII without a backslash; `None` when it is more than this way knows.
pub fn read(line: &[u8]) -> Option<Object<'_>> {
    let [b'{', rest @ ..] = line else { return None };
    let mut rest = rest;
    let mut members = Vec::with_capacity(MEMBERS_USUAL);
    loop {
        let key = quoted(&mut rest)?;
        let [b':', after @ ..] = without_blank(rest) else { return None };
        rest = without_blank(after);
        let value = match rest.first()? {
            b'"' => Value::Text(Cow::Borrowed(quoted(&mut rest)?)),
            b'{' | b'[' => return None,
            _ => bare(&mut rest)?,
        };
        members.push((Cow::Borrowed(key), value));
        match without_blank(rest) {
            [b',', more @ ..] => rest = without_blank(more),
            b"}" => return Some(Object(members)),
            _ => return None,
        }
    }
}

#[inline(always)]
fn without_blank(text: &[u8]) -> &[u8] {
    if let [b' ', rest @ ..] = text { rest } else { text }
}

/// A text in quotes. Nothing in it can be escaped, so it ends at the next quote.
#[inline]
fn quoted<'v>(rest: &mut &'v [u8]) -> Option<&'v [u8]> {
    let [b'"', inside @ ..] = *rest else { return None };
    let (text, [_, after @ ..]) = inside.split_at_checked(search::near(b'"', inside)?)? else { return None };
    *rest = after;
    Some(text)
}

/// A number, a boolean or null, up to the comma or the brace behind it.
#[inline]
fn bare<'v>(rest: &mut &'v [u8]) -> Option<Value<'v>> {
    let (word, after) = rest.split_at_checked(rest.iter().position(|byte| matches!(byte, b',' | b'}'))?)?;
    *rest = after;
    match word {
        // Of so few digits every number fits.
        [b'1'..=b'9', more @ ..] if more.len() < 18 && more.iter().all(u8::is_ascii_digit) => Some(Value::Digits(word)),
        _ => serde_json::from_slice(word).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: &str = r#"{"ip":"192.0.2.1","path":"/a?x=1","status":"200","length":31022,"t":0.012,"user":null}"#;

    /// Both ways agree, or the short one leaves it to the other; answers whether it did not.
    fn agrees(text: &str) -> bool {
        let Some(Object(mut short)) = read(text.as_bytes()) else { return false };
        for (_, value) in &mut short {
            if let Value::Digits(digits) = *value {
                assert_eq!(value.to_text().as_deref(), Some(digits));
                let number = Value::Unsigned(str::from_utf8(digits).unwrap().parse().unwrap());
                assert_eq!(value.number(), number.number());
                *value = number;
            }
        }
        assert_eq!(Some(Object(short)), Object::parse(text), "{text}");
        true
    }

    #[test]
    fn usual_lines_take_the_short_way() {
        assert!(agrees(USUAL));
        assert!(agrees(r#"{"a": 1, "b": "" , "a": true}"#));
        for unusual in
            ["", "{", "{}", "[]", "{\"a\":[]}", "{\"a\":{}}", "{\"a\":1}x", "{\"a\":01}", "{\"a\":1,}", "{\"a\"}"]
        {
            assert!(!agrees(unusual), "{unusual}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_read_alike(members in prop::collection::vec(("[a-c]{0,2}", prop_oneof![
            "\"[ -!#-\\[\\]-~]{0,6}\"", "-?[0-9]{1,20}", "-?[0-9.e]{1,6}", "true|false|null|nul|\\[1\\]|\\{\\}", " 1 | \"x\" ",
        ]), 0..5)) {
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            agrees(&format!("{{{}}}", members.join(",")));
        }

        #[test]
        fn a_changed_byte_makes_no_difference(at: prop::sample::Index, byte in prop::sample::select(b" \"{}[],:01.-etx".to_vec())) {
            let mut line = USUAL.as_bytes().to_vec();
            let at = at.index(line.len());
            line[at] = byte;
            agrees(str::from_utf8(&line).unwrap());
        }
    }
}
