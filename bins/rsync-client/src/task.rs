//! `CRON_TASK_*`: a line of a crontab, run on our schedule.

use jiff::tz::TimeZone;
use shared::config::{Kin, Value};
use shared::schedule::Schedule;

use crate::script::{Script, shown};

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
        let schedule = Schedule::parse(schedule, &TimeZone::UTC).map_err(|error| error.reason)?;
        Ok(Self { schedule, script: Script::parse(command)? })
    }

    fn shown(text: &str) -> String {
        shown(text)
    }
}

impl Kin for Task {
    const NAMES: &'static str = "CRON_TASK_*";
    const ABOUT: &'static str = "`run`: a job of its own for each variable, in the words of cron: five fields or a name such as @daily, then a shell command.";
    const EXAMPLE: &'static str = "30 3 * * * rsync -a host:/backup/ /backup/";
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
