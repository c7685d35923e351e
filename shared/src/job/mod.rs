//! A job on a schedule: what `run` and `once` of every sidecar share, so that a sidecar only says what one run does.
//!
//! ```no_run
//! # use shared::{job::{Job, JobOptions, Report}, health::ListenOptions, process::{Limits, Program}, schedule::Schedule, shutdown::Shutdown, entry::{Exit, Failure}};
//! # async fn serve(schedule: Schedule, options: JobOptions, shutdown: Shutdown) -> Result<Exit, Failure> {
//! let job = Job::new("fetch", options, "/state", "/state/health.json");
//! job.serve(schedule, &shutdown, async |run| {
//!     match Program::shell("rsync …").run(&Limits::default(), &run.shutdown).await {
//!         Ok(ended) => Report::of(&ended),
//!         Err(error) => Report::failed(error.exit(), error.to_string()),
//!     }
//! }).await
//! # }
//! ```

mod attend;
mod beginning;
mod guard;
mod history;
mod options;
mod pace;
mod report;
mod round;
mod serve;
mod service;
mod signals;
mod told;

pub use guard::{FailuresMax, too_many_failures, too_soon};
pub use history::{HISTORY_RUNS_MAX, History, HistoryError, Record};
pub use options::{AtStart, JobOptions, Overlap};
pub use report::{Report, Result as RunResult};
pub use round::{Run, Trigger};
pub use serve::{Job, Reload};
pub use signals::{Next, Signals, read_again, say_status};
