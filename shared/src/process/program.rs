//! What to run and how: the description of a program before it starts.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use rustix::process::Signal;

use super::{
    child::StartError,
    ended::Ended,
    hidden::Hidden,
    limits::Limits,
    output::Line,
    running::Running,
    search::{User, find_program},
};
use crate::shutdown::Shutdown;

/// A program to run. Its environment is ours unless said otherwise, its standard input is empty.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) name: String,
    pub(super) arguments: Vec<OsString>,
    pub(super) variables: Vec<Variable>,
    pub(super) folder: Option<PathBuf>,
    pub(super) user: Option<User>,
    pub(super) label: String,
    pub(super) input: Input,
    pub(super) stdout: Destination,
    pub(super) logged: bool,
    pub(super) leave_background: bool,
    pub(super) foreground: bool,
    pub(super) death_signal: Option<Signal>,
    pub(super) hidden: Hidden,
}

/// One change of the environment, in the order in which it was asked for.
#[derive(Clone, Debug)]
pub(super) enum Variable {
    Set(OsString, OsString),
    Remove(OsString),
    Clear,
}

/// What the program reads.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Nothing,
    Bytes(Vec<u8>),
    Stream,
}

/// Where its standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Lines,
    Stream,
}

impl Program {
    /// A program by path, or by a name that is searched in `PATH`.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let label = name.rsplit('/').next().unwrap_or_default().to_owned();
        Self {
            name,
            arguments: Vec::new(),
            variables: Vec::new(),
            folder: None,
            user: None,
            label,
            input: Input::Nothing,
            stdout: Destination::Lines,
            logged: true,
            leave_background: false,
            foreground: false,
            death_signal: Some(Signal::KILL),
            hidden: Hidden::default(),
        }
    }

    /// A command line for `sh -c`.
    pub fn shell(command: impl Into<OsString>) -> Self {
        Self::new("sh").arg("-c").arg(command)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push(Variable::Set(name.into(), value.into()));
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.variables.push(Variable::Remove(name.as_ref().to_owned()));
        self
    }

    /// Starts from an empty environment; variables set later are in it.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.variables.push(Variable::Clear);
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs it as this user; we must be root.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = Some(user);
        self
    }

    /// The short name in front of its lines in the log; the name of its file when not given.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Gives it these bytes to read, then the end.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Gives it a stream to read: [`Running::take_stdin`].
    #[must_use]
    pub fn input_as_stream(mut self) -> Self {
        self.input = Input::Stream;
        self
    }

    /// Its standard output becomes a stream of bytes, [`Running::take_stdout`]; standard error stays lines.
    #[must_use]
    pub fn stdout_as_stream(mut self) -> Self {
        self.stdout = Destination::Stream;
        self
    }

    /// Its lines do not enter the log; the caller's closure and the tail still get them.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.logged = false;
        self
    }

    /// These texts are `(hidden)` in its output: in the log, in the tail, and for the caller's closure.
    #[must_use]
    pub fn hiding(mut self, texts: impl IntoIterator<Item = String>) -> Self {
        self.hidden = Hidden::new(texts);
        self
    }

    /// Processes that it leaves behind are reported and live on, instead of being ended with it.
    #[must_use]
    pub fn leave_background(mut self) -> Self {
        self.leave_background = true;
        self
    }

    /// Runs on our terminal and our standard streams, for a person: nothing is read or counted.
    #[must_use]
    pub fn foreground(mut self) -> Self {
        self.foreground = true;
        self
    }

    /// The signal it gets when we die without a word; KILL when not said, nothing for `None`.
    #[must_use]
    pub fn death_signal(mut self, signal: Option<Signal>) -> Self {
        self.death_signal = signal;
        self
    }

    /// Starts it. The caller then drives it with [`Running::supervise`]; dropping it kills it.
    ///
    /// # Errors
    /// When there is no such program, it is not executable, or the system refuses.
    pub fn start(self) -> Result<Running, StartError> {
        let path = find_program(&self.name)?;
        Running::start(self, &path)
    }

    /// Runs it to its end; its lines go to the log.
    ///
    /// # Errors
    /// As for [`Program::start`]; whatever happens afterwards is in [`Ended`].
    pub async fn run(self, limits: &Limits, shutdown: &Shutdown) -> Result<Ended, StartError> {
        Ok(self.start()?.supervise(limits, shutdown).await)
    }

    /// Runs it to its end and shows each piece of a line to `reader` as well.
    ///
    /// # Errors
    /// As for [`Program::run`].
    pub async fn run_with(
        self,
        limits: &Limits,
        shutdown: &Shutdown,
        reader: impl FnMut(Line<'_>),
    ) -> Result<Ended, StartError> {
        Ok(self.start()?.supervise_with(limits, shutdown, reader).await)
    }
}
