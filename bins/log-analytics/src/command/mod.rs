//! The sub-commands, one file each.

mod adopt;
mod argument;
mod check;
mod health;
mod history;
mod import;
mod once;
mod past;
mod reimport;
mod report;
mod retry;
mod run;
mod status;
mod telling;
mod watchdog;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use shared::config;
use shared::entry::{Exit, Failure, print_config, say};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use crate::config::{Settings, neighbours};
use crate::discover::SiteId;

/// Imports web server access logs into Matomo, each line exactly once.
///
/// Settings come from environment variables; see docs/reference/environment.md or run `log-analytics check`.
#[derive(Debug, Parser)]
#[command(name = "log-analytics", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import on a schedule until asked to stop (the default)
    Run,
    /// Import what is there now, once; the exit code tells how it went
    Once,
    /// Import files now, with the options of Matomo's own importer; `-` is standard input
    #[command(disable_help_flag = true)]
    Import {
        /// Options and files; `import --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Check settings and surroundings, and report everything at once
    Check {
        /// Create the ledger site in Matomo if none is set and the token may
        #[arg(long)]
        create_ledger_site: bool,
    },
    /// Show per site what waits, what was imported and what needs a person
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Draw how every site stands as one HTML page
    Report {
        /// File to write; standard output without it
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Release quarantined files and lines that could not be read, and decide about lines that were set aside
    Retry(Retry),
    /// Send lines again on purpose: of a file, or of a day
    Reimport(reimport::Reimport),
    /// Say what is known of a site whose ledger was lost or does not fit what Matomo has
    Adopt(adopt::Adopt),
    /// Show the last passes and how they ended
    History {
        /// As JSON, one object per line
        #[arg(long)]
        json: bool,
    },
    /// Print the settings in force as an environment file, without secrets
    PrintConfig,
    /// Tell whether `run` is well; for the health check of the container
    Health,
}

/// What `retry` releases.
#[derive(Debug, Clone, clap::Args)]
pub struct Retry {
    /// Only this site
    #[arg(long)]
    site: Option<SiteId>,
    /// Send lines set aside again: they are counted twice if they had arrived
    #[arg(long, conflicts_with = "skip")]
    resend: bool,
    /// Leave lines set aside as they are: they are lost if they had not arrived
    #[arg(long)]
    skip: bool,
    /// Only these files
    paths: Vec<PathBuf>,
}

/// Runs the program.
///
/// # Errors
/// What the operator has to know when it ends.
pub fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(),
        Command::Once => once::once(),
        Command::Import { words } => import::import(words),
        Command::Check { create_ledger_site } => check::check(create_ledger_site),
        Command::Status { json } => status::status(json),
        Command::Report { out } => report::report(out.as_deref()),
        Command::Retry(retry) => retry::retry(&retry),
        Command::Reimport(wish) => reimport::reimport(&wish),
        Command::Adopt(wish) => adopt::adopt(&wish),
        Command::History { json } => history::history(json),
        Command::PrintConfig => print_config::<Settings>(&neighbours()),
        Command::Health => health::health(),
    }
}

/// Reads the settings and starts the log with what is in force.
fn start() -> Result<Settings, Failure> {
    let reading = config::from_env::<Settings>(&neighbours())?;
    shared::logging::start(&reading.settings.log);
    info!(version = env!("CARGO_PKG_VERSION"), "log-analytics starts");
    reading.announce();
    for notice in &reading.settings.import_options.notices {
        warn!(notice, "MATOMO_IMPORT_OPTIONS deserves a look");
    }
    if reading.settings.window.is_some() {
        warn!("IMPORT_WINDOW has no effect any more: hits leave in the order of time");
    }
    if reading.settings.ledger_site.is_none() {
        warn!(
            help = "run `log-analytics check --create-ledger-site`, or create a site in Matomo and set its number",
            "MATOMO_LEDGER_SITE is not set: after a crash or a lost answer, lines may have to wait for a person"
        );
    }
    Ok(reading.settings)
}

/// Reads the settings without a word, for commands that answer on standard output.
fn settings() -> Result<Settings, Failure> {
    Ok(config::from_env::<Settings>(&neighbours())?.settings)
}

/// Runs a future to its end on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| Failure::new(Exit::Software, error))?.block_on(future))
}

fn listen() -> Result<Shutdown, Failure> {
    Shutdown::listen().map_err(|error| Failure::new(Exit::Software, error))
}
