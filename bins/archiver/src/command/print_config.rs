//! `print-config`: the settings in force, as an environment file.

use shared::config;
use shared::entry::{Exit, Failure};

use crate::config::{Settings, neighbours};

/// Prints every setting; the value of a secret is not shown.
pub fn print_config() -> Result<Exit, Failure> {
    let effective = config::from_env::<Settings>(&neighbours())?.effective;
    super::say(&effective.iter().map(|setting| format!("{setting}\n")).collect::<String>());
    Ok(Exit::Done)
}
