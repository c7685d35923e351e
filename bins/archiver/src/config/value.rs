//! The types of settings that only this sidecar has.

use shared::config::{Kin, Value};
use shared::quoting::words;
use shared::schedule::Schedule;
use shared::secret::HIDDEN;
use shared::veil::options;

/// How Matomo is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By its console if there is one, else over HTTP.
    Auto,
    /// By its console.
    Console,
    /// Over HTTP.
    Http,
}

impl Value for Mode {
    fn rule() -> String {
        "auto, console or http".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Mode::Auto),
            "console" => Ok(Mode::Console),
            "http" => Ok(Mode::Http),
            _ => Err(String::new()),
        }
    }
}

/// When a job runs, if at all.
#[derive(Clone, Debug)]
pub struct When(pub Option<Schedule>);

impl Value for When {
    fn rule() -> String {
        format!("{}, or off", Schedule::rule())
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "off" | "no" | "none" => Ok(Self(None)),
            _ => Schedule::parse(text, &jiff::tz::TimeZone::UTC)
                .map(|schedule| Self(Some(schedule)))
                .map_err(|error| error.reason),
        }
    }
}

/// How many at once, in Matomo's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency(pub i32);

impl Value for Concurrency {
    fn rule() -> String {
        "a whole number from 1 to 1000, or -1 for no limit".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number @ (-1 | 1..=1000)) => Ok(Self(number)),
            _ => Err(String::new()),
        }
    }
}

/// Memory for PHP, in the words of php.ini.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit(String);

impl MemoryLimit {
    /// The setting of php.ini: `memory_limit=512M`.
    pub fn directive(&self) -> String {
        format!("memory_limit={}", self.0)
    }
}

impl Value for MemoryLimit {
    fn rule() -> String {
        "a size as in php.ini, such as 512M or 2G, or -1 for no limit".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_suffix(['K', 'M', 'G', 'k', 'm', 'g']).unwrap_or(text);
        let is_size = !digits.is_empty() && digits.len() <= 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if text == "-1" || (is_size && digits.bytes().any(|byte| byte != b'0')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(String::new())
        }
    }
}

/// The number of a Matomo site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SiteId(pub u32);

impl Value for SiteId {
    fn rule() -> String {
        "the number of a Matomo site".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if number > 0 => Ok(Self(number)),
            _ => Err(String::new()),
        }
    }
}

/// `1,2,3`
pub fn site_list(sites: &[SiteId]) -> String {
    sites.iter().map(|site| site.0.to_string()).collect::<Vec<_>>().join(",")
}

/// Whose raw data is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sites {
    /// Every site's.
    All,
    /// Theirs; at least one.
    These(Vec<SiteId>),
}

impl Value for Sites {
    fn rule() -> String {
        "numbers of Matomo sites, separated by commas, or all".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("all") {
            return Ok(Sites::All);
        }
        match Vec::<SiteId>::parse(text) {
            Ok(sites) if !sites.is_empty() => Ok(Sites::These(sites)),
            _ => Err(String::new()),
        }
    }
}

/// More words for a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Value for Words {
    fn rule() -> String {
        "words as a shell reads them".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        words(text).map(Self).map_err(|error| error.to_string())
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn shown(text: &str) -> String {
        options(text, &[])
    }
}

/// A console command of the operator's own, on a schedule of its own.
#[derive(Clone, Debug)]
pub struct ConsoleJob {
    /// When.
    pub schedule: Schedule,
    /// What: the command and its options.
    pub command: Vec<String>,
}

impl Value for ConsoleJob {
    fn rule() -> String {
        "a cron expression of 5 fields, or 6 with the second first, or @daily, and a command of Matomo's console"
            .to_owned()
    }

    /// Six fields are tried before five: no command can be taken for a field, because a command has a letter and a
    /// colon, or at least no digit in front.
    fn parse(text: &str) -> Result<Self, String> {
        let words = words(text).map_err(|error| error.to_string())?;
        let zone = usize::from(words.first().is_some_and(|word| word.contains("TZ=")));
        let mut reason = "there is no command behind the cron expression".to_owned();
        let fields = match words.get(zone).map(String::as_str) {
            Some("@every") => vec![2],
            Some(word) if word.starts_with('@') => vec![1],
            _ => vec![6, 5],
        };
        for count in fields.into_iter().map(|count| count + zone).filter(|count| *count < words.len()) {
            let (expression, command) = words.split_at(count);
            match Schedule::parse(&expression.join(" "), &jiff::tz::TimeZone::UTC) {
                Ok(schedule) if is_command(&command[0]) => return Ok(Self { schedule, command: command.to_vec() }),
                Ok(_) => reason = format!("`{}` is no command of Matomo's console", command[0]),
                Err(error) => reason = error.reason,
            }
        }
        Err(reason)
    }

