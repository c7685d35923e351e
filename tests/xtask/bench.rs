//! `cargo xtask bench`: whole imports of a generated log by the release binary, ledger on, against a server that only
//! counts. Runs of all contestants alternate, so that a slow moment of the machine hits each of them.

mod log;
mod order;
pub mod profile;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use clap::Args;
use tests::log::{Format, Traffic};
use tests::stack::EVERYTHING;

use crate::sink::Sink;
use crate::usage::{self, Usage};
use table::Table;

/// Matomo's own importer takes about 100 seconds for a million lines.
const PAIRED_LINES: usize = 100_000;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Instructions are counted as the slope between two lengths, so that the start of the program does not count.
const COUNTED_LINES: [usize; 2] = [20_000, 40_000];

/// What to measure.
#[derive(Args)]
pub struct Options {
    /// Lines of the generated log.
    #[arg(long, default_value_t = 1_000_000)]
    lines: usize,
    /// Rounds; the table shows the middle of each row's runs.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections to the server.
    #[arg(long, default_value_t = 4)]
    recorders: usize,
    /// The log's format: combined, vhost, nginx_json or iis.
    #[arg(long, default_value = "combined")]
    format: String,
    /// Share of lines that only the slow way of the parser can read, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    odd: f64,
    /// Matomo's own importer (a Python program), to be measured on the first 100,000 lines.
    #[arg(long)]
    reference: Option<PathBuf>,
    /// Piwik PRO's fork of it (`pip install piwik-pro-log-analytics`), to be measured likewise.
    #[arg(long)]
    fork: Option<PathBuf>,
    /// Take the times of passes over so many files of a line each that are imported already.
    #[arg(long)]
    known_files: Option<usize>,
    /// Count instructions per line with valgrind instead of taking times.
    #[arg(long)]
    instructions: bool,
}

/// Measure and print.
pub fn measure(options: &Options) -> anyhow::Result<()> {
    let bench = Bench::of(crate::build::log_analytics(true)?, options.recorders)?;
    if options.instructions {
        return bench.instructions(options);
    }
    if let Some(files) = options.known_files {
        return bench.known_files(files, options.rounds);
    }
    bench.times(options)
}

struct Bench {
    binary: PathBuf,
    folder: tempfile::TempDir,
    sink: Sink,
    recorders: usize,
}

impl Bench {
    fn of(binary: PathBuf, recorders: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir().context("no folder for the log")?;
        let sink = Sink::start().context("no port for the server that counts")?;
        Ok(Self { binary, folder, sink, recorders })
    }

    fn times(&self, options: &Options) -> anyhow::Result<()> {
        let log = self.folder.path().join("access.log");
        log::generate(&log, options.lines, &options.format, options.odd)?;
        let packed = log::packed(&log)?;
        let mut table = Table::default();
        for _ in 0..options.rounds.max(1) {
            table.add("once, plain", self.hits_of(&mut self.once(&log)?)?);
            table.add("once, gz", self.hits_of(&mut self.once(&packed)?)?);
            table.add("zcat alone", (0, usage::of(quiet(Command::new("zcat").arg(&packed)))?));
            table.add("wc -l alone", (0, usage::of(quiet(Command::new("wc").arg("-l").arg(&log)))?));
        }
        table.show();
        table.ratio("gz end to end, processor time against zcat", "once, gz", "zcat alone");
        if let Some(reference) = &options.reference {
            self.against("reference", |log| self.reference(reference, log), &log, options.rounds)?;
        }
        if let Some(fork) = &options.fork {
            self.against("fork", |log| self.fork(fork, log), &log, options.rounds)?;
        }
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!(
            "\nLoad of this machine: {}. Compare only figures of one run.",
            load.split(' ').next().unwrap_or("unknown")
        );
        Ok(())
    }

