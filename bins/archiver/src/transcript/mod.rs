//! What a console command said, read while it runs: bounded, whatever it writes.
//!
//! Exit code 0 covers most of what can happen to `core:archive`, so its text is what a run is judged by. The phrases
//! were measured at Matomo 5.0.2, but for those that [`UNMEASURED`] lists; a run that says none of them is never good.

mod line;
mod secret;
mod site;

use std::collections::{BTreeMap, VecDeque};

pub use line::{Level, without_colours};
pub use secret::hide;
pub use site::SiteRun;

const TAIL_LINES_MAX: usize = 30;
const SAMPLES_MAX: usize = 5;
/// Characters of a line that are looked at or kept; what Matomo says of itself is shorter.
const LINE_CHARS_MAX: usize = 1_000;
const SITES_MAX: usize = 20_000;

/// Something in the output that decides how a run is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As many archivers run as are allowed.
    TooManyArchivers,
    /// Maintenance mode is on.
    Maintenance,
    /// PHP had not enough memory.
    Memory,
    /// The database does not answer, or refuses us.
    Database,
    /// There is no configuration.
    NotInstalled,
    /// Without `ps` Matomo asks itself over HTTP and does not know its address.
    NoUrl,
    /// The scheduled tasks were run.
    TasksRun,
    /// One of them failed.
    TaskFailed,
    /// Matomo heard a signal and ended early by itself.
    Interrupted,
}

/// In small letters.
const MEASURED: &[(&str, Mark)] = &[
    ("reached maximum concurrent archivers", Mark::TooManyArchivers),
    ("run because maintenance mode", Mark::Maintenance),
    ("missing scheme in given url", Mark::NoUrl),
    ("scheduled tasks executed", Mark::TasksRun),
];

/// Words of PHP, of MySQL, and of Matomo's sources that no run of ours has shown yet. They only make a bad end plainer,
/// but for the answer of the scheduled tasks over HTTP, a list that may be empty.
const UNMEASURED: &[(&str, Mark)] = &[
    ("allowed memory size of", Mark::Memory),
    ("out of memory", Mark::Memory),
    ("sqlstate[hy000] [2002]", Mark::Database),
    ("sqlstate[hy000] [1045]", Mark::Database),
    ("mysql server has gone away", Mark::Database),
    ("error while sending query packet", Mark::Database),
    ("the configuration file", Mark::NotInstalled),
    ("matomo is not installed", Mark::NotInstalled),
    ("received system signal", Mark::Interrupted),
    ("[{\"task\":", Mark::TasksRun),
    ("\"output\":\"error", Mark::TaskFailed),
];

/// What has been said so far.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    marks: Vec<Mark>,
    /// `Processed N archives`.
    pub archives: Option<u64>,
    /// `N total errors during this script execution`.
    pub errors_total: Option<u64>,
    /// What an answer of the API says that failed.
    pub api_error: Option<String>,
    /// Lines of level error, counted.
    pub errors: u64,
    /// Lines of level warning, counted.
    pub warnings: u64,
    /// The first of both, for people.
    pub samples: Vec<String>,
    /// Sites, each with what was done for it.
    pub sites: BTreeMap<u32, SiteRun>,
    /// Lines in all.
    pub lines: u64,
    tail: VecDeque<String>,
}

/// What a line tells at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// Nothing that cannot wait for the end.
    Nothing,
    /// Matomo is done with a site.
    Site(u32, SiteRun),
}

impl Transcript {
    /// What all these lines say.
    #[cfg(test)]
    pub fn of(text: &str) -> Self {
        let mut transcript = Self::default();
        for line in text.lines() {
            transcript.hear(line.as_bytes());
        }
        transcript
    }

    /// Takes a line, as it was written.
    pub fn hear(&mut self, bytes: &[u8]) -> Heard {
        let plain = without_colours(&bytes[..bytes.len().min(4 * LINE_CHARS_MAX)]);
        let shown = hide(plain.chars().take(LINE_CHARS_MAX).collect::<String>().trim_end());
        self.lines += 1;
        let line = line::read(&shown);
        self.count(line);
        self.note_marks(line.text);
        self.note_api_error(line.text);
        self.note_numbers(line.text);
        let heard = site::hear(&mut self.sites, line.text, SITES_MAX);
        self.keep(&shown);
        heard.map_or(Heard::Nothing, |(site, run)| Heard::Site(site, run))
    }

