//! The sub-commands, one file each.

mod check;
mod generate;
mod health;
mod queue;
mod run;
mod send_test;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use shared::config;
use shared::entry::{Exit, Failure, say};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use crate::config::{Settings, neighbours};

/// A mail relay that is right before it starts: writes, checks and runs Postfix.
///
/// Settings come from environment variables; see docs/reference/environment.md or run `postfix-config check`.
#[derive(Debug, Parser)]
#[command(name = "postfix-config", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the configuration, check it, and run Postfix until asked to stop (the default)
    Run {
        /// Start without asking Postfix about the configuration first
        #[arg(long)]
        without_checks: bool,
    },
    /// Write the configuration into a folder, without the password
    Generate {
        /// The folder
        #[arg(long)]
        out: PathBuf,
        /// Write the password as well
        #[arg(long)]
        with_secrets: bool,
    },
    /// Show the configuration that would be written, without the password
    Print,
    /// Check settings and configuration, and report everything at once
    Check {
        /// Talk to the relay as well; no mail is sent
        #[arg(long)]
        probe: bool,
    },
    /// Send a message through the running Postfix, and say what became of it
    SendTest {
        /// Whom to send it to
        address: String,
        /// Seconds to wait for what becomes of it
        #[arg(long, default_value_t = 20)]
        wait: u64,
    },
    /// Show what waits in the queue, and why
    Queue,
    /// Tell whether Postfix runs and mail leaves; for the health check of the container
    Health,
}

/// Runs the program.
///
/// # Errors
/// What the operator has to know when it ends.
pub fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command.unwrap_or(Command::Run { without_checks: false }) {
        Command::Run { without_checks } => run::run(without_checks),
        Command::Generate { out, with_secrets } => generate::generate(&out, with_secrets),
        Command::Print => generate::print(),
        Command::Check { probe } => check::check(probe),
        Command::SendTest { address, wait } => send_test::send_test(&address, wait),
        Command::Queue => queue::queue(),
        Command::Health => health::health(),
    }
}

/// Reads the settings and starts the log with what is in force.
fn start() -> Result<Settings, Failure> {
    let reading = config::from_env::<Settings>(&neighbours())?;
    shared::logging::start(&reading.settings.log);
    info!(version = env!("CARGO_PKG_VERSION"), "postfix-config starts");
    reading.announce();
    let settings = reading.settings;
    for notice in settings.notices() {
        warn!(notice, "a setting deserves a look");
    }
    info!(way = settings.route.in_words(), "mail leaves");
    Ok(settings)
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
