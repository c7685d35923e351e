//! The sub-commands, one file each.

mod check;
mod health;
mod history;
mod once;
mod run;
mod status;

use clap::{Parser, Subcommand};
use shared::config;
use shared::entry::{Exit, Failure, print_config, say};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use crate::config::{Settings, StateSettings, neighbours};
use crate::history::{Run, State};
use crate::installation::Installation;
use crate::job::{self, Job, Work};
use crate::place::Place;
use crate::prepare::{Linked, link};

/// Runs Matomo's archiving and its sibling console jobs on time, one at a time, with an honest outcome.
///
/// Settings come from environment variables; see docs/reference/environment.md or run `archiver check`.
#[derive(Debug, Parser)]
#[command(name = "archiver", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the jobs on their schedules until asked to stop (the default)
    Run,
    /// Run one job now; the exit code tells how it went
    Once {
        /// The job: archive, free, scheduled-tasks, delete-raw-data, ldap, or the rest of a CONSOLE_JOB_ name
        #[arg(default_value = job::ARCHIVE)]
        job: String,
        /// For delete-raw-data: count what would go, delete nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Check settings and surroundings, and report everything at once
    Check,
    /// Print the settings in force as an environment file, without secrets
    PrintConfig,
    /// Tell whether `run` is well; for the health check of the container
    Health,
    /// Show the last runs and how they ended
    History {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        runs: usize,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show per site when it last finished, how long it takes and how stale its reports are
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the program.
///
/// # Errors
/// What the operator has to know when it ends.
pub fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(),
        Command::Once { job, dry_run } => once::once(&job, dry_run),
        Command::Check => check::check(),
        Command::PrintConfig => print_config::<Settings>(&neighbours()),
        Command::Health => health::health(),
        Command::History { runs, json } => history::history(runs, json),
        Command::Status { json } => status::status(json),
    }
}

/// What a run or a single job starts with.
struct Start {
    settings: Settings,
    jobs: Vec<Job>,
    place: Place,
    state: State,
    shutdown: Shutdown,
}

/// Reads the settings, starts the log with what is in force, and looks for Matomo.
fn start() -> Result<Start, Failure> {
    let reading = config::from_env::<Settings>(&neighbours())?;
    shared::logging::start(&reading.settings.log);
    info!(version = env!("CARGO_PKG_VERSION"), "archiver starts");
    reading.announce();
    let settings = reading.settings;
    let jobs = job::plan(&settings)?;
    let place = Place::find(&settings)?;
    fits(&jobs, &place)?;
    say_place(&place);
    if let Place::Console(installation) = &place {
        prepare(&settings, installation)?;
    }
    let state = State::open(&settings.state_dir, settings.history.as_usize()).map_err(|error| {
        let what = format!("cannot make the folder of our state at {}: {error}", settings.state_dir.display());
        Failure::new(Exit::CannotCreate, what)
            .help("mount a volume there that this user may write to, or set STATE_DIR")
    })?;
    let shutdown = Shutdown::listen().map_err(|error| Failure::new(Exit::Software, error))?;
    Ok(Start { settings, jobs, place, state, shutdown })
}

/// Scheduled jobs that need the console are told at the start, not at four in the morning.
fn fits(jobs: &[Job], place: &Place) -> Result<(), Failure> {
    let needs_console =
        |job: &&Job| job.schedule.is_some() && !matches!(job.work, Work::Archive | Work::ScheduledTasks);
    let names: Vec<&str> = match place {
        Place::Console(_) => Vec::new(),
        Place::Http(_) => jobs.iter().filter(needs_console).map(|job| job.name.as_str()).collect(),
    };
    if names.is_empty() {
        return Ok(());
    }
    let what = format!("there is no Matomo console here, and these jobs need it: {}", names.join(", "));
    Err(Failure::new(Exit::Config, what).help("use an image with PHP and Matomo for them, or take their settings away"))
}

fn say_place(place: &Place) {
    match place {
        Place::Console(Installation { php, console, user }) => {
            let user = user.map_or_else(|| "ourselves".to_owned(), |user| format!("{}:{}", user.uid, user.gid));
            info!(php = %php.display(), console = %console.display(), user, "Matomo is run by its console");
        }
        Place::Http(web) => info!(url = %web.address(), "Matomo is asked over HTTP"),
    }
}

/// Links what is mounted beside the sources, if that is wanted.
fn prepare(settings: &Settings, installation: &Installation) -> Result<(), Failure> {
    if !settings.prepare {
        return Ok(());
    }
    for (mounted, name) in [("/config", "config"), ("/plugins", "plugins")] {
        let linked = link(mounted.as_ref(), &installation.root().join(name)).map_err(|(path, error)| {
            Failure::new(Exit::CannotCreate, format!("cannot prepare {}: {error}", path.display())).help(
                "let this user write to Matomo's folders, or mount the files there and set PREPARE_ENVIRONMENT=no",
            )
        })?;
        for entry in linked {
            match entry {
                Linked::New(path) => info!(path = %path.display(), "Mounted entry is linked into Matomo"),
                Linked::Before(_) => {}
                Linked::InTheWay(path) => {
                    warn!(path = %path.display(), "Mounted entry is not linked: something else has its name");
                }
            }
        }
    }
    Ok(())
}

/// The state, to read only, whatever the other settings say.
fn look() -> Result<(StateSettings, Vec<Run>), Failure> {
    let settings = config::from_env::<StateSettings>(&config::Neighbours::default())?.settings;
    let runs = State::look(&settings.state_dir, usize::MAX).runs().map_err(|error| {
        let what = format!("cannot read the history in {}: {error}", settings.state_dir.display());
        Failure::new(Exit::Failed, what).help("run this where `archiver run` runs, with the same STATE_DIR")
    })?;
    Ok((settings, runs))
}

/// Runs a future to its end on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| Failure::new(Exit::Software, error))?.block_on(future))
}

/// Rows under headings, each column as wide as its widest cell.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&headings).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    all.into_iter().map(line).collect()
}