    fn shown(text: &str) -> String {
        let Ok(words) = words(text) else { return HIDDEN.to_owned() };
        // In a value that is no job, any word may be the secret.
        let schedule = match Self::parse(text) {
            Ok(job) => words.len() - job.command.len(),
            Err(_) => return HIDDEN.to_owned(),
        };
        let rest: Vec<String> = words[schedule + 1..].iter().map(|word| single_quoted(word)).collect();
        format!("{} {}", words[..=schedule].join(" "), options(&rest.join(" "), &[])).trim().to_owned()
    }
}

fn single_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn is_command(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.".contains(c))
}

impl Kin for ConsoleJob {
    const NAMES: &'static str = "CONSOLE_JOB_*";
    const ABOUT: &'static str = "Any command of Matomo's console on a schedule of its own; the rest of the name, in small letters, is the name of the job.";
    const EXAMPLE: &'static str = "0 15 4 * * * core:purge-old-archive-data all";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_job_is_a_schedule_and_a_command() {
        for (text, schedule, command) in [
            ("0 15 4 * * * core:purge-old-archive-data all", "0 15 4 * * *", "core:purge-old-archive-data|all"),
            ("15 4 * * Sun core:x --a='b c'", "15 4 * * Sun", "core:x|--a=b c"),
            ("@daily list", "@daily", "list"),
            ("@every 15m core:x", "@every 15m", "core:x"),
            ("TZ=Europe/Copenhagen 0 2 * * * core:x", "0 2 * * *", "core:x"),
            ("0 0 0 * * ? core:x -v", "0 0 0 * * ?", "core:x|-v"),
        ] {
            let job = ConsoleJob::parse(text).unwrap();
            assert_eq!(
                (job.schedule.to_string().as_str(), job.command.join("|").as_str()),
                (schedule, command),
                "{text}"
            );
        }
        for text in
            ["", "0 15 4 * * *", "core:x", "@daily", "61 * * * * core:x", "* * * * * /bin/sh -c x", "0 4 * * * 'core:x"]
        {
            assert!(ConsoleJob::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn b11_of_a_job_its_schedule_its_name_and_harmless_values_are_shown() {
        for (text, shown) in [
            ("0 15 4 * * * core:purge-old-archive-data all", "0 15 4 * * * core:purge-old-archive-data all"),
            ("* * * * * user:create --password=s3cret", "* * * * * user:create --password=(hidden)"),
            ("@daily user:reset me 's3 cret' -vvv", "@daily user:reset (hidden) (hidden) -vvv"),
            ("* * * user:create --password=s3cret", "(hidden)"),
            ("@daily core:x 'it'\\''s s3cret'", "@daily core:x (hidden)"),
        ] {
            assert_eq!(ConsoleJob::shown(text), shown);
        }
    }

    #[test]
    fn values_are_read_in_matomos_words() {
        assert!(["1", "1000", "-1"].iter().all(|text| Concurrency::parse(text).is_ok()));
        assert!(["0", "-2", "1001", "three"].iter().all(|text| Concurrency::parse(text).is_err()));
        assert!(["512M", "2G", "-1", "268435456"].iter().all(|text| MemoryLimit::parse(text).is_ok()));
        assert!(["0", "512 M", "M", "1T", "-2", "512M; x"].iter().all(|text| MemoryLimit::parse(text).is_err()));
        assert_eq!(Sites::parse("ALL"), Ok(Sites::All));
        assert_eq!(Sites::parse("1, 2"), Ok(Sites::These(vec![SiteId(1), SiteId(2)])));
        assert!(["0", "-1", ",", "a"].iter().all(|text| Sites::parse(text).is_err()));
        assert!(When::parse("off").unwrap().0.is_none() && When::parse("0 30 * * * *").unwrap().0.is_some());
    }
}
