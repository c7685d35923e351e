//! Postfix itself: its programs, its queue, and what can be known about both before it starts.

mod drain;
mod lock;
mod master;
mod ownership;
mod plugin;
mod ready;
mod refusal;
mod room;
mod trial;
mod validate;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use shared::entry::{Exit, Failure};
use shared::process::{Limits, Line, Program, StartError, Stream};
use shared::shutdown::Shutdown;

pub use lock::is_running;
pub use master::run;
pub use ready::{Checks, listening_at, make_ready};
pub use refusal::Refusal;
pub use room::{RoomError, Shortage};
pub use trial::{RECIPIENT, Verdict, trial};

/// Where Postfix's programs may look for others; nothing of our own environment reaches them.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// All of them answer within a second, if they answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// More than any of them says.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Postfix with the configuration of one folder.
#[derive(Debug, Clone)]
pub struct Postfix {
    folder: PathBuf,
    zone: Option<String>,
}

/// What a program of Postfix answered.
#[derive(Debug)]
pub struct Answer {
    /// Whether it was content.
    pub good: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Postfix {
    /// Postfix with the configuration in `folder`.
    pub fn at(folder: &Path, zone: Option<&TimeZone>) -> Self {
        Self { folder: folder.to_owned(), zone: zone.and_then(|zone| Some(zone.iana_name()?.to_owned())) }
    }

    /// The folder of the configuration.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program in an environment without any secret.
    fn program(&self, name: &str) -> Program {
        let program =
            Program::new(name).arg("-c").arg(&self.folder).env_clear().env("PATH", PATH).env("LANG", "C").quiet();
        match &self.zone {
            Some(zone) => program.env("TZ", zone),
            None => program,
        }
    }

    /// The path of the program that starts all others.
    ///
    /// # Errors
    /// When Postfix is not installed.
    async fn master(&self) -> Result<String, StartError> {
        let answer = self.ask("postconf", &["-h", "daemon_directory"]).await?;
        Ok(format!("{}/master", answer.stdout.trim()))
    }

    /// Runs a program to its end and keeps what it says.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn ask(&self, name: &str, words: &[&str]) -> Result<Answer, StartError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let keep = |line: Line<'_>| {
            let kept = if line.stream == Stream::Out { &mut stdout } else { &mut stderr };
            if kept.len() + line.bytes.len() < ANSWER_BYTES_MAX {
                if !line.continues && !kept.is_empty() {
                    kept.push(b'\n');
                }
                kept.extend_from_slice(line.bytes);
            }
        };
        let limits = Limits { hard: Some(ANSWER_MAX), ..Limits::default() };
        let ended = self.program(name).args(words).run_with(&limits, &Shutdown::never(), keep).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { good: ended.succeeded(), stdout: text(stdout), stderr: text(stderr) })
    }
}

impl Answer {
    /// What it complained about: its fatal line, else its last one, without the name of the program.
    pub fn complaint(&self) -> String {
        let lines = || self.stderr.lines().chain(self.stdout.lines()).map(str::trim).filter(|line| !line.is_empty());
        let fatal = lines().find(|line| line.contains("fatal: "));
        let line = fatal.or_else(|| lines().next_back()).unwrap_or("it gave no reason");
        line.rsplit_once("fatal: ").map_or(line, |(_, text)| text).to_owned()
    }
}

/// A program of Postfix is not there.
pub fn not_installed(error: StartError) -> Failure {
    Failure::new(Exit::Unavailable, error)
        .help("the image must have Debian's packages postfix, libsasl2-modules and ca-certificates")
}
