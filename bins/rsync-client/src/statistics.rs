//! What rsync says about its own work, read from the lines that it prints.

use serde::{Deserialize, Serialize};

/// Counts of one command; several rsyncs in it add up. A field is `None` when no line said it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Files that were sent, whole or in part.
    pub files: Option<u64>,
    /// Files that were deleted here.
    pub deleted: Option<u64>,
    /// Bytes that came over the line.
    pub received: Option<u64>,
    /// Bytes of all files at the source.
    pub total: Option<u64>,
}

/// Reads lines as they come.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    said: Statistics,
    /// Between "receiving incremental file list" and the end of the list.
    listing: bool,
    listed: Statistics,
}

impl Counter {
    /// Takes a line of standard output.
    pub fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if line.ends_with("incremental file list") || line.ends_with("building file list ... done") {
            self.listing = true;
            self.listed.files.get_or_insert(0);
            return;
        }
        if let Some(rest) = line.strip_prefix("sent ").filter(|rest| rest.contains(" bytes  received ")) {
            self.listing = false;
            let received = rest.split_once("received ").and_then(|(_, rest)| number(rest));
            add(&mut self.said.received, received);
        } else if let Some(rest) = line.strip_prefix("total size is ") {
            add(&mut self.said.total, number(rest));
        } else if let Some(rest) = line.strip_prefix("Number of regular files transferred: ") {
            add(&mut self.said.files, number(rest));
        } else if let Some(rest) = line.strip_prefix("Number of deleted files: ") {
            add(&mut self.said.deleted, number(rest));
        } else if line.strip_prefix("Number of files: ").is_some() || line.is_empty() {
            self.listing = false;
        } else if self.listing {
            self.listed_line(line);
        }
    }

    /// With -v, each file is a line, and so are folders (`a/`) and links (`a -> b`).
    fn listed_line(&mut self, line: &str) {
        if line.starts_with("deleting ") {
            add(&mut self.listed.deleted, Some(1));
        } else if !line.ends_with('/') && !line.contains(" -> ") && !line.starts_with(' ') {
            add(&mut self.listed.files, Some(1));
        }
    }

    /// What is known at the end; rsync's own counts win over those of listed lines.
    pub fn end(&self) -> Statistics {
        Statistics {
            files: self.said.files.or(self.listed.files),
            deleted: self.said.deleted.or(self.listed.deleted),
            ..self.said
        }
    }
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}

/// `1,234`, `1234`, or `1.23K` as -h writes it; more of the line may follow.
fn number(text: &str) -> Option<u64> {
    let text = text.split_whitespace().next()?;
    let letter = text.chars().last().filter(char::is_ascii_alphabetic);
    let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let Some(letter) = letter else { return digits.parse().ok() };
    let power = 1 + "KMGTP".find(letter)?;
    let value: f64 = digits.parse().ok()?;
    Some((value * 1000_f64.powi(power as i32)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Statistics {
        let mut counter = Counter::default();
        lines.lines().for_each(|line| counter.line(line));
        counter.end()
    }

    #[test]
    fn a_verbose_run_is_counted_by_its_lines() {
        let said = "receiving incremental file list\n./\na.log\nsub/\nsub/b.log\nlink -> a.log\ndeleting old.log\n\n\
                    sent 67 bytes  received 1,234,567 bytes  493,853.60 bytes/sec\ntotal size is 9,999  speedup is 1.00\n";
        let expected = Statistics { files: Some(2), deleted: Some(1), received: Some(1_234_567), total: Some(9_999) };
        assert_eq!(read(said), expected);
    }

    #[test]
    fn statistics_win_over_lines() {
        let said = "receiving incremental file list\na.log\n\nNumber of files: 3 (reg: 2, dir: 1)\nNumber of deleted files: 4 (reg: 4)\n\
                    Number of regular files transferred: 2\n\nsent 1 bytes  received 5 bytes  1 bytes/sec\n";
        assert_eq!(read(said), Statistics { files: Some(2), deleted: Some(4), received: Some(5), total: None });
    }

    #[test]
    fn two_runs_add_up_and_silence_is_not_zero() {
        let run = "sent 1 bytes  received 1.50K bytes  1 bytes/sec\n";
        assert_eq!(read(&format!("{run}{run}")).received, Some(3_000));
        assert_eq!(read("hello\n"), Statistics::default());
    }
}
