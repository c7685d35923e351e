//! What a run says about itself when it has ended.

use serde::{Deserialize, Serialize};

use crate::{
    entry::Exit,
    process::{Ended, Why},
};

/// How a run ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Result {
    /// It did its work.
    Success,
    /// It ended well and did nothing although there should have been something to do.
    Suspicious,
    /// It did not do its work.
    Failure,
    /// It took too long.
    Timeout,
    /// It was stopped because somebody asked us to stop, or for a new run.
    Stopped,
    /// The process that ran it died meanwhile.
    Interrupted,
}

impl Result {
    /// Whether somebody should be told: the work was not done, and nobody stopped it on purpose.
    pub fn is_bad(self) -> bool {
        !matches!(self, Result::Success | Result::Stopped)
    }

    /// The word that histories show.
    pub fn word(self) -> &'static str {
        match self {
            Result::Success => "success",
            Result::Suspicious => "suspicious",
            Result::Failure => "failure",
            Result::Timeout => "timeout",
            Result::Stopped => "stopped",
            Result::Interrupted => "interrupted",
        }
    }
}

/// What a run says about itself.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub result: Result,
    /// The exit code of `once`.
    pub exit: Exit,
    /// One sentence for people.
    pub sentence: String,
    /// The last lines of output, cleaned and bounded; for whoever is told.
    pub tail: String,
    /// Whether another attempt may help.
    pub may_retry: bool,
}

impl Report {
    /// It did its work.
    pub fn success(sentence: impl Into<String>) -> Self {
        let (result, exit) = (Result::Success, Exit::Done);
        Self { result, exit, sentence: sentence.into(), tail: String::new(), may_retry: false }
    }

    /// It did not do its work, and another attempt would not help.
    pub fn failed(exit: Exit, sentence: impl Into<String>) -> Self {
        Self { result: Result::Failure, exit, may_retry: false, ..Self::success(sentence) }
    }

    /// It ended well, but there was nothing where something was expected.
    pub fn suspicious(sentence: impl Into<String>) -> Self {
        Self { result: Result::Suspicious, exit: Exit::Failed, ..Self::success(sentence) }
    }

    /// What became of a program. Another attempt may help unless it was stopped, or could not be run at all.
    pub fn of(ended: &Ended) -> Self {
        let result = match ended.why {
            Why::TimedOut => Result::Timeout,
            Why::Stopped => Result::Stopped,
            Why::Itself if ended.succeeded() => Result::Success,
            Why::Itself => Result::Failure,
        };
        let exit = ended.exit();
        let may_retry = result == Result::Failure && !matches!(exit.code(), 2 | 64 | 78 | 126 | 127);
        Self { result, exit, sentence: ended.sentence(), tail: ended.tail.clone(), may_retry }
    }

    /// Lets another attempt be made, or not.
    #[must_use]
    pub fn may_retry(mut self, may_retry: bool) -> Self {
        self.may_retry = may_retry;
        self
    }

    /// Adds the last lines of output.
    #[must_use]
    pub fn tail(mut self, tail: impl Into<String>) -> Self {
        self.tail = tail.into();
        self
    }

    /// Whether somebody should be told: it neither did its work nor was stopped on purpose.
    pub fn is_bad(&self) -> bool {
        self.result.is_bad()
    }
}
