//! The sub-commands: `run`, `once`, `check`, `print-config`, `health`, `history`, `exec`.

use std::{cell::RefCell, ffi::OsString, future::ready, path::Path};

use clap::{Parser, Subcommand};
use jiff::Timestamp;
use shared::{
    config,
    entry::{Exit, Failure, print_config, say},
    health,
    job::{History, Job, Reload, Report, Run},
    notify::Notifier,
    process::{Limits, Program, Status},
    schedule::Schedule,
    shutdown::Shutdown,
};
use tokio::task::JoinSet;

use crate::config::{Settings, StateSettings, neighbours};

const NAME: &str = "job";

/// Runs a command on a schedule.
#[derive(Debug, Parser)]
#[command(name = "sidecar", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the command on a schedule until asked to stop (the default)
    Run,
    /// Run the command once; the exit code is its own
    Once,
    /// Report whether the settings can be used, and when the command runs
    Check,
    /// Print the settings in force as an environment file, without secrets
    PrintConfig,
    /// Tell whether `run` is well
    Health,
    /// Show the last runs
    History {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run many short jobs side by side, each with an orphan, and check every exit code
    Soak {
        /// Jobs in all; fifty run at once
        jobs: usize,
    },
    /// Run a program on our terminal, as a good parent
    Exec {
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<OsString>,
    },
}

/// Runs the program.
pub fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => serve(),
        Command::Once => once(),
        Command::Check => check(),
        Command::PrintConfig => print_config::<Settings>(&neighbours()),
        Command::Health => health(),
        Command::History { json } => history(json),
        Command::Soak { jobs } => soak(jobs),
        Command::Exec { words } => exec(&words),
    }
}

fn start() -> Result<Settings, Failure> {
    let reading = config::from_env::<Settings>(&neighbours())?;
    shared::logging::start(&reading.settings.log);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "sidecar starts");
    reading.announce();
    Ok(reading.settings)
}

fn schedule(settings: &Settings) -> Schedule {
    settings.cron.clone().in_zone(&settings.zone)
}

fn job(settings: &Settings) -> Result<Job, Failure> {
    let job = Job::new(NAME, settings.job.clone(), &settings.state_dir, settings.state_dir.join("health.json"));
    Ok(job.notify(Notifier::new(&settings.notify)?).listen(settings.listen.clone()))
}

fn serve() -> Result<Exit, Failure> {
    let settings = RefCell::new(start()?);
    let shutdown = listen()?;
    let (schedule, job) = (schedule(&settings.borrow()), job(&settings.borrow())?);
    let read_again = || {
        let fresh = config::from_env::<Settings>(&neighbours())?.settings;
        let schedule = self::schedule(&fresh);
        settings.replace(fresh);
        Ok(schedule)
    };
    let reload: Reload<'_> = Box::new(|| Box::pin(ready(read_again())));
    let body = async |run: &Run| {
        // A copy: settings may be read again while the job runs.
        let now = settings.borrow().clone();
        work(&now, run).await
    };
    block_on(job.serve_and_reload(schedule, &shutdown, Some(reload), body))?
}

fn once() -> Result<Exit, Failure> {
    let settings = start()?;
    let shutdown = listen()?;
    block_on(job(&settings)?.once(&shutdown, async |run| work(&settings, run).await))?
}

/// One run.
async fn work(settings: &Settings, run: &Run) -> Report {
    let mut program = Program::shell(&settings.command).label(settings.label.clone()).env_remove("JOB_COMMAND");
    if let Some(password) = &settings.password {
        program = program.env("JOB_PASSWORD", password.reveal());
    }
    match program.run(&settings.limits.limits(&settings.job.stop), &run.shutdown).await {
        Ok(ended) if ended.succeeded() && ended.lines == 0 && settings.expect_output => {
            Report::suspicious("the job said nothing although it should")
        }
        Ok(ended) => Report::of(&ended),
        Err(error) => Report::failed(error.exit(), error.to_string()),
    }
}

fn check() -> Result<Exit, Failure> {
    let settings = config::from_env::<Settings>(&neighbours())?.settings;
    let schedule = schedule(&settings);
    let mut text = format!("ok      settings can be used\nok      runs {}\n", schedule.in_words());
    for run in schedule.next_runs(Timestamp::now(), 3) {
        text += &format!("        next {}\n", run.to_zoned(schedule.zone().clone()).strftime("%Y-%m-%dT%H:%M:%S%:z"));
    }
    say(&text);
    Ok(Exit::Done)
}

fn state_settings() -> Result<StateSettings, Failure> {
    Ok(config::from_env::<StateSettings>(&config::Neighbours::default())?.settings)
}

fn health() -> Result<Exit, Failure> {
    let file = state_settings()?.state_dir.join("health.json");
    let verdict = health::answer(&file, Timestamp::now())?;
    say(&format!("{}\n", verdict.sentence()));
    Ok(verdict.exit())
}

fn history(json: bool) -> Result<Exit, Failure> {
    let history = History::of(Path::new(&state_settings()?.state_dir), NAME);
    say(&if json { history.as_json()? } else { history.as_text()? });
    Ok(Exit::Done)
}

fn exec(words: &[OsString]) -> Result<Exit, Failure> {
    let shutdown = listen()?;
    let Some((name, arguments)) = words.split_first() else { return Ok(Exit::Usage) };
    let program = Program::new(name.to_string_lossy()).args(arguments).foreground();
    let limits = Limits { forward: true, ..Limits::default() };
    let ended = block_on(program.run(&limits, &shutdown))??;
    Ok(ended.exit())
}

/// Fifty jobs at once, until all have run.
fn soak(jobs: usize) -> Result<Exit, Failure> {
    const AT_ONCE: usize = 50;
    let shutdown = listen()?;
    let wrong = block_on(async {
        let mut workers = JoinSet::new();
        for worker in 0..AT_ONCE {
            let shutdown = shutdown.clone();
            workers.spawn(async move {
                let mut wrong = 0;
                for number in (worker..jobs).step_by(AT_ONCE) {
                    let code = u8::try_from(number % 256).unwrap_or_default();
                    let program = Program::shell(format!("(true &); exit {code}")).quiet().leave_background();
                    let ended = program.run(&Limits::default(), &shutdown).await;
                    wrong += usize::from(!ended.is_ok_and(|ended| ended.status == Status::Exited(code)));
                }
                wrong
            });
        }
        // A worker that panics is as wrong as can be.
        let counts = workers.join_all().await;
        counts.into_iter().sum::<usize>()
    })?;
    say(&format!("{jobs} jobs, {wrong} with a wrong exit code\n"));
    Ok(if wrong == 0 { Exit::Done } else { Exit::Failed })
}

fn listen() -> Result<Shutdown, Failure> {
    Shutdown::listen().map_err(|error| Failure::new(Exit::Software, error))
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| Failure::new(Exit::Software, error))?.block_on(future))
}
