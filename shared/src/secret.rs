//! A value that cannot be printed by accident: a token, a password, a key.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// What is shown wherever a secret would be.
pub const HIDDEN: &str = "(hidden)";

/// Text that shows itself only to [`Secret::reveal`] and is wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text over; the copy inside is wiped on drop.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_only_when_asked() {
        let token = Secret::new("anonymous-0123");
        assert_eq!(format!("{token} {token:?}"), "(hidden) (hidden)");
        assert_eq!(token.reveal(), "anonymous-0123");
    }
}
