//! What is wrong with the settings, all of it at once, in words that can be acted on.

use std::{fmt, path::PathBuf};

use super::declaration::Setting;
use crate::entry::{Exit, Failure};

/// One thing wrong with one variable.
#[derive(Debug)]
pub struct Fault {
    /// The variable.
    pub name: String,
    /// What is wrong with it, as the end of a sentence that begins with its name.
    pub wrong: Wrong,
    /// What would be right.
    pub rule: String,
    /// A value that works.
    pub example: Option<&'static str>,
}

/// The ways in which a variable can be wrong. None of them holds a secret.
#[derive(Debug)]
pub enum Wrong {
    /// It must be set, and is not.
    Missing {
        /// What it is for.
        about: String,
    },
    /// Its value is not what it must be.
    Unfit {
        /// The value as it may be shown.
        shown: String,
        /// What in particular; may be empty.
        reason: String,
    },
    /// `NAME` and `NAME_FILE` are both set.
    Twice {
        /// Under which name the value was given.
        name: String,
    },
    /// The file that `NAME_FILE` names cannot be used.
    File {
        /// The variable that names it.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It does not fit the others, or is one of an open set.
    Clash {
        /// All there is to say; names every variable that takes part.
        sentence: String,
    },
}

impl Fault {
    /// `name` is that of the setting, or of a member of its family.
    pub(super) fn of(setting: &Setting, name: &str, wrong: Wrong) -> Self {
        let example = setting.example.or(setting.default).filter(|_| !setting.secret);
        Self { name: name.to_owned(), wrong, rule: (setting.rule)(), example }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, rule, .. } = self;
        match &self.wrong {
            Wrong::Missing { about } => write!(f, "{name} is not set: {about} It must be {rule}")?,
            Wrong::Unfit { shown, reason } if reason.is_empty() => {
                write!(f, "{name} is {shown} but must be {rule}")?;
            }
            Wrong::Unfit { shown, reason } => {
                write!(f, "{name} is {shown} but must be {rule}; {reason}")?;
            }
            Wrong::Twice { name } => {
                return write!(f, "{name} and {name}_FILE are both set; keep one of them");
            }
            Wrong::File { name, path, reason } => {
                return write!(f, "{name} names {}, {reason}", path.display());
            }
            Wrong::Clash { sentence } => return f.write_str(sentence),
        }
        match self.example {
            Some(example) => write!(f, ", for example {example}"),
            None => Ok(()),
        }
    }
}

/// The settings cannot be used. Every fault is in it, so that one restart mends them all.
#[derive(Debug)]
pub struct ConfigError {
    /// At least one.
    pub faults: Vec<Fault>,
    /// What else is odd; a misspelt name often explains a missing one.
    pub notices: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.len() {
            1 => f.write_str("1 setting cannot be used")?,
            count => write!(f, "{count} settings cannot be used")?,
        }
        self.faults.iter().try_for_each(|fault| write!(f, "\n  - {fault}"))?;
        self.notices.iter().try_for_each(|notice| write!(f, "\n  note: {notice}"))
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::new(Exit::Config, error)
            .help("correct the environment of the container and start it again; nothing was done")
    }
}
