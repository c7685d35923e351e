//! A path that Postfix reads as one word.

use std::fmt;
use std::path::{Path, PathBuf};

use shared::config::Value;

/// An absolute path of plain letters: in a list of tables or a command line, others would end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanPath(PathBuf);

impl CleanPath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// A file below it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl fmt::Display for CleanPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Value for CleanPath {
    fn rule() -> String {
        "an absolute path of letters, digits, `/`, `.`, `-` and `_`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/.-_".contains(c);
        match text.starts_with('/') && text.chars().all(plain) && !text.contains("/../") && !text.ends_with("/..") {
            true => Ok(Self(PathBuf::from(if text == "/" { text } else { text.trim_end_matches('/') }))),
            false => Err(String::new()),
        }
    }
}