    fn count(&mut self, line: line::Line<'_>) {
        match line.level {
            Some(Level::Error) => self.errors += 1,
            Some(Level::Warning) => self.warnings += 1,
            Some(Level::Calm) | None => return,
        }
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(line.text.to_owned());
        }
    }

    fn note_marks(&mut self, text: &str) {
        let text = text.to_ascii_lowercase();
        let said = MEASURED.iter().chain(UNMEASURED).filter(|(phrase, _)| text.contains(phrase)).map(|(_, mark)| *mark);
        let no_task_was_due = (text == "[]").then_some(Mark::TasksRun);
        for mark in said.chain(no_task_was_due) {
            if !self.marks.contains(&mark) {
                self.marks.push(mark);
            }
        }
    }

    fn note_api_error(&mut self, text: &str) {
        let Some(at) = text.find("{\"result\":\"error\"") else { return };
        let answer = serde_json::Deserializer::from_str(&text[at..]).into_iter::<serde_json::Value>().next();
        let message = answer.and_then(|answer| Some(answer.ok()?["message"].as_str()?.to_owned()));
        self.api_error.get_or_insert(message.unwrap_or_else(|| text[at..].to_owned()));
    }

    fn note_numbers(&mut self, text: &str) {
        let found = between(text, "Processed ", " archives").and_then(number);
        self.archives = found.or(self.archives);
        // The command repeats the sentence on standard error: not added up.
        let errors = text.split_once(" total errors during").and_then(|(before, _)| number(before.rsplit(' ').next()?));
        self.errors_total = errors.or(self.errors_total);
    }

    fn keep(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.tail.len() == TAIL_LINES_MAX {
            self.tail.pop_front();
        }
        self.tail.push_back(text.to_owned());
    }

    /// Whether this was said.
    pub fn has(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }

    /// Lets the last lines go, when nobody would want to read them.
    pub fn drop_tail(&mut self) {
        self.tail.clear();
    }

    /// The last lines, tokens hidden.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }
}

/// The text between two others, the first occurrence of each.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

fn number(text: &str) -> Option<u64> {
    text.trim().replace([',', '\u{a0}'], "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_run_is_read() {
        let transcript = Transcript::of(include_str!("samples/ok.txt"));
        assert_eq!((transcript.archives, transcript.errors, transcript.warnings), (Some(16), 0, 0));
        assert!(!transcript.has(Mark::Database) && transcript.api_error.is_none());
        let sites: Vec<_> = transcript.sites.iter().map(|(site, run)| (*site, run.finished, run.requests)).collect();
        assert_eq!(sites, [(1, true, 8), (2, true, 8)]);
        assert_eq!(transcript.sites[&1].seconds, Some(3.344));
        assert_eq!(transcript.sites[&1].last_day, Some(jiff::civil::date(2026, 11, 24)));
    }

    #[test]
    fn errors_are_counted_once_and_belong_to_their_site() {
        let transcript = Transcript::of(
            "ERROR [14:03:59] 1 Got invalid response from API request: ?module=API&idSite=7&period=day&token_auth=0123abcd. Response was 'x'\n\
             INFO [14:03:59] 1 Error: Got invalid response from API request: ?module=API&idSite=7&token_auth=0123abcd\n\
             ERROR [14:03:59] 1 1 total errors during this script execution, please investigate and try and fix these errors.\n\
             1 total errors during this script execution, please investigate",
        );
        assert_eq!((transcript.errors, transcript.errors_total), (2, Some(1)));
        assert_eq!(transcript.sites[&7].errors, 1);
        assert!(transcript.tail().all(|line| !line.contains("0123abcd")));
        assert!(transcript.samples.iter().all(|line| !line.contains("0123abcd")));
    }

    #[test]
    fn whatever_is_written_little_is_kept() {
        let mut transcript = Transcript::default();
        let long = "x".repeat(1 << 20);
        for number in 0..2_000_u32 {
            transcript.hear(format!("ERROR [1:2] 3 {number} {}", &long[..20_000]).as_bytes());
        }
        transcript.hear(long.as_bytes());
        assert_eq!((transcript.lines, transcript.errors, transcript.samples.len()), (2_001, 2_000, SAMPLES_MAX));
        assert_eq!(transcript.tail().count(), TAIL_LINES_MAX);
        assert!(transcript.tail().map(str::len).sum::<usize>() <= TAIL_LINES_MAX * LINE_CHARS_MAX);
    }
}
