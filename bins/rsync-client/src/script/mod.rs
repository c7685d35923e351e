//! The texts that operators write: lists of shell commands, read without running them.

mod chain;
mod split;
mod target;
#[cfg(test)]
mod tests;

pub use chain::Chain;
pub use split::{Split, split};
pub use target::{Place, Rsync, host_key_remark, path_remarks, place, rsyncs};

use shared::config::Value;
pub use shared::veil::{Veil, shown, words};

/// A text for a shell. Printed, it hides the passwords in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Script(String);

impl Script {
    /// The text as a shell must get it.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Script({})", shown(&self.0))
    }
}

impl Value for Script {
    fn rule() -> String {
        "shell commands, separated by `;` or on lines of their own".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // Files written on Windows; a shell would take the return for a letter of the last word.
        Ok(Self(text.replace("\r\n", "\n")))
    }

    fn shown(text: &str) -> String {
        shown(text)
    }
}
