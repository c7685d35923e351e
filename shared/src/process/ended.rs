//! How a program ended, and what it left.

use std::time::Duration;

use crate::{
    entry::Exit,
    words::{length_in_words, signal_name},
};

/// What `wait` says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It ended with this code.
    Exited(u8),
    /// This signal ended it.
    Killed(i32),
}

/// Who ended the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It ended by itself.
    Itself,
    /// It took longer than its hard limit.
    TimedOut,
    /// We were asked to stop.
    Stopped,
}

/// A process that outlived the program although it belonged to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its number.
    pub pid: i32,
    /// Its name, as the kernel knows it.
    pub name: String,
    /// Whether we ended it.
    pub ended: bool,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The short name of the program in log lines.
    pub label: String,
    /// What became of its process.
    pub status: Status,
    /// Who ended it.
    pub why: Why,
    /// Whether KILL was needed.
    pub killed: bool,
    /// From its start to the end of its process.
    pub took: Duration,
    /// Lines of its output.
    pub lines: u64,
    /// Bytes of its output, line ends included.
    pub bytes: u64,
    /// Bytes of its output that the log had no room for, because nobody read our output.
    pub dropped: u64,
    /// The last lines, cleaned and bounded.
    pub tail: String,
    /// Processes of it that were still there when it had ended.
    pub left_behind: Vec<LeftBehind>,
}

impl Ended {
    /// Whether it ended by itself, and well.
    pub fn succeeded(&self) -> bool {
        self.status == Status::Exited(0) && self.why != Why::TimedOut
    }

    /// The exit code a shell would give: 124 after the hard limit, 128 + n for signal n, else its own.
    pub fn exit(&self) -> Exit {
        match (self.why, self.status) {
            (Why::TimedOut, _) => Exit::TimedOut,
            (_, Status::Exited(0)) => Exit::Done,
            (_, Status::Exited(code)) => Exit::Code(code),
            (_, Status::Killed(signal)) => Exit::Code(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        }
    }

    /// One sentence for people: `rsync ended with exit code 23 after 4 seconds`.
    pub fn sentence(&self) -> String {
        let label = &self.label;
        let took = length_in_words(self.took);
        let status = match self.status {
            Status::Exited(code) => format!("ended with exit code {code}"),
            Status::Killed(signal) => format!("was ended by signal {}", signal_name(signal)),
        };
        match self.why {
            Why::Itself => format!("{label} {status} after {took}"),
            Why::TimedOut => format!("{label} took too long and was stopped after {took}: it {status}"),
            Why::Stopped => format!("{label} was stopped after {took}, as asked: it {status}"),
        }
    }
}
