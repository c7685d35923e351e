//! Reads a declared struct of settings from pairs of names and values, and keeps every fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::PathBuf,
};

use super::{
    declaration::{Declared, Setting},
    family::Standing,
    fault::{ConfigError, Fault, Wrong},
    mounted::text_of_file,
    neighbour::Neighbours,
    report::{Effective, Origin},
    value::Value,
};
use crate::veil;

/// Settings that can be used, and what a person should hear about them.
#[derive(Debug)]
pub struct Reading<S> {
    /// The settings.
    pub settings: S,
    /// One sentence for each thing that is odd but was understood; for the log, as warnings.
    pub notices: Vec<String>,
    /// What is in force and where it comes from, in the order of the declaration.
    pub effective: Vec<Effective>,
}

/// Reads the settings from the environment of this process.
pub fn from_env<S: Declared>(neighbours: &Neighbours) -> Result<Reading<S>, ConfigError> {
    read(std::env::vars_os(), neighbours)
}

/// Reads the settings from any pairs of names and values, so that a test needs no environment.
pub fn read<S: Declared>(
    variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    neighbours: &Neighbours,
) -> Result<Reading<S>, ConfigError> {
    let variables = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())))
        .collect();
    let mut reader = Reader { variables, faults: Vec::new(), notices: Vec::new(), effective: Vec::new() };
    let settings = S::read(&mut reader);
    let strangers = neighbours.notices(&S::declared(), &reader.variables);
    let Reader { faults, mut notices, effective, .. } = reader;
    notices.extend(strangers);
    match settings {
        Some(settings) if faults.is_empty() => Ok(Reading { settings, notices, effective }),
        _ => Err(ConfigError { faults, notices }),
    }
}

impl<S> Reading<S> {
    /// Tells the log what is odd, and which settings are not the default ones. Secrets stay hidden.
    pub fn announce(&self) {
        for notice in &self.notices {
            tracing::warn!(%notice, "A setting deserves a look");
        }
        let chosen = self.effective.iter().filter(|setting| setting.origin != Origin::Default);
        let chosen: Vec<String> = chosen.map(Effective::brief).collect();
        tracing::info!(chosen = chosen.join(" "), "Settings besides defaults");
    }
}

/// The variables of one reading, and what was found out about them so far.
#[derive(Debug)]
pub struct Reader {
    variables: BTreeMap<String, OsString>,
    faults: Vec<Fault>,
    notices: Vec<String>,
    effective: Vec<Effective>,
}

/// A text and where it was found.
struct Found {
    text: String,
    origin: Origin,
}

impl Reader {
    /// The value of a setting; `None` when a fault was noted instead.
    pub fn value<T: Value>(&mut self, setting: &Setting) -> Option<T> {
        let found = match self.find(setting) {
            Ok(Some(found)) => found,
            Ok(None) => match setting.default {
                Some(text) => Found { text: text.to_owned(), origin: Origin::Default },
                None => return self.absent(setting),
            },
            Err(wrong) => return self.fault(setting, wrong),
        };
        match T::parse(&found.text) {
            Ok(value) => {
                self.effective.push(Effective::of(setting, setting.name, &found.text, found.origin));
                Some(value)
            }
            Err(reason) => self.fault(setting, unfit(setting, &found.text, &reason)),
        }
    }

