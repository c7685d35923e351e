//! The sub-commands, one file each.

mod backup;
mod check;
mod health;
mod history;
mod lock;
mod rehearse;
mod restore;
mod run;
mod status;
mod upgrade;
mod verify;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use shared::config;
use shared::config::{Span, Value as _};
use shared::entry::{Exit, Failure, print_config, say};
use shared::shutdown::Shutdown;
use tracing::info;

use crate::config::{Settings, neighbours};
use crate::session::Session;

/// Maintenance mode, backup, verified restore and upgrade guard for Matomo.
///
/// Settings come from environment variables; see docs/reference/environment.md or run `maintenance check`.
#[derive(Debug, Parser)]
#[command(name = "maintenance", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take backups on a schedule until asked to stop (the default)
    Run,
    /// Show what Matomo and its containers do, and how old the newest backup is
    Status(Report),
    /// Switch tracking and user interface off, prove it, and remember what was before
    Lock(LockOptions),
    /// Give the switches their previous values, and prove it
    Unlock(UnlockOptions),
    /// Take a backup of configuration, plugins, files and database as one set
    Backup(BackupOptions),
    /// Read a set to its last byte and say whether it is whole
    Verify(SetOptions),
    /// Restore a set into a scratch database, compare it, drop it, note the result
    Rehearse(RehearseOptions),
    /// Put a set in the place of what is there now
    Restore(RestoreOptions),
    /// Update Matomo's schema behind a lock and a proven backup
    UpgradeGuard(UpgradeOptions),
    /// Check settings and surroundings, and report everything at once
    Check(Report),
    /// List the sets, and what was done
    History(Report),
    /// Print the settings in force as an environment file, without secrets
    PrintConfig,
    /// Tell whether `run` is well; for the health check of the container
    Health,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, Args)]
struct Report {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Which switches, and how.
#[derive(Debug, Clone, Args)]
struct LockOptions {
    /// Only tracking
    #[arg(long, conflicts_with = "ui_only")]
    tracking_only: bool,
    /// Only user interface and API
    #[arg(long)]
    ui_only: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Clone, Args)]
struct UnlockOptions {
    /// Switch both on, whatever they were before
    #[arg(long)]
    open: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Clone, Args)]
struct BackupOptions {
    /// Switch tracking and user interface off meanwhile, whatever MAINTENANCE_LOCK says
    #[arg(long)]
    lock: bool,
    /// Look at everything that a backup needs, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Clone, Args)]
struct SetOptions {
    /// Name of the set
    #[arg(default_value = "latest")]
    set: String,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Clone, Args)]
struct RehearseOptions {
    /// Name of the set
    #[arg(default_value = "latest")]
    set: String,
    /// Take a set without the seal of BACKUP_KEY
    #[arg(long)]
    trust: bool,
    /// Verify the set, and restore it nowhere
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Clone, Args)]
struct RestoreOptions {
    /// Name of the set, or `latest`
    set: String,
    /// Really do it; without, the command says what it would do
    #[arg(long)]
    yes: bool,
    /// Take a set that does not verify, or whose schema is newer than the code, and go on whatever Matomo answers
    #[arg(long)]
    force: bool,
    /// Take a set without the seal of BACKUP_KEY
    #[arg(long)]
    trust: bool,
    /// Take the connection to the database from the set, instead of keeping the present one
    #[arg(long)]
    connection_of_set: bool,
    /// Make no backup of what is there now
    #[arg(long)]
    without_safety_backup: bool,
    /// Say what would be done, and do nothing (as without --yes)
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Clone, Args)]
struct UpgradeOptions {
    /// Take an existing set that is younger than this and equals the database of this moment; without, a new one is made
    #[arg(long, value_parser = span)]
    fresh: Option<Span>,
    /// Restore the set into a scratch database first
    #[arg(long)]
    rehearse: bool,
    /// Look at everything, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    report: Report,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|why| if why.is_empty() { Span::rule() } else { why })
}

/// Runs the program.
///
/// # Errors
/// What the operator has to know when it ends.
pub fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(),
        Command::Status(report) => status::status(report),
        Command::Lock(options) => lock::lock(&options),
        Command::Unlock(options) => lock::unlock(&options),
        Command::Backup(options) => backup::backup(&options),
        Command::Verify(options) => verify::verify(&options),
        Command::Rehearse(options) => rehearse::rehearse(&options),
        Command::Restore(options) => restore::restore(&options),
        Command::UpgradeGuard(options) => upgrade::upgrade(&options),
        Command::Check(report) => check::check(report),
        Command::History(report) => history::history(report),
        Command::PrintConfig => print_config::<Settings>(&neighbours()),
        Command::Health => health::health(),
    }
}

/// Reads the settings and starts the log; not where standard output is the report.
fn start(report: Report) -> Result<(Settings, Shutdown), Failure> {
    let reading = config::from_env::<Settings>(&neighbours())?;
    if !report.json {
        shared::logging::start(&reading.settings.log);
        info!(version = env!("CARGO_PKG_VERSION"), "maintenance starts");
        reading.announce();
    }
    Ok((reading.settings, listen()?))
}

/// A session without a log, for commands that answer on standard output and change nothing.
fn reading() -> Result<Session, Failure> {
    let settings = config::from_env::<Settings>(&neighbours())?.settings;
    Ok(Session::reading(settings, listen()?))
}

/// Runs a future to its end on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| Failure::new(Exit::Software, error))?.block_on(future))
}

fn listen() -> Result<Shutdown, Failure> {
    Shutdown::listen().map_err(|error| Failure::new(Exit::Software, error))
}

/// Writes a report as JSON, or in words.
fn tell(report: Report, value: &impl Serialize, words: impl FnOnce() -> String) {
    if report.json {
        say(&format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()));
    } else {
        say(&words());
    }
}
