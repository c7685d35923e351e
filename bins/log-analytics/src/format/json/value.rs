//! A JSON value that borrows from its line wherever it can.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// More members than most access log lines have.
pub const MEMBERS_USUAL: usize = 16;

/// A JSON value.
#[derive(Debug, PartialEq)]
pub enum Value<'v> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    /// A positive whole number as the line writes it: as every program does, and of few digits.
    Digits(&'v [u8]),
    Float(f64),
    /// UTF-8.
    Text(Cow<'v, [u8]>),
    List(Vec<Value<'v>>),
    Object(Object<'v>),
}

/// A JSON object, its members in the order of the line. Keys are UTF-8.
#[derive(Debug, Default, PartialEq)]
pub struct Object<'v>(pub Vec<(Cow<'v, [u8]>, Value<'v>)>);

impl<'v> Object<'v> {
    /// Reads a text that is one JSON object.
    pub fn parse(text: &'v str) -> Option<Self> {
        // Most lines that are no object are not even close.
        if !text.trim_ascii_start().starts_with('{') {
            return None;
        }
        match serde_json::from_str(text).ok()? {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The value of a key; of several the last, as in Python.
    pub fn get(&self, key: &str) -> Option<&Value<'v>> {
        self.0.iter().rfind(|(known, _)| **known == *key.as_bytes()).map(|(_, value)| value)
    }

    /// Takes the value of a key out.
    pub fn take(&mut self, key: &str) -> Option<Value<'v>> {
        let at = self.0.iter().rposition(|(known, _)| **known == *key.as_bytes())?;
        Some(self.0.swap_remove(at).1)
    }

    /// Takes the text of a key out.
    pub fn take_text(&mut self, key: &str) -> Option<Cow<'v, [u8]>> {
        self.take(key)?.into_text()
    }

    /// The members in the order of the line.
    pub fn into_members(self) -> impl Iterator<Item = (Cow<'v, [u8]>, Value<'v>)> {
        self.0.into_iter()
    }
}

impl<'v> Value<'v> {
    /// The value as Python prints it; null, lists and objects are no text.
    pub fn into_text(self) -> Option<Cow<'v, [u8]>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Digits(digits) => Some(Cow::Borrowed(digits)),
            Self::Bool(true) => Some(Cow::Borrowed(b"True")),
            Self::Bool(false) => Some(Cow::Borrowed(b"False")),
            Self::Signed(number) => Some(number.to_string().into_bytes().into()),
            Self::Unsigned(number) => Some(number.to_string().into_bytes().into()),
            Self::Float(number) => Some(python_float(number).into_bytes().into()),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// A copy of the text as Python prints it, see [`Value::into_text`].
    pub fn to_text(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Digits(digits) => Some(Cow::Borrowed(digits)),
            Self::Bool(truth) => Value::Bool(*truth).into_text(),
            Self::Signed(number) => Value::Signed(*number).into_text(),
            Self::Unsigned(number) => Value::Unsigned(*number).into_text(),
            Self::Float(number) => Value::Float(*number).into_text(),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// A number of bytes: a fraction is cut off, text stays as it is.
    pub fn into_length(self) -> Option<Cow<'v, [u8]>> {
        match self {
            Self::Float(number) => Some(number.trunc().to_string().into_bytes().into()),
            other => other.into_text(),
        }
    }

    /// A number, also one written as text.
    #[expect(clippy::cast_precision_loss, reason = "Python's floats lose the same digits")]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Signed(number) => Some(*number as f64),
            Self::Unsigned(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Digits(digits) => str::from_utf8(digits).ok()?.parse().ok(),
            Self::Text(text) => {
                str::from_utf8(text).ok()?.trim().parse().ok().filter(|number: &f64| number.is_finite())
            }
            _ => None,
        }
    }
}

/// The shortest text that reads back as the number, its exponent with a sign and two digits.
fn python_float(number: f64) -> String {
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(value.as_bytes())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(value.as_bytes().to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Vec::with_capacity(MEMBERS_USUAL);
        while let Some((Key(key), value)) = members.next_entry()? {
            object.push((key, value));
        }
        Ok(Value::Object(Object(object)))
    }
}

/// A key, borrowed unless it has escapes.
struct Key<'v>(Cow<'v, [u8]>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(AnyValue)? {
            Value::Text(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("a key that is no text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (number, text) in
            [(200.0, "200.0"), (0.012, "0.012"), (1e16, "1e+16"), (1e-5, "1e-05"), (1.5e300, "1.5e+300")]
        {
            assert_eq!(python_float(number), text);
        }
        let mut object =
            Object::parse(r#" {"a": -7, "b": 18446744073709551615, "c": 12.5, "d": true, "e": null} "#).unwrap();
        assert_eq!(object.take_text("a").as_deref(), Some(&b"-7"[..]));
        assert_eq!(object.take_text("b").as_deref(), Some(&b"18446744073709551615"[..]));
        assert_eq!(object.take("c").unwrap().into_length().as_deref(), Some(&b"12"[..]));
        assert_eq!(object.take_text("d").as_deref(), Some(&b"True"[..]));
        assert_eq!(object.take_text("e"), None);
    }

    #[test]
    fn only_one_whole_object_is_an_object() {
        for text in ["", "[]", "1", "\"x\"", "{", "{} {}", "{\"a\":}", "nothing"] {
            assert!(Object::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn of_two_equal_keys_the_last_counts() {
        let object = Object::parse(r#"{"a": "1", "a": "2"}"#).unwrap();
        assert!(matches!(object.get("a"), Some(Value::Text(text)) if **text == *b"2"));
    }
}
