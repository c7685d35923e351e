//! What became of each rsync in a text of several commands, whose exit code only tells of the last.
//!
//! Commands find an `rsync` of ours first (see [`crate::ssh::Client`]). In such a text it notes how each ended, and takes
//! 24 (files vanished) for the success that it is, so that `rsync … && rsync …` goes on. An rsync that is named by its
//! path goes around it; of that one only its own error line tells.

use std::fs;
use std::path::{Path, PathBuf};

use crate::ending::{Ending, Status, judge};
use crate::script::Chain;

/// The variable that names the file in which our `rsync` notes how it ended.
pub const VARIABLE: &str = "RSYNC_CLIENT_TALLY";
/// rsync's code for files that went away meanwhile.
const VANISHED: i32 = 24;

/// The file for one text under way; removed when it is dropped.
#[derive(Debug)]
pub struct Tally(PathBuf);

impl Tally {
    /// A new one in a folder.
    pub fn new(folder: &Path, label: &str) -> Self {
        let path = folder.join(format!(".{label}.{}.tally", std::process::id()));
        // One of an attempt that was cut short.
        let _ = fs::remove_file(&path);
        Self(path)
    }

    /// Where our `rsync` writes.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What was noted.
    pub fn read(&self) -> Vec<Note> {
        fs::read_to_string(&self.0).unwrap_or_default().lines().filter_map(Note::of).collect()
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// How one rsync ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    code: i32,
    /// A sum over all its words.
    words: String,
    /// A sum over the last one, its target.
    target: String,
}

impl Note {
    fn of(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let code = fields.next()?.parse().ok()?;
        Some(Self { code, words: fields.next()?.to_owned(), target: fields.next()?.to_owned() })
    }

    fn is_good(&self) -> bool {
        self.code == 0 || self.code == VANISHED
    }

    /// Whether a later one did the same work: the same words again, or behind `||` the same target.
    fn is_made_up_for(&self, later: &[Note], chain: Chain) -> bool {
        let same = |other: &Note| other.words == self.words || (chain.may_make_up && other.target == self.target);
        later.iter().any(|other| other.is_good() && same(other))
    }
}

/// How a text of several commands ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What it means.
    pub ending: Ending,
    /// The code that it follows from.
    pub status: Status,
    /// Whether that is one of rsync's.
    pub by_rsync: bool,
}

/// Judges a text of several commands by its status, by what was noted, and by what rsync said itself.
pub fn judge_chain(status: Status, said: &str, notes: &[Note], chain: Chain) -> Judgement {
    let judgement = |ending, status, by_rsync| Judgement { ending, status, by_rsync };
    let Status::Exited(code) = status else { return judgement(judge(status, said, true), status, true) };
    let mut failed = notes
        .iter()
        .enumerate()
        .filter(|(at, note)| !note.is_good() && !note.is_made_up_for(&notes[at + 1..], chain))
        .map(|(_, note)| note.code);
    let trusts_words = notes.is_empty() || chain.names_path;
    let said_codes = || errors(said).filter(|_| trusts_words);
    let failed = failed.next_back().or_else(|| said_codes().filter(|code| *code != VANISHED).last());
    let vanished = notes.iter().any(|note| note.code == VANISHED) || said_codes().any(|code| code == VANISHED);
    match (code, failed) {
        (_, Some(failed)) => {
            let status = Status::Exited(failed);
            judgement(judge(status, said, true), status, true)
        }
        (VANISHED, None) if chain.may_be_cut => judgement(Ending::CutShort, status, true),
        (VANISHED, None) => judgement(Ending::Vanished, status, true),
        (0, None) if vanished => judgement(Ending::Vanished, Status::Exited(VANISHED), true),
        (0, None) => judgement(Ending::Done, status, true),
        // Something else in the text failed, and its code is none of rsync's.
        (_, None) => judgement(judge(status, said, notes.is_empty()), status, notes.is_empty()),
    }
}

/// The codes in the lines with which rsync ends when it fails: `rsync error: … (code 23) at main.c(1956)`.
fn errors(said: &str) -> impl Iterator<Item = i32> + '_ {
    let lines = said.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("rsync error: ").or_else(|| line.strip_prefix("rsync warning: "))
    });
    lines.filter_map(|line| line.rsplit_once("(code ")?.1.split(')').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(lines: &str) -> Vec<Note> {
        lines.split(',').filter_map(|line| Note::of(line.trim())).collect()
    }

    #[track_caller]
    fn judged(text: &str, code: i32, said: &str, lines: &str) -> Ending {
        judge_chain(Status::Exited(code), said, &notes(lines), Chain::of(text)).ending
    }

    #[test]
    fn what_ran_decides_and_not_the_last_code() {
        for (text, code, lines, ending) in [
            ("rsync a b | tee c", 0, "0 1 1", Ending::Done),
            ("rsync a b | tee c", 0, "23 1 1", Ending::Partial),
            ("rsync a b || true", 0, "10 1 1", Ending::Unreachable),
            ("rsync a b && rsync c d", 0, "24 1 1, 0 2 2", Ending::Vanished),
            ("rsync a b && rsync c d", 23, "24 1 1, 23 2 2", Ending::Partial),
            ("for i in 1 2; do rsync $i x/$i; done", 0, "23 1 1, 0 2 2", Ending::Partial),
            // Tried again until it worked, or from another server.
            ("until rsync a b; do sleep 1; done", 0, "10 1 1, 10 1 1, 0 1 1", Ending::Done),
            ("rsync a b || rsync c b", 0, "10 1 9, 0 2 9", Ending::Done),
            ("rsync a b; rsync c b", 0, "10 1 9, 0 2 9", Ending::Unreachable),
            // All fetched, and then a `test` failed: 1 is no word of rsync.
            ("rsync a b && test -f c", 1, "0 1 1", Ending::Failed),
            ("rsync a b && curl x", 22, "0 1 1", Ending::Failed),
        ] {
            assert_eq!(judged(text, code, "", lines), ending, "{text} {lines}");
        }
    }

    #[test]
    fn an_rsync_with_a_path_is_judged_by_its_own_words() {
        let error = "rsync error: some files could not be transferred (code 23) at main.c(1956) [generator=3.5.0]";
        let vanished = "rsync warning: some files vanished before they could be transferred (code 24) at main.c(1)";
        let text = "/usr/bin/rsync a b | tee c";
        assert_eq!(judged(text, 0, error, ""), Ending::Partial);
        assert_eq!(judged(text, 0, vanished, ""), Ending::Vanished);
        assert_eq!(judged(text, 0, "all is well", ""), Ending::Done);
        assert_eq!(judged("rsync a b; /usr/bin/rsync c d | cat", 0, error, "0 1 1"), Ending::Partial);
        // What was noted is surer than a line, which may come from the other end or from an earlier try.
        assert_eq!(judged("until rsync a b; do :; done", 0, error, "23 1 1, 0 1 1"), Ending::Done);
        // It stopped the chain.
        assert_eq!(judged("/usr/bin/rsync a b && rsync c d", 24, vanished, ""), Ending::CutShort);
        assert_eq!(judged("cd x; /usr/bin/rsync a b", 24, vanished, ""), Ending::Vanished);
    }
}
