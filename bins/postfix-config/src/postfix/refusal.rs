//! Why Postfix would not work with this configuration, in words that name the variable.

use std::path::PathBuf;

use shared::entry::{Exit, Failure};

/// One reason.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Postfix does not accept a value.
    #[error("Postfix refuses the configuration: {complaint}{}", origin(variables))]
    Value {
        /// In its own words.
        complaint: String,
        /// The variables that may be meant.
        variables: Vec<String>,
    },
    /// A parameter was passed through that does not exist.
    #[error("{}: {parameter} is no parameter of this Postfix", variables.join(", "))]
    UnknownParameter {
        /// Its name.
        parameter: String,
        /// The variables that pass it through.
        variables: Vec<String>,
    },
    /// A value fills in a name that does not exist.
    #[error("{}: a value fills in ${name}, which does not exist", variables.join(", "))]
    UnknownName {
        /// The name.
        name: String,
        /// The variables with such a value.
        variables: Vec<String>,
    },
    /// Postfix finds something odd that must not stay.
    #[error("Postfix warns about the configuration: {warning}")]
    Warning {
        /// In its own words.
        warning: String,
    },
    /// The password map does not answer for the relay.
    #[error("the password map has no answer for {key}, so Postfix would not log in")]
    Key {
        /// What was looked up.
        key: String,
    },
    /// A login cannot be made.
    #[error("MTP_USER and MTP_PASS ask for a login, but this image lacks the SASL plugins {names}")]
    Plugins {
        /// Their file names.
        names: String,
    },
    /// A file that a variable names cannot be used.
    #[error("{variable} names {}, {why}", path.display())]
    File {
        /// The variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// `postfix check` failed.
    #[error("`postfix check` does not accept the queue or the configuration: {complaint}")]
    Check {
        /// In its own words.
        complaint: String,
    },
}

fn origin(variables: &[String]) -> String {
    if variables.is_empty() { String::new() } else { format!(" (look at {})", variables.join(", ")) }
}

/// All reasons together.
#[derive(Debug)]
struct Refused(Vec<Refusal>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            more => {
                write!(f, "Postfix would not work with this configuration, for {} reasons", more.len())?;
                more.iter().try_for_each(|refusal| write!(f, "\n  - {refusal}"))
            }
        }
    }
}

impl std::error::Error for Refused {}

impl Refusal {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Refusal::Plugins { .. } => {
                "install Debian's package libsasl2-modules in the image; without it no mail would ever leave"
            }
            Refusal::Check { .. } => {
                "look at the volume of MTP_QUEUE_DIR: it must be writable and belong to the user postfix of this image"
            }
            _ => "correct the environment of the container and start it again; nothing was started",
        }
    }

    /// All of them as the end of the program.
    pub fn failure(refusals: Vec<Refusal>) -> Failure {
        let help = refusals.first().map_or("", Refusal::help);
        Failure::new(Exit::Config, Refused(refusals)).help(help)
    }
}
