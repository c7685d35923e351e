//! Variables that nobody reads: probably a slip of the pen, so the nearest known name is offered.

use std::{collections::BTreeMap, ffi::OsString};

use super::declaration::Setting;

/// Two letters may be wrong before another name is meant.
const SLIPS_MAX: usize = 2;
/// Shorter names are within two letters of too many variables of a shell.
const NAME_BYTES_MIN: usize = 6;

/// What to make of variables that are not declared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Neighbours {
    /// Beginnings of names that are ours: an unknown one is always worth a notice.
    pub ours: &'static [&'static str],
    /// Names that belong to a neighbour in the same environment file. One that ends in `*` is a beginning.
    pub theirs: &'static [&'static str],
}

impl Neighbours {
    /// One notice for each variable that seems meant for us and is not known.
    pub(super) fn notices(&self, declared: &[Setting], variables: &BTreeMap<String, OsString>) -> Vec<String> {
        let known: Vec<String> = declared.iter().flat_map(names).collect();
        let unknown = variables
            .iter()
            .filter(|(name, value)| !value.is_empty() && !is_known(name, &known) && !self.is_theirs(name));
        unknown.filter_map(|(name, _)| self.notice(name, &known)).collect()
    }

    fn notice(&self, name: &str, known: &[String]) -> Option<String> {
        match nearest(name, known) {
            Some(near) => Some(format!("{name} is not a setting of this program; did you mean {near}?")),
            None if self.ours.iter().any(|ours| name.starts_with(ours)) => {
                Some(format!("{name} is not a setting of this program and is ignored"))
            }
            None => None,
        }
    }

    fn is_theirs(&self, name: &str) -> bool {
        let listed = self.theirs.iter().any(|theirs| match theirs.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == *theirs,
        });
        listed || is_service_link(name)
    }
}

/// Declared under its own name, or as a member of a family (`JOB_*`).
fn is_known(name: &str, known: &[String]) -> bool {
    known.iter().any(|known| match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == known,
    })
}

/// Kubernetes, Docker links and Rancher describe a service called `matomo` by `MATOMO_PORT_80_TCP` and
/// the like: nobody wrote those, so nobody misspelt them.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_PORT")
        || name.ends_with("_SERVICE_HOST")
        || ["_PORT_", "_SERVICE_PORT", "_ENV_"].iter().any(|part| name.contains(part))
}

/// Every name under which a setting can be given.
fn names(setting: &Setting) -> Vec<String> {
    let bare = std::iter::once(&setting.name).chain(setting.aliases);
    bare.flat_map(|name| [(*name).to_owned(), format!("{name}_FILE")]).collect()
}

fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    known
        .iter()
        .filter(|near| near.len() >= NAME_BYTES_MIN && near.len().abs_diff(name.len()) <= SLIPS_MAX)
        .map(|near| (slips(name, near), near.as_str()))
        .filter(|(slips, _)| *slips <= SLIPS_MAX)
        .min()
        .map(|(_, near)| near)
}

/// How many letters were added, lost or changed (Levenshtein distance), ignoring case.
fn slips(one: &str, other: &str) -> usize {
    let other: Vec<u8> = other.bytes().map(|b| b.to_ascii_uppercase()).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().map(|b| b.to_ascii_uppercase()).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_letters_added_lost_or_changed() {
        assert_eq!(slips("MATOMO_URL", "MATOMO_URL"), 0);
        assert_eq!(slips("MATOMO_ULR", "MATOMO_URL"), 2);
        assert_eq!(slips("matomo_url", "MATOMO_URL"), 0);
        assert_eq!(slips("", "ABC"), 3);
        assert_eq!(slips("MATOMO_URLS", "MATOMO_URL"), 1);
    }
}
