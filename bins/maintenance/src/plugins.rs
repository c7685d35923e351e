//! Plugins that the configuration names, against those that are there: one that is nowhere is a fault, for Matomo drops
//! what it would have recorded and says nothing.

use std::collections::BTreeSet;
use std::fs;

use shared::entry::{Exit, Failure};

use crate::ini::Document;
use crate::place::Place;
use crate::set::{Content, Set};

/// Plugins that a configuration names as installed.
pub fn installed(config: &Document) -> BTreeSet<String> {
    config.list("PluginsInstalled", "PluginsInstalled[]").into_iter().filter(|name| !name.is_empty()).collect()
}

/// Installed plugins that are not in Matomo's folder; nothing where the folder cannot be read, which others say.
pub fn missing(place: &Place, config: &Document) -> Vec<String> {
    let Ok(there) = place.all_plugins() else { return Vec::new() };
    installed(config).difference(&there).cloned().collect()
}

/// Plugins that a set's configuration names, which are neither in the set nor came with its release. Where nobody knows what
/// came with it, none.
pub fn lacking(place: &Place, set: &Set) -> Vec<String> {
    let Some(config) = config_of(set) else { return Vec::new() };
    let mut there: BTreeSet<String> = set.manifest.release_plugins.iter().cloned().collect();
    if there.is_empty() {
        // A set of an earlier version of this program does not say.
        there = place.release_plugins();
    }
    if there.is_empty() {
        return Vec::new();
    }
    there.extend(set.manifest.plugins.iter().map(|plugin| plugin.name.clone()));
    installed(&config).difference(&there).cloned().collect()
}

/// What is lacking after a restore: neither in the set nor here.
pub fn lacking_here(place: &Place, set: &Set) -> Vec<String> {
    let there = place.all_plugins().unwrap_or_default();
    lacking(place, set).into_iter().filter(|name| !there.contains(name)).collect()
}

fn config_of(set: &Set) -> Option<Document> {
    let member = set.manifest.member(Content::Config)?;
    Document::lenient(fs::read(set.path(member)).ok()?)
}

/// `the plugin A is` or `the plugins A, B are`.
pub fn named(names: &[String]) -> String {
    let (word, verb) = if names.len() == 1 { ("plugin", "is") } else { ("plugins", "are") };
    format!("the {word} {} {verb}", names.join(", "))
}

/// The sentence for plugins that are not in Matomo's folder.
pub fn missing_sentence(names: &[String]) -> String {
    format!("{} installed by the configuration, and not in Matomo's folder plugins", named(names))
}

/// The sentence for plugins that a set lacks.
pub fn lacking_sentence(set: &str, names: &[String]) -> String {
    let word = if names.len() == 1 { "plugin" } else { "plugins" };
    format!("{set} lacks the {word} {}, installed by its configuration and not part of its release", names.join(", "))
}

/// What to do about a plugin that is nowhere.
pub fn help(names: &[String]) -> String {
    let folders: Vec<String> = names.iter().map(|name| format!("plugins/{name}")).collect();
    format!(
        "put it back ({}), or take its line out of [PluginsInstalled] if nobody needs it: what it would record is dropped in silence",
        folders.join(", ")
    )
}

/// The fault of a set that was just made: what was not there could not be copied.
///
/// # Errors
/// When a plugin is installed and nowhere.
pub fn judge_made(place: &Place, set: &Set) -> Result<(), Failure> {
    let Some(config) = config_of(set) else { return Ok(()) };
    match missing(place, &config) {
        names if names.is_empty() => judge(place, set),
        names => {
            let sentence = format!("{} is whole, but {}", set.name, missing_sentence(&names));
            Err(Failure::new(Exit::Failed, sentence).help(help(&names)))
        }
    }
}

/// The fault of a set that was read.
///
/// # Errors
/// When a plugin is named and nowhere.
pub fn judge(place: &Place, set: &Set) -> Result<(), Failure> {
    match lacking(place, set) {
        names if names.is_empty() => Ok(()),
        names => {
            let sentence = format!("{} is whole, but {}", set.name, lacking_sentence("it", &names));
            Err(Failure::new(Exit::Failed, sentence).help(help(&names)))
        }
    }
}
