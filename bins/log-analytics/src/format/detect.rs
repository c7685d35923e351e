//! Finds the format of a file from its first lines.
//!
//! All formats are tried on a line. The one with the most capturing groups wins, among equals the earlier in
//! [`FORMATS`](super::FORMATS). A JSON match has no groups: it replaces what stood before, and only a later
//! format that also has more groups than the best before it replaces JSON.

use super::{Chosen, FORMATS, Fit, FormatOptions, LineParser};

/// So many lines are looked at before a file is given up.
const LINES_MAX: u64 = 100_000;
/// Never detected: see [`FORMATS`](super::FORMATS).
const BY_NAME_ONLY: &str = "ovh";

/// Looks at the lines of one file, from its first, until one fits a format.
pub struct Detector {
    candidates: Vec<Candidate>,
    lines: u64,
    /// Whether a line was more than blanks.
    is_written: bool,
}

/// A format on trial.
struct Candidate {
    name: &'static str,
    parser: Box<dyn LineParser + Send>,
}

/// The format of a file.
pub struct Found {
    /// The format's name.
    pub name: &'static str,
    /// Reads the file from its first line on. It knows the columns already, if a header named them.
    pub parser: Box<dyn LineParser + Send>,
}

/// Why a file has no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotFound {
    /// Nothing but blanks: nothing to import, no fault.
    Empty,
    /// None of its lines fits a format: the import of the file fails.
    Undetectable {
        /// How many lines were looked at.
        lines: u64,
    },
}

impl Detector {
    /// All formats are still possible. The options have been checked by [`named`](super::named).
    pub fn new(options: &FormatOptions) -> Self {
        let candidates = FORMATS
            .iter()
            .filter(|format| format.name() != BY_NAME_ONLY)
            .map(|format| Candidate { name: format.name(), parser: format.parser(options, Chosen::ByDetection) })
            .collect();
        Self { candidates, lines: 0, is_written: false }
    }

    /// Shows the next line, without its terminator. After an answer the detector has nothing more to say.
    pub fn offer(&mut self, line: &[u8]) -> Option<Found> {
        if self.exhausted() {
            return None;
        }
        self.lines += 1;
        // Blank lines may stand before the first one, however many (the reference takes a file for empty after 100 characters).
        if line.trim_ascii().is_empty() {
            return None;
        }
        self.is_written = true;
        let winner = self.winner(line)?;
        let Candidate { name, parser } = self.candidates.swap_remove(winner);
        self.candidates.clear();
        Some(Found { name, parser })
    }

    fn winner(&mut self, line: &[u8]) -> Option<usize> {
        let mut winner = None;
        let mut most_groups = 0;
        for (index, candidate) in self.candidates.iter_mut().enumerate() {
            match candidate.parser.fit(line, most_groups) {
                Some(Fit::Groups(groups)) => (winner, most_groups) = (Some(index), groups),
                Some(Fit::Keys) => winner = Some(index),
                None => {}
            }
        }
        winner
    }

    /// Whether further lines change nothing: the format is found, or the file is given up.
    pub fn exhausted(&self) -> bool {
        self.lines >= LINES_MAX || self.candidates.is_empty()
    }

    /// The verdict on a file that ended, or was given up, without an answer.
    pub fn not_found(&self) -> NotFound {
        if self.is_written { NotFound::Undetectable { lines: self.lines } } else { NotFound::Empty }
    }
}

#[cfg(test)]
mod tests {
    use super::super::FormatOptions;
    use super::*;

    fn detect<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<&'static str, NotFound> {
        let mut detector = Detector::new(&FormatOptions::default());
        let found = lines.into_iter().find_map(|line| detector.offer(line.as_bytes()));
        found.map(|found| found.name).ok_or_else(|| detector.not_found())
    }

    const COMMON: &str = r#"192.0.2.1 - - [05/Jun/2024:08:00:05 +0200] "GET / HTTP/1.1" 200 1"#;

    #[test]
    fn the_most_telling_pattern_wins() {
        assert_eq!(detect([COMMON]), Ok("common"));
        assert_eq!(detect([&*format!("www.example.org {COMMON}")]), Ok("common_vhost"));
        assert_eq!(detect([&*format!(r#"{COMMON} "-" "UA""#)]), Ok("ncsa_extended"));
        assert_eq!(detect([&*format!(r#"www.example.org:80 {COMMON} "-" "UA""#)]), Ok("common_complete"));
        assert_eq!(detect([&*format!(r#"{COMMON} "-" "UA" 0"#)]), Ok("icecast2"));
    }

    #[test]
    fn an_empty_host_is_a_host() {
        assert_eq!(detect([&*format!(" {COMMON}")]), Ok("common_vhost"));
        assert_eq!(detect([&*format!(r#"	{COMMON} "-" "UA""#)]), Ok("common_complete"));
    }

    #[test]
    fn json_gives_way_only_to_a_later_format_with_groups() {
        let traefik = r#"{"level": "", "msg": "", "time": "", "referrer": "", "date": ""}"#;
        assert_eq!(detect([traefik]), Ok("nginx_json"));
        let haproxy = r#"{"level": 1, "msg": 2, "time": 3, "x": ": 192.0.2.1 [d] 200 1 -\"GET / \""}"#;
        assert_eq!(detect([haproxy]), Ok("haproxy"));
    }

    #[test]
    fn an_ovh_line_is_taken_for_combined() {
        let line = COMMON.replace("- -", "www.example.org jo");
        assert_eq!(detect([&*format!(r#"{line} "-" "UA""#)]), Ok("ncsa_extended"));
    }

    #[test]
    fn the_first_line_that_fits_decides() {
        assert_eq!(detect(["", "junk", COMMON, &format!(r#"{COMMON} "-" "UA""#)]), Ok("common"));
    }

    #[test]
    fn nothing_but_header_lines_ends_without_an_answer() {
        assert_eq!(detect(["#Software: x", "#Version: 1.0"]), Err(NotFound::Undetectable { lines: 2 }));
    }

    #[test]
    fn blank_lines_before_the_first_one_are_passed_over() {
        assert_eq!(detect([]), Err(NotFound::Empty));
        let blanks = vec![""; 1_000];
        assert_eq!(detect(blanks.iter().copied()), Err(NotFound::Empty));
        assert_eq!(detect(blanks.iter().copied().chain([COMMON])), Ok("common"));
    }

    #[test]
    fn a_file_is_given_up_after_a_hundred_thousand_lines() {
        let mut detector = Detector::new(&FormatOptions::default());
        for _ in 0..LINES_MAX {
            assert!(!detector.exhausted());
            assert!(detector.offer(b"junk").is_none());
        }
        assert!(detector.exhausted());
        assert!(detector.offer(COMMON.as_bytes()).is_none());
        assert_eq!(detector.not_found(), NotFound::Undetectable { lines: LINES_MAX });
    }
}