    /// The values of all variables that begin alike, by the rest of their names; `None` when a fault was noted instead.
    pub(super) fn family<T: Value>(
        &mut self,
        setting: &Setting,
        beginning: &str,
        standing: fn(&str) -> Standing,
    ) -> Option<BTreeMap<String, T>> {
        let rests = self.variables.keys().filter_map(|name| name.strip_prefix(beginning));
        let members: BTreeSet<String> =
            rests.map(|rest| rest.strip_suffix("_FILE").unwrap_or(rest).to_owned()).filter(|m| !m.is_empty()).collect();
        let faults_before = self.faults.len();
        let mut family = BTreeMap::new();
        for member in members {
            let name = format!("{beginning}{member}");
            let found = match self.find_named(setting, &name) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(wrong) => {
                    self.faults.push(Fault::of(setting, &name, wrong));
                    continue;
                }
            };
            match standing(&member) {
                Standing::Member => {}
                Standing::Stranger => continue,
                Standing::Odd(sentence) => {
                    self.notice(sentence);
                    continue;
                }
                Standing::Refused(sentence) => {
                    self.clash(sentence);
                    continue;
                }
            }
            match T::parse(&found.text) {
                Ok(value) => {
                    self.effective.push(Effective::of(setting, &name, &found.text, found.origin));
                    family.insert(member, value);
                }
                Err(reason) => self.faults.push(Fault::of(setting, &name, unfit(setting, &found.text, &reason))),
            }
        }
        (self.faults.len() == faults_before).then_some(family)
    }

    /// Notes that values do not fit each other, or that a member of a family must not be set. The sentence names them.
    pub fn clash(&mut self, sentence: impl Into<String>) {
        let wrong = Wrong::Clash { sentence: sentence.into() };
        self.faults.push(Fault { name: String::new(), wrong, rule: String::new(), example: None });
    }

    /// Notes something odd that was understood.
    pub fn notice(&mut self, sentence: impl Into<String>) {
        self.notices.push(sentence.into());
    }

    fn absent<T: Value>(&mut self, setting: &Setting) -> Option<T> {
        match T::absent().filter(|_| !setting.required) {
            Some(value) => {
                self.effective.push(Effective::unset(setting));
                Some(value)
            }
            None => self.fault(setting, Wrong::Missing { about: setting.sentence() }),
        }
    }

    fn fault<T>(&mut self, setting: &Setting, wrong: Wrong) -> Option<T> {
        self.faults.push(Fault::of(setting, setting.name, wrong));
        None
    }

    /// The text of a setting under its name, else under one of its former names.
    fn find(&mut self, setting: &Setting) -> Result<Option<Found>, Wrong> {
        let mut found = self.find_named(setting, setting.name)?;
        for alias in setting.aliases {
            let Some(old) = self.find_named(setting, alias)? else {
                continue;
            };
            let name = setting.name;
            if found.is_some() {
                self.notices.push(format!("{alias} is ignored because {name}, its new name, is set too"));
            } else {
                self.notices.push(format!("{alias} is an old name and still works; its name is now {name}"));
                found = Some(old);
            }
        }
        Ok(found)
    }

    /// The text of a variable, or of the file that `NAME_FILE` names.
    fn find_named(&mut self, setting: &Setting, name: &str) -> Result<Option<Found>, Wrong> {
        let file_name = format!("{name}_FILE");
        let text = self.text(setting, name)?;
        let path = self.text(setting, &file_name)?;
        match (text, path) {
            (Some(_), Some(_)) => Err(Wrong::Twice { name: name.to_owned() }),
            (Some(text), None) => Ok(Some(Found { text, origin: Origin::Variable(name.to_owned()) })),
            (None, Some(path)) => self.find_in_file(file_name, PathBuf::from(path)),
            (None, None) => Ok(None),
        }
    }

    fn find_in_file(&mut self, name: String, path: PathBuf) -> Result<Option<Found>, Wrong> {
        match text_of_file(&path) {
            Err(reason) => Err(Wrong::File { name, path, reason }),
            Ok(text) if text.is_empty() => {
                let path = path.display();
                self.notices.push(format!("{name} names {path}, which is empty: taken as not set"));
                Ok(None)
            }
            Ok(text) => Ok(Some(Found { text, origin: Origin::File { name, path } })),
        }
    }

    /// The text of a variable without the blanks and quotes that compose files and shells leave around
    /// it; `None` when nothing is left.
    fn text(&mut self, setting: &Setting, name: &str) -> Result<Option<String>, Wrong> {
        let Some(value) = self.variables.get(name) else {
            return Ok(None);
        };
        let Some(text) = value.to_str() else {
            let reason = "it is not UTF-8".to_owned();
            return Err(Wrong::Unfit { shown: "unreadable".to_owned(), reason });
        };
        if setting.verbatim && !name.ends_with("_FILE") {
            return Ok(Some(text.to_owned()).filter(|text| !text.is_empty()));
        }
        let bare = without_wrapping(text);
        if bare != text && !bare.is_empty() {
            let mut notice = format!("{name} has blanks or quotes around its value: they were removed");
            if setting.secret {
                notice += &format!("; if they belong to it, put it in a file and set {}_FILE", setting.name);
            }
            self.notices.push(notice);
        }
        Ok(Some(bare.to_owned()).filter(|text| !text.is_empty()))
    }
}

/// ` "a b" ` is `a b`; `"a" "b"` stays, because its quotes do not belong together.
fn without_wrapping(text: &str) -> &str {
    let bare = text.trim();
    for quote in ['"', '\''] {
        let inner = bare.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
            return inner;
        }
    }
    bare
}

/// A text that its type does not take. The reason could repeat a secret, so of a secret it is not told, and of other
/// texts without what is not shown of them.
fn unfit(setting: &Setting, text: &str, reason: &str) -> Wrong {
    let reason = match setting.secret {
        true => String::new(),
        false => veil::over_sentence(reason, text, &(setting.shown)(text)),
    };
    Wrong::Unfit { shown: shown_in_fault(setting, text), reason }
}

/// A bad value as an error may show it: short, on one line, never a secret.
fn shown_in_fault(setting: &Setting, text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    if setting.secret {
        return crate::secret::HIDDEN.to_owned();
    }
    let shown = (setting.shown)(text);
    let mut short: String = shown.chars().take(SHOWN_CHARS_MAX).collect();
    if short.len() < shown.len() {
        short.push('…');
    }
    format!("{short:?}")
}
