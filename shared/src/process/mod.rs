//! Run a program as a good parent: own process group, output line by line, TERM → deadline → KILL, nobody left behind.
//!
//! ```no_run
//! # use shared::{process::{Limits, Program}, shutdown::Shutdown};
//! # async fn fetch(shutdown: &Shutdown) -> Result<(), shared::process::StartError> {
//! let limits = Limits { hard: Some(std::time::Duration::from_secs(3_600)), ..Limits::default() };
//! let ended = Program::new("rsync").args(["-a", "source/", "target/"]).label("fetch").run(&limits, shutdown).await?;
//! if !ended.succeeded() {
//!     tracing::error!(tail = ended.tail, "{}", ended.sentence());
//! }
//! # Ok(()) }
//! ```
//!
//! The program starts in a session and process group of its own (so it cannot ask a terminal for a password), with
//! the default signal mask, standard input empty, no other descriptor open, and dies with us. A large output is read
//! as a stream instead of lines:
//!
//! ```no_run
//! # use shared::{process::{Limits, Program}, shutdown::Shutdown};
//! # async fn dump(shutdown: &Shutdown, mut file: impl tokio::io::AsyncWrite + Unpin) -> Result<(), Box<dyn std::error::Error>> {
//! let mut running = Program::new("mariadb-dump").arg("site").stdout_as_stream().start()?;
//! let mut dump = running.take_stdout().ok_or("no stream")?;
//! let (copied, ended) = tokio::join!(tokio::io::copy(&mut dump, &mut file), running.supervise(&Limits::default(), shutdown));
//! # copied?; let _ = ended; Ok(()) }
//! ```
//!
//! A program that runs as long as we do is started the same way; [`Running::remote`] signals or stops it meanwhile.

mod child;
mod crowd;
mod ended;
mod hidden;
pub(crate) mod init;
mod limits;
mod listener;
mod output;
mod program;
mod run_as;
mod running;
mod search;
#[cfg(test)]
mod tests;
pub(crate) mod trampoline;

pub use child::StartError;
pub(crate) use child::become_parent;
pub use ended::{Ended, LeftBehind, Status, Why};
pub use limits::{LimitOptions, Limits, StopOptions, StopPolicy, StopSignal};
pub use output::{Line, PIECE_BYTES_MAX, Stream};
pub use program::Program;
pub use run_as::{NoUser, RunAs};
pub use running::{Remote, Running};
pub use rustix::process::{Pid, Signal};
pub use search::{User, find_program};
