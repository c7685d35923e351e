//! How a run of the binary ended, and what it said.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Everything is imported, or the binary was asked to stop.
pub const ALL_IN: i32 = 0;
/// The job failed, and a person is needed.
pub const FAILED: i32 = 1;
/// Matomo does not answer.
pub const UNREACHABLE: i32 = 69;
/// State cannot be written.
pub const CANNOT_WRITE_STATE: i32 = 73;
/// Something is left to do.
pub const TRY_AGAIN: i32 = 75;
/// The settings cannot be used.
pub const SETTINGS: i32 = 78;

/// An ended run.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub(super) words: String,
    pub(super) status: ExitStatus,
    /// Everything it wrote to standard output.
    pub stdout: String,
    /// Everything it wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    /// The exit code; nothing when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Both streams, one after the other.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Exit code 0.
    ///
    /// # Panics
    /// With any other end.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.ends_with(ALL_IN)
    }

    /// This exit code.
    ///
    /// # Panics
    /// With any other end.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "expected exit code {code}\n{self}");
        self
    }

    /// One of these exit codes.
    ///
    /// # Panics
    /// With any other end.
    #[track_caller]
    pub fn ends_with_one_of(self, codes: &[i32]) -> Self {
        assert!(self.code().is_some_and(|code| codes.contains(&code)), "expected one of {codes:?}\n{self}");
        self
    }

    /// Some line holds all of these words, in any case.
    ///
    /// # Panics
    /// When none does.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let holds = |line: &str| words.iter().all(|word| line.contains(&word.to_lowercase()));
        assert!(self.output().to_lowercase().lines().any(holds), "no line says {words:?}\n{self}");
        self
    }

    /// No line holds this text.
    ///
    /// # Panics
    /// When one does.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.output().contains(text), "some line says {text:?}\n{self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} ended with {}", self.words, self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in text.lines() {
                writeln!(out, "  {name} | {line}")?;
            }
        }
        Ok(())
    }
}
