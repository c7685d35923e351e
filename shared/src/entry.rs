//! The one shape of `main`: arguments in, exit code out, and a short letter when it failed.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    error::Error,
    fmt,
    io::{self, Write as _},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    config::{self, Declared, Neighbours},
    logging,
    process::{self, init, trampoline},
};

/// How a program ends; one published table for all sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or asked to stop while idle.
    Done,
    /// 1: the job failed.
    Failed,
    /// 64: wrong arguments.
    Usage,
    /// 69: something we need does not answer.
    Unavailable,
    /// 70: our fault.
    Software,
    /// 73: cannot write our state.
    CannotCreate,
    /// 75: try again later: a lock is held, work is left.
    TryAgain,
    /// 78: the settings cannot be used.
    Config,
    /// 124: it took too long.
    TimedOut,
    /// A code carried over from a program that we ran or replace.
    Code(u8),
}

impl Exit {
    /// The number that the caller of the program sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 64,
            Exit::Unavailable => 69,
            Exit::Software => 70,
            Exit::CannotCreate => 73,
            Exit::TryAgain => 75,
            Exit::Config => 78,
            Exit::TimedOut => 124,
            Exit::Code(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a program could not do its work, and what a person can do about it.
#[derive(Debug)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What and where; its sources say why.
    pub error: Box<dyn Error + Send + Sync>,
    /// What to do now.
    pub help: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into(), help: None }
    }

    /// Adds what to do now.
    #[must_use]
    pub fn help(mut self, advice: impl Into<String>) -> Self {
        self.help = Some(advice.into());
        self
    }
}

/// The letter: what and where, each cause once, what to do now.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.error.to_string();
        write!(f, "error: {said}")?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let sentence = error.to_string();
            // Many libraries repeat the source in their own sentence.
            if !said.contains(&sentence) {
                write!(f, "\n  because: {sentence}")?;
                said = sentence;
            }
            cause = error.source();
        }
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Reads the arguments, runs the program and says how it ended.
/// Logging is not started here: `body` calls [`logging::start`](crate::logging::start) when it wants it.
pub fn run<C: clap::Parser>(name: &'static str, body: impl FnOnce(C) -> Result<Exit, Failure>) -> ExitCode {
    if let Some(code) = trampoline::divert() {
        return code.into();
    }
    trampoline::unblock_signals();
    if let Some(code) = init::serve() {
        return code.into();
    }
    trampoline::mind_children();
    process::become_parent();
    panic::set_hook(Box::new(move |panic| {
        complain(&plain_sentence(name, panic));
        // Nothing unwinds to `ending` in a build that aborts.
        if cfg!(panic = "abort") {
            std::process::exit(Exit::Software.code().into());
        }
    }));
    let exit = ending(C::try_parse, body);
    logging::finish();
    exit.into()
}

fn ending<C>(
    arguments: impl FnOnce() -> Result<C, clap::Error>,
    body: impl FnOnce(C) -> Result<Exit, Failure>,
) -> Exit {
    // What a panic leaves half done is dropped with the process.
    let ended = panic::catch_unwind(AssertUnwindSafe(|| match arguments() {
        Ok(arguments) => body(arguments),
        Err(answer) => Ok(answer_arguments(&answer)),
    }));
    match ended {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            complain(&failure.to_string());
            failure.exit
        }
        // The hook has said why.
        Err(_) => Exit::Software,
    }
}

/// `--help` and `--version` are answers; anything else is a wrong use.
fn answer_arguments(answer: &clap::Error) -> Exit {
    // Nobody is left to tell when the answer itself cannot be written.
    let _ = answer.print();
    if answer.use_stderr() { Exit::Usage } else { Exit::Done }
}

fn plain_sentence(name: &str, panic: &PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("no reason given");
    let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    let sentence = format!(
        "error: {name} met a state that should be impossible{place}: {what}\n  help: this is a fault of the program; please report it with this line"
    );
    // Captured only when RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("{sentence}\n{backtrace}"),
        _ => sentence,
    }
}

/// Writes to standard error; a reader that went away, or does not read, is no reason to die or to stay.
fn complain(text: &str) {
    const PATIENCE: Duration = Duration::from_millis(500);
    logging::finish();
    let (done, written) = mpsc::channel();
    let line = format!("{text}\n");
    let write = move || {
        let _ = io::stderr().lock().write_all(line.as_bytes());
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(write).is_ok() {
        // An error says that the reader does not read.
        let _ = written.recv_timeout(PATIENCE);
    }
}

/// Writes to standard output; a reader that went away is no reason to fail.
pub fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// `print-config`: the settings in force, as an environment file; the value of a secret is not shown.
///
/// # Errors
/// Settings that cannot be used.
pub fn print_config<S: Declared>(neighbours: &Neighbours) -> Result<Exit, Failure> {
    let effective = config::from_env::<S>(neighbours)?.effective;
    say(&effective.iter().map(|setting| format!("{setting}\n")).collect::<String>());
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    #[command(version = "1.2.3")]
    struct Arguments {
        #[arg(long)]
        once: bool,
    }

    fn ended(arguments: &[&str], body: impl FnOnce(Arguments) -> Result<Exit, Failure>) -> Exit {
        let words = std::iter::once("sidecar").chain(arguments.iter().copied());
        ending(|| Arguments::try_parse_from(words), body)
    }

    #[test]
    fn the_body_gets_the_arguments_and_chooses_the_exit() {
        assert_eq!(
            ended(&["--once"], |arguments| {
                assert!(arguments.once);
                Ok(Exit::Code(42))
            }),
            Exit::Code(42)
        );
    }

    #[test]
    fn wrong_arguments_exit_64_and_questions_exit_0_without_running() {
        let never = |_| -> Result<Exit, Failure> { panic!("the body ran") };
        assert_eq!(ended(&["--onec"], never), Exit::Usage);
        assert_eq!(ended(&["--help"], never), Exit::Done);
        assert_eq!(ended(&["--version"], never), Exit::Done);
    }

    #[test]
    fn a_panic_exits_70() {
        assert_eq!(ended(&[], |_| panic!("on purpose")).code(), 70);
    }

    #[test]
    fn a_failure_keeps_its_exit() {
        assert_eq!(ended(&[], |_| Err(Failure::new(Exit::TryAgain, "the lock is held"))).code(), 75);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{what}")]
    struct Sentence {
        what: &'static str,
        source: Option<Box<Sentence>>,
    }

    #[test]
    fn a_letter_says_each_cause_once() {
        let root = Sentence { what: "permission denied", source: None };
        let repeats = Sentence { what: "cannot open: permission denied", source: Some(Box::new(root)) };
        let top = Sentence { what: "cannot read the ledger at /state", source: Some(Box::new(repeats)) };
        let letter = Failure::new(Exit::CannotCreate, top).help("let the user read it").to_string();
        assert_eq!(
            letter,
            "error: cannot read the ledger at /state\n  because: cannot open: permission denied\n  help: let the user read it"
        );
    }
}
