//! `CRON_TASK_*`: a line of a crontab, run on our schedule.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use shared::config::{Kin, Value};
use shared::schedule::Schedule;

use crate::script::{Script, shown};

/// What a task is called in the log and in the names of its files: `cron-task-1`.
pub fn label(name: &str) -> String {
    format!("cron-task-{name}").to_ascii_lowercase().replace('_', "-")
}

/// Where the health of a task is written.
pub fn health_file(state: &Path, label: &str) -> PathBuf {
    state.join(format!("{label}.health.json"))
}

/// A schedule and a shell command.
#[derive(Clone, Debug)]
pub struct Task {
    /// When it runs.
    pub schedule: Schedule,
    /// What runs.
    pub script: Script,
}

impl Value for Task {
    fn rule() -> String {
        "five fields of cron (or a name such as @daily), then a shell command".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let fields = match text.split_whitespace().next() {
            Some("@every") => 2,
            Some(first) if first.starts_with('@') => 1,
            _ => 5,
        };
        let (schedule, command) = cut(text.trim_start(), fields);
        if command.is_empty() {
            return Err("there is no command after the schedule".to_owned());
        }
        // What is no schedule at all may be anything, and is not repeated.
        if let Some(at) = schedule.split_whitespace().position(|word| !is_field(word)) {
            return Err(format!("word {} of the schedule is no number, star, list, range or step", at + 1));
        }
        let schedule = Schedule::parse(schedule, &TimeZone::UTC).map_err(|error| error.reason)?;
        Ok(Self { schedule, script: Script::parse(command)? })
    }

    fn shown(text: &str) -> String {
        let count = text.split_whitespace().take_while(|word| is_field(word)).take(5).count();
        let count = if text.trim_start().starts_with('@') { count.min(2) } else { count };
        let (fields, command) = cut(text.trim_start(), count);
        format!("{fields} {}", shown(command)).trim().to_owned()
    }
}

impl Kin for Task {
    const NAMES: &'static str = "CRON_TASK_*";
    const ABOUT: &'static str = "`run`: a job of its own for each variable, in the words of cron: five fields or a name such as @daily, then a shell command.";
    const EXAMPLE: &'static str = "30 3 * * * rsync -a host:/backup/ /backup/";
}

/// A word that can only belong to a schedule: `*/5`, `1-5`, `mon,tue`, `@every`, `15m`.
fn is_field(word: &str) -> bool {
    const NAMES: [&str; 19] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mon", "tue", "wed", "thu",
        "fri", "sat", "sun",
    ];
    let is_part = |part: &str| {
        part.bytes().all(|b| b.is_ascii_digit() || b"*?LW#".contains(&b))
            || NAMES.contains(&part.to_ascii_lowercase().as_str())
    };
    let is_span = word.starts_with(|c: char| c.is_ascii_digit())
        && word.trim_end_matches(['s', 'm', 'h', 'd']).bytes().all(|b| b.is_ascii_digit());
    let names = ["@every", "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "@reboot"];
    is_span || names.contains(&word) || word.split([',', '-', '/']).all(is_part)
}

/// The first words, and the rest as it is written.
fn cut(text: &str, words: usize) -> (&str, &str) {
    let mut rest = text;
    for _ in 0..words {
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        rest = rest[word..].trim_start();
    }
    (text[..text.len() - rest.len()].trim_end(), rest.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_the_schedule_and_what_is_harmless() {
        assert_eq!(Task::shown("30 3 * * *  rsync -a h:/a b"), "30 3 * * * rsync -a h:/a b");
        assert_eq!(Task::shown("* * * * * curl -u me:hush x"), "* * * * * curl (hidden)");
        assert_eq!(Task::shown("* * * curl -u me:hush x"), "* * * curl (hidden)");
        assert_eq!(Task::shown("@daily hush"), "@daily (hidden)");
        assert_eq!(Task::shown("@every 15m rsync a b"), "@every 15m rsync a b");
    }

    #[test]
    fn c_103_lines_of_a_crontab_are_understood() {
        let command = |text: &str| Task::parse(text).unwrap().script.text().to_owned();
        assert_eq!(command("30 3 * * *   rsync -a  a b ; c"), "rsync -a  a b ; c");
        assert_eq!(command("@daily rsync a b"), "rsync a b");
        assert_eq!(command("@every 15m rsync a b"), "rsync a b");
        assert_eq!(command("*/5\t* * * mon echo 'x  y'"), "echo 'x  y'");
        for text in ["30 3 * * *", "@daily", "rsync -a b c d e f", "61 * * * * x"] {
            assert!(Task::parse(text).is_err(), "{text}");
        }
    }
}