    fn against(
        &self,
        name: &'static str,
        other: impl Fn(&Path) -> Command,
        log: &Path,
        rounds: usize,
    ) -> anyhow::Result<()> {
        let short = self.folder.path().join("short.log");
        log::first_lines(log, &short, PAIRED_LINES)?;
        let mut table = Table::default();
        for _ in 0..rounds.max(1) {
            table.add("ours", self.hits_of(&mut self.once(&short)?)?);
            table.add(name, self.hits_of(&mut other(&short))?);
        }
        println!("\nThe first {PAIRED_LINES} lines:");
        table.show();
        table.ratio(&format!("{name} against ours"), name, "ours");
        table.equal_hits(name, "ours");
        Ok(())
    }

    fn instructions(&self, options: &Options) -> anyhow::Result<()> {
        let counted = COUNTED_LINES.map(|lines| -> anyhow::Result<f64> {
            let log = self.folder.path().join(format!("{lines}.log"));
            log::generate(&log, lines, &options.format, options.odd)?;
            usage::instructions(&self.once(&log)?)
        });
        let [fewer, more] = counted;
        let slope = (more? - fewer?) / (COUNTED_LINES[1] - COUNTED_LINES[0]) as f64;
        println!("{slope:.0} user-space instructions per line, ledger and sending included");
        Ok(())
    }

    fn known_files(&self, files: usize, rounds: usize) -> anyhow::Result<()> {
        let (state, site) = self.state()?;
        println!("Writing {files} logs of a line each ...");
        for (number, line) in Traffic::seeded(7).lines(files).iter().enumerate() {
            let log = site.join(format!("access_log.{number:06}"));
            fs::write(log, Format::Combined.write(line) + "\n").context("cannot write a log")?;
        }
        let mut table = Table::default();
        table.add("first pass", self.hits_of(&mut self.pass(&state))?);
        for _ in 0..rounds.max(1) {
            table.add("known files", self.hits_of(&mut self.pass(&state))?);
        }
        table.show();
        Ok(())
    }

    /// A pass over one log, with state of its own: a log that was imported before would not be imported again.
    fn once(&self, log: &Path) -> anyhow::Result<Command> {
        let (state, site) = self.state()?;
        let name = log.file_name().context("a log without a name")?;
        fs::hard_link(log, site.join(name)).context("cannot link the log into the site's folder")?;
        Ok(self.pass(&state))
    }

    /// The folder of a pass, and within it the folder of the site's logs.
    fn state(&self) -> anyhow::Result<(PathBuf, PathBuf)> {
        let state = tempfile::tempdir_in(self.folder.path()).context("no folder for the state")?.keep();
        let site = state.join("logs/1");
        fs::create_dir_all(&site)?;
        Ok((state, site))
    }

    fn pass(&self, state: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("once").env_clear().env("ANALYTICS_DIR", state).env("LOG_LEVEL", "warn");
        command.env("MATOMO_URL", self.sink.url()).env("MATOMO_TOKEN", TOKEN).env("SETTLE_TIME", "0s");
        command.env("MATOMO_RECORDERS", self.recorders.to_string());
        command
    }

    fn reference(&self, program: &Path, log: &Path) -> Command {
        let mut command = Command::new("python3");
        command.arg(program).arg(format!("--token-auth={TOKEN}"));
        self.told(command, log)
    }

    fn fork(&self, program: &Path, log: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["--client-id=bench", "--client-secret=bench"]);
        self.told(command, log)
    }

    fn told(&self, mut command: Command, log: &Path) -> Command {
        command.args([format!("--url={}", self.sink.url()), "--idsite=1".to_owned()]);
        command.arg(format!("--recorders={}", self.recorders)).args(EVERYTHING.split(' ')).arg(log);
        command
    }

    fn hits_of(&self, command: &mut Command) -> anyhow::Result<(u64, Usage)> {
        self.sink.take_hits();
        let usage = usage::of(quiet(command))?;
        Ok((self.sink.take_hits(), usage))
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null())
}
