//! The settings as a person reads them: in force at the start, and on the reference page.

use std::{fmt, path::PathBuf};

use super::{
    declaration::{Declared, Setting},
    value::Value as _,
};
use crate::secret::{HIDDEN, Secret};

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A variable, by its name, which may be a former one.
    Variable(String),
    /// A file.
    File {
        /// The variable that names it.
        name: String,
        /// The file.
        path: PathBuf,
    },
}

/// One setting in force. Its `Display` is a line of an environment file that gives the same value again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The variable.
    pub name: String,
    /// The value as it may be shown; `None` when it is not set.
    pub shown: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Effective {
    /// `name` is that of the setting, or of a member of its family.
    pub(super) fn of(setting: &Setting, name: &str, text: &str, origin: Origin) -> Self {
        let shown = if setting.secret { Secret::shown(text) } else { (setting.shown)(text) };
        Self { name: name.to_owned(), shown: Some(shown), origin }
    }

    /// For a list on one line.
    pub(super) fn brief(&self) -> String {
        format!("{}={}", self.name, one_line(self.shown.as_deref().unwrap_or_default()))
    }

    pub(super) fn unset(setting: &Setting) -> Self {
        Self { name: setting.name.to_owned(), shown: None, origin: Origin::Default }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, &self.shown) {
            (Origin::File { path, .. }, _) => write!(f, "{}_FILE={}", self.name, path.display()),
            (_, None) => write!(f, "# {} is not set", self.name),
            // A hidden value fed back would become the value.
            (_, Some(shown)) if shown.contains(HIDDEN) => write!(f, "# {}={shown}", self.name),
            (Origin::Default, Some(shown)) => {
                write!(f, "# {}={} (default)", self.name, one_line(shown))
            }
            (Origin::Variable(_), Some(shown)) => write!(f, "{}={}", self.name, one_line(shown)),
        }
    }
}

fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// The settings as a Markdown table for the reference.
pub fn reference<S: Declared>() -> String {
    let mut page = "| Variable | What it is for | Value | Default | Example |\n|---|---|---|---|---|\n".to_owned();
    for setting in S::declared() {
        let code = |text: Option<&str>| text.map(|text| format!("`{}`", cell(text))).unwrap_or_default();
        let default = if setting.required { "(required)".to_owned() } else { code(setting.default) };
        let mut about = setting.sentence();
        if !setting.aliases.is_empty() {
            about += &format!(" Formerly `{}`.", setting.aliases.join("`, `"));
        }
        page += &format!(
            "| `{}` | {} | {} | {default} | {} |\n",
            setting.name,
            cell(&about),
            cell(&(setting.rule)()),
            code(setting.example)
        );
    }
    page
}

/// A pipe would end the cell of the table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// What is wrong with a declaration itself, for the test "reads what it documents"; empty when all is well.
pub fn faults_in_declaration<S: Declared>() -> Vec<String> {
    let declared = S::declared();
    let names: Vec<&str> =
        declared.iter().flat_map(|s| std::iter::once(s.name).chain(s.aliases.iter().copied())).collect();
    let mut faults: Vec<String> = declared.iter().flat_map(faults_in_setting).collect();
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            faults.push(format!("{name} is declared twice"));
        }
        if names.contains(&format!("{name}_FILE").as_str()) {
            faults.push(format!("{name}_FILE is both a setting and the file of {name}"));
        }
    }
    faults
}

fn faults_in_setting(setting: &Setting) -> Vec<String> {
    let name = setting.name;
    let mut faults = Vec::new();
    for text in [setting.default, setting.example].into_iter().flatten() {
        if let Err(reason) = (setting.check)(text) {
            faults.push(format!("{name} documents `{text}` but does not read it: {reason}"));
        }
    }
    if setting.about.trim().is_empty() {
        faults.push(format!("{name} has no sentence"));
    }
    if !setting.required && setting.default.is_none() && !setting.optional_type {
        faults.push(format!("{name} is optional, so its field must be an Option"));
    }
    if setting.required && setting.example.is_none() && !setting.secret {
        faults.push(format!("{name} is required, so it needs an example"));
    }
    faults
}
