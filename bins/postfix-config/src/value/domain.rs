//! A mail domain.

use std::fmt;

use shared::config::Value;

/// A domain in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for Domain {
    fn rule() -> String {
        "a domain of letters, digits, `-`, `_` and `.`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        super::host::check(text)?;
        Ok(Self(text.to_ascii_lowercase()))
    }
}
