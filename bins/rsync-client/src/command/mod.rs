//! The sub-commands, one file each.

mod check;
mod dial;
mod exec;
mod health;
mod history;
mod key;
mod once;
mod rrsync;
mod run;
mod server;
mod start;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use shared::entry::{Exit, Failure, print_config, say};
use shared::shutdown::Shutdown;

use crate::config::{Settings, neighbours};
use crate::ssh::KeyType;

/// Keeps a key pair and fetches logs with rsync on a schedule.
///
/// Settings come from environment variables; see docs/reference/environment.md or run `rsync-client check`.
/// Any other words are run as a program, with our ssh settings in force.
#[derive(Debug, Parser)]
#[command(name = "rsync-client", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch on a schedule until asked to stop, and run CRON_TASK_* (the default)
    #[command(alias = "client")]
    Run,
    /// Fetch once; the exit code tells how it went
    Once,
    /// Check settings and surroundings, and report everything at once
    Check {
        /// Try to reach every server with ssh
        #[arg(long)]
        probe: bool,
    },
    /// Print the settings in force as an environment file, without secrets
    PrintConfig,
    /// Tell whether `run` is well; for the health check of the container
    Health,
    /// Show what the last commands did
    History {
        /// As JSON, one object on each line
        #[arg(long)]
        json: bool,
        /// Commands to show, at most
        #[arg(long, default_value_t = 50)]
        last: usize,
    },
    /// Print the public key; a pair is made when there is none
    Key {
        /// ed25519, rsa or ecdsa; makes such a pair when it is missing
        #[arg(long = "type")]
        kind: Option<KeyType>,
    },
    /// Run a program with our key and ssh settings
    Exec {
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<OsString>,
    },
    /// Start sshd: each key in SSH_AUTH_KEY* runs rsync in its own folder and nothing else
    Server,
    /// What sshd runs for a client of `server`
    #[command(hide = true)]
    Rrsync {
        /// What its key may reach
        module: PathBuf,
    },
    /// What our rsync runs for a connection to a daemon
    #[command(hide = true)]
    Dial {
        /// Longest wait for the connection
        connect_seconds: u64,
        /// Longest silence
        idle_seconds: u64,
        /// The daemon's port
        port: u16,
        /// The daemon's host
        host: String,
    },
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// Runs the program.
///
/// # Errors
/// What the operator has to know when it ends.
pub fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(),
        Command::Once => once::once(),
        Command::Check { probe } => check::check(probe),
        Command::PrintConfig => print_config::<Settings>(&neighbours()),
        Command::Health => health::health(),
        Command::History { json, last } => history::history(json, last),
        Command::Key { kind } => key::key(kind),
        Command::Exec { words } => exec::exec(&words),
        Command::Server => server::server(),
        Command::Rrsync { module } => rrsync::rrsync(&module),
        Command::Dial { connect_seconds, idle_seconds, port, host } => {
            dial::dial(connect_seconds, idle_seconds, port, &host)
        }
        Command::Other(words) => exec::other(&words),
    }
}

/// Runs a future to its end on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| Failure::new(Exit::Software, error))?.block_on(future))
}

fn listen() -> Result<Shutdown, Failure> {
    Shutdown::listen().map_err(|error| Failure::new(Exit::Software, error))
}
