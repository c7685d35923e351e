//! Settings that come in numbers: every variable whose name begins alike.

use super::{declaration::Setting, reader::Reader, value::Value};

/// The values of all variables whose names begin alike, each with its name, in the order of the names. Declared by a
/// name that ends in `*`: the field is a group, whose [`Declared`](super::Declared) asks [`Reader::family`].
pub type Family<T> = Vec<(String, T)>;

impl Reader {
    /// The members of a family of settings. Each may also be given as `NAME_FILE`. `None` when a fault was noted.
    pub fn family<T: Value>(&mut self, setting: &Setting) -> Option<Family<T>> {
        let beginning = setting.name.trim_end_matches('*');
        let members = self.names().filter(|name| name.starts_with(beginning));
        let mut names: Vec<String> =
            members.map(|name| name.strip_suffix("_FILE").unwrap_or(name).to_owned()).collect();
        names.sort();
        names.dedup();
        // Every member is read before the first fault ends the reading.
        let values: Vec<Option<(String, Option<T>)>> = names
            .into_iter()
            .map(|name| {
                // The names of a process's variables are read once and live as long as it does.
                let member = Setting { name: Box::leak(name.clone().into_boxed_str()), ..*setting };
                Some((name, self.value::<Option<T>>(&member)?))
            })
            .collect();
        let values: Option<Vec<_>> = values.into_iter().collect();
        Some(values?.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}
