//! The peers of `compose/demo`, in one small program: a web server that does nothing but write and rotate its log, and
//! a stand-in for Matomo that shows the lines of that log and the hits that arrived side by side.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use shared::shutdown::Shutdown;
use tests::log::{Format, Traffic};
use tests::matomo::{Matomo, Setup};

/// The site that receives the log of the demo.
const SITE: u64 = 4;
const LEDGER_SITE: u64 = 99;
/// How the log grows: lines at a time, how often, and every how many times it is rotated.
const LINES: usize = 100;
const TIMES: usize = 12;
const ROTATE_EVERY: usize = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// Lines begin so long ago, so that none of them is in the future.
const HISTORY_SECONDS: i64 = 6 * 3600;
/// It exists once the log grows no more.
const FINISHED: &str = ".finished";

/// Peers of the demo.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    #[command(subcommand)]
    peer: Peer,
}

#[derive(Subcommand)]
enum Peer {
    /// Write an access log into a folder and rotate it, as a busy web server would; then end.
    WebServer { folder: PathBuf },
    /// Stand in for Matomo, and compare with the logs in this folder.
    Matomo {
        folder: PathBuf,
        /// Where it listens.
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
}

fn main() -> anyhow::Result<()> {
    let clock = Clock::new()?;
    match Arguments::parse().peer {
        Peer::WebServer { folder } => write(&folder, &clock),
        Peer::Matomo { folder, port } => stand_in(&folder, port, &clock),
    }
}

/// Waits, and hears the wish to stop: the first process of a container hears no signal that it does not listen to.
struct Clock {
    runtime: tokio::runtime::Runtime,
    shutdown: Shutdown,
}

impl Clock {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, shutdown: Shutdown::listen()? })
    }

    /// False when it was asked to stop meanwhile.
    fn goes_on(&self) -> bool {
        let stopped = async { tokio::time::timeout(PAUSE, self.shutdown.wait()).await };
        self.runtime.block_on(stopped).is_err()
    }
}

fn write(folder: &Path, clock: &Clock) -> anyhow::Result<()> {
    let start = Timestamp::now().as_second() - HISTORY_SECONDS;
    let mut traffic = Traffic::seeded(1).starting_at(start);
    let log = folder.join("access.log");
    for time in 1..=TIMES {
        append(&log, &mut traffic).with_context(|| format!("cannot write {}", log.display()))?;
        println!("{} lines written", time * LINES);
        if time % ROTATE_EVERY == 0 {
            rotate(&log)?;
            println!("log rotated");
        }
        if !clock.goes_on() {
            return Ok(());
        }
    }
    File::create(folder.join(FINISHED))?;
    println!("the web server is done");
    Ok(())
}

fn append(log: &Path, traffic: &mut Traffic) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = File::options().create(true).append(true).open(log)?;
    let lines: String = traffic.lines(LINES).iter().map(|line| Format::Combined.write(line) + "\n").collect();
    file.write_all(lines.as_bytes())
}

/// As logrotate does: what was `.1` becomes `.2`, and the log itself `.1`.
fn rotate(log: &Path) -> io::Result<()> {
    for number in (1..TIMES).rev() {
        let old = log.with_extension(format!("log.{number}"));
        if old.exists() {
            fs::rename(old, log.with_extension(format!("log.{}", number + 1)))?;
        }
    }
    fs::rename(log, log.with_extension("log.1"))
}

fn stand_in(folder: &Path, port: u16, clock: &Clock) -> anyhow::Result<()> {
    let matomo = Matomo::start(Setup {
        ledger_site: Some(LEDGER_SITE),
        listen: ([0, 0, 0, 0], port).into(),
        // Slow enough to be watched, and to be stopped in the middle.
        pace: Duration::from_millis(20),
        ..Setup::default()
    });
    println!("stand-in for Matomo on port {port}, site {SITE}; Matomo's own web pages it has not");
    println!("{:>20} {:>20} {:>20}", "lines at the source", "hits at Matomo", "different hits");
    let mut shown = (0, 0);
    let mut told = false;
    while clock.goes_on() {
        // In this order: a line that is written meanwhile is not taken for a missing one.
        let finished = folder.join(FINISHED).exists();
        let lines = lines(folder).unwrap_or_default();
        let hits = matomo.hits_of(SITE);
        let different: BTreeSet<String> = hits.iter().map(|hit| hit.text("url")).collect();
        if shown != (lines, hits.len()) {
            shown = (lines, hits.len());
            println!("{lines:>20} {:>20} {:>20}", hits.len(), different.len());
        }
        if finished && !told && lines == hits.len() && lines == different.len() {
            told = true;
            println!("EQUAL: each of {lines} lines arrived once");
        }
    }
    Ok(())
}

/// Lines of all logs in a folder.
fn lines(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("access.log") {
            count += BufReader::new(File::open(entry.path())?).split(b'\n').count();
        }
    }
    Ok(count)
}
