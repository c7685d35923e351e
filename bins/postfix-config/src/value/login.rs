//! The name and the password that the relay asks for.
//!
//! They share a line of the password map, which ends at a line end, and whose first colon ends the name.

use std::fmt;

use shared::config::Value;
use shared::secret::{HIDDEN, Secret};

/// Longer ones are slips: a file pasted into a variable.
const LOGIN_BYTES_MAX: usize = 8_000;

/// A user name at the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User(String);

impl User {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for User {
    fn rule() -> String {
        "a name on one line, without a colon".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        super::one_line(text)?;
        if text.contains(':') {
            return Err("it contains a colon, where Postfix begins the password".to_owned());
        }
        // Quotes that were removed may have had blanks inside.
        if text.trim() != text {
            return Err("it begins or ends with a blank".to_owned());
        }
        if text.len() > LOGIN_BYTES_MAX {
            return Err(format!("it is longer than {LOGIN_BYTES_MAX} bytes"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A password at the relay, taken byte for byte.
#[derive(Clone)]
pub struct Password(Secret);

impl Password {
    /// The password, for the map and for the probe.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Value for Password {
    const SECRET: bool = true;

    fn rule() -> String {
        "text on one line that does not end with a blank (kept secret)".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let fits = !text.is_empty() && !text.contains(['\0', '\n', '\r']) && text.len() <= LOGIN_BYTES_MAX;
        // Postfix cuts them off, and the relay would say that the password is wrong.
        match fits && !text.ends_with(|last: char| last.is_ascii_whitespace() || last == '\u{b}') {
            true => Ok(Self(Secret::new(text))),
            false => Err(String::new()),
        }
    }

    fn shown(_: &str) -> String {
        HIDDEN.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_anything_that_survives_the_map() {
        for text in ["p$w#:\"\\ ü x", " leading", "#", ":", "'", "a\tb", "$(x)"] {
            assert_eq!(Password::parse(text).unwrap().reveal(), text);
        }
        for text in ["", "a ", "a\t", "a\u{b}", "a\nb", "a\r", "a\n", "a\0b"] {
            assert!(Password::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_user_is_one_word_of_the_map() {
        for text in ["user", "user@example.org", "a b", "$a", "#a", "ü", "a\"b"] {
            assert_eq!(User::parse(text).unwrap().as_str(), text);
        }
        for text in ["a:b", "a\nb", " a", "a ", "a\tb"] {
            assert!(User::parse(text).is_err(), "{text:?}");
        }
    }
}
