//! How long a program may run, and how it is stopped.

use std::time::Duration;

use rustix::process::Signal;

use crate::{
    config::{Span, Value},
    shutdown::GRACE_DEFAULT,
};

/// With [`StopPolicy::Finish`] a job is asked to end this long before it is killed.
const FAREWELL: Duration = Duration::from_secs(1);

crate::settings! {
    /// How a job under way is stopped. A group for the settings of any program with jobs.
    pub struct StopOptions {
        /// What a wish to stop means for a job under way: `now` asks it to end at once, `finish` lets it work on until SHUTDOWN_GRACE is nearly over.
        pub policy: StopPolicy = default("STOP_POLICY", "now").example("finish"),
        /// Signal that asks a job to end.
        pub signal: StopSignal = default("STOP_SIGNAL_TO_JOB", "TERM").example("INT"),
        /// How long a stop may take before a job is killed; keep it shorter than the grace of the container engine.
        pub grace: Span = crate::shutdown::GRACE,
    }
}

impl StopOptions {
    /// How long a job may work on before it is asked to end.
    pub fn patience(&self) -> Duration {
        match self.policy {
            StopPolicy::Now => Duration::ZERO,
            StopPolicy::Finish => self.grace.get().saturating_sub(FAREWELL),
        }
    }

    /// How the programs of a job are stopped, once its turn to end has come; they may take as long as they like.
    pub fn limits(&self) -> Limits {
        Limits { signal: self.signal.0, grace: self.grace.get().saturating_sub(self.patience()), ..Limits::default() }
    }
}

crate::settings! {
    /// How long a job may take. A group for the settings of any program with jobs.
    pub struct LimitOptions {
        /// Longest time for a job; then it is asked to end, and killed when it does not. Not limited when unset.
        pub hard: Option<Span> = optional("JOB_TIMEOUT").example("2h"),
        /// A job that takes longer than this is worth a warning.
        pub soft: Option<Span> = optional("JOB_WARN_AFTER").example("30m"),
        /// Whether signals that mean nothing to this program (real-time ones, ALRM, WINCH …) are passed on to the job.
        pub forward: bool = default("FORWARD_SIGNALS", "no"),
    }
}

impl LimitOptions {
    /// The limits that these settings ask for.
    pub fn limits(&self, stop: &StopOptions) -> Limits {
        let (soft, hard) = (self.soft.map(Span::get), self.hard.map(Span::get));
        Limits { soft, hard, forward: self.forward, ..stop.limits() }
    }
}

/// How long a program may run, and how it is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A program that takes longer than this draws one warning.
    pub soft: Option<Duration>,
    /// A program that takes longer than this is stopped.
    pub hard: Option<Duration>,
    /// The signal that asks the program to end.
    pub signal: Signal,
    /// How long a stop may take before KILL.
    pub grace: Duration,
    /// Whether signals that mean nothing to us are passed on to the program.
    pub forward: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { soft: None, hard: None, signal: Signal::TERM, grace: GRACE_DEFAULT, forward: false }
    }
}

/// What a wish to stop means for a program under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPolicy {
    /// It is asked to end at once.
    Now,
    /// It may work on, and is asked to end only shortly before the grace is over. Whoever runs the job sees to that.
    Finish,
}

impl Value for StopPolicy {
    fn rule() -> String {
        "now or finish".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "now" => Ok(StopPolicy::Now),
            "finish" => Ok(StopPolicy::Finish),
            _ => Err(String::new()),
        }
    }
}

/// A signal that asks a program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopSignal(pub Signal);

impl Value for StopSignal {
    fn rule() -> String {
        "TERM, INT, QUIT, HUP, USR1, USR2 or KILL".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_uppercase();
        let signal = match name.strip_prefix("SIG").unwrap_or(&name) {
            "TERM" => Signal::TERM,
            "INT" => Signal::INT,
            "QUIT" => Signal::QUIT,
            "HUP" => Signal::HUP,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            "KILL" => Signal::KILL,
            _ => return Err(String::new()),
        };
        Ok(Self(signal))
    }
}
