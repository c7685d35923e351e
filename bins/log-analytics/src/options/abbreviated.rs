//! Abbreviations of the reference's options: ours stand in nobody's way.

use std::collections::HashSet;
use std::ffi::OsString;

use clap::{Args, Command, CommandFactory};

use super::own::OwnWords;
use super::words::Words;

/// The words, with what abbreviates one option of the reference spelled out. What abbreviates several, or none, stays:
/// the parser says so, or knows one of ours that is meant.
pub(super) fn spelled_out(words: &[OsString]) -> Vec<OsString> {
    let options = options();
    let files = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let spelled = words[..files].iter().map(|word| full(word, &options).unwrap_or_else(|| word.clone()));
    spelled.chain(words[files..].iter().cloned()).collect()
}

/// Names of all options, and which of them the reference has too.
struct Options {
    all: HashSet<String>,
    reference: Vec<String>,
}

fn options() -> Options {
    let names = |command: &Command| -> HashSet<String> {
        command.get_arguments().filter_map(|option| option.get_long()).map(str::to_owned).collect()
    };
    let own = names(&OwnWords::augment_args(Command::default()));
    let all = names(&Words::command());
    Options { reference: all.difference(&own).cloned().collect(), all }
}

fn full(word: &OsString, options: &Options) -> Option<OsString> {
    let text = word.to_str()?.strip_prefix("--")?;
    let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
    if options.all.contains(name) {
        return None;
    }
    let mut meant = options.reference.iter().filter(|option| option.starts_with(name));
    match (meant.next(), meant.next()) {
        (Some(option), None) => Some(format!("--{option}{value}").into()),
        _ => None,
    }
}
