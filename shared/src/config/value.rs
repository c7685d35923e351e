//! The types a setting may have, each with the rule that a person reads when a value does not fit.

use std::path::PathBuf;

use crate::secret::{HIDDEN, Secret};

/// Something that can be read from the text of a variable.
pub trait Value: Sized {
    /// Whether the text is never shown.
    const SECRET: bool = false;

    /// What texts are accepted, to be read after "must be": `a whole number from 1 to 64`.
    fn rule() -> String;

    /// Reads a text that is not empty. The error says what is wrong without repeating the text or the
    /// rule; it may be empty when the rule says it all.
    fn parse(text: &str) -> Result<Self, String>;

    /// The value of a variable that is not set and has no default; `None` means it must be set.
    fn absent() -> Option<Self> {
        None
    }

    /// The text as it may be shown to anybody who reads the log.
    fn shown(text: &str) -> String {
        text.to_owned()
    }
}

impl<T: Value> Value for Option<T> {
    const SECRET: bool = T::SECRET;

    fn rule() -> String {
        T::rule()
    }

    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn shown(text: &str) -> String {
        T::shown(text)
    }
}

/// A comma list; blanks around and empty places between the commas are dropped.
impl<T: Value> Value for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn rule() -> String {
        format!("a comma list, each {}", T::rule())
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::parse).collect()
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }

    fn shown(text: &str) -> String {
        text.split(',').map(T::shown).collect::<Vec<_>>().join(",")
    }
}

impl Value for String {
    fn rule() -> String {
        "text".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Value for Secret {
    const SECRET: bool = true;

    fn rule() -> String {
        "text (kept secret)".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Secret::new(text))
    }

    fn shown(_: &str) -> String {
        HIDDEN.to_owned()
    }
}

impl Value for PathBuf {
    fn rule() -> String {
        "a path".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(PathBuf::from(text))
    }
}

impl Value for bool {
    fn rule() -> String {
        "yes or no (also 1/0, true/false, on/off)".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(String::new()),
        }
    }
}

macro_rules! whole_numbers {
    ($($Number:ty),*) => { $(
        impl Value for $Number {
            fn rule() -> String {
                format!("a whole number from {} to {}", <$Number>::MIN, <$Number>::MAX)
            }

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| String::new())
            }
        }
    )* };
}
whole_numbers!(u16, u32, u64, i32, i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_has_many_words() {
        for (text, expected) in [
            ("1", true),
            ("True", true),
            ("YES", true),
            ("on", true),
            ("0", false),
            ("false", false),
            ("no", false),
            ("Off", false),
        ] {
            assert_eq!(bool::parse(text), Ok(expected));
        }
        assert!(bool::parse("2").is_err());
    }
}
