//! `cargo xtask bench`: one import of a large log by the release binary, and, when asked, the same by Matomo's own
//! importer in turns, so that a slow moment of the machine hits both.

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use clap::Args;
use tests::log::{Format, Traffic};
use tests::stack::EVERYTHING;

use crate::sink::Sink;
use crate::usage::{self, Usage};

/// Matomo's own importer takes about 100 seconds for a million lines.
const PAIRED_LINES: usize = 100_000;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What to measure.
#[derive(Args)]
pub struct Options {
    /// Lines of the generated log.
    #[arg(long, default_value_t = 1_000_000)]
    lines: usize,
    /// Runs of each importer; the table shows the middle one.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections to the server.
    #[arg(long, default_value_t = 4)]
    recorders: usize,
    /// Matomo's own importer (a Python program), to be measured on the first 100,000 lines.
    #[arg(long)]
    reference: Option<PathBuf>,
}

/// Measure and print.
pub fn measure(options: &Options) -> anyhow::Result<()> {
    let binary = crate::build::log_analytics(true)?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir().context("no folder for the log")?;
    let sink = Sink::start().context("no port for the server that counts")?;
    let log = folder.path().join("access.log");
    generate(&log, options.lines)?;
    println!("\n{:<24} {:>9} {:>8} {:>8} {:>9} {:>11}", "", "hits", "wall s", "cpu s", "peak MiB", "hits/cpu s");

    // Each run has state of its own: a log that was imported before would not be imported again.
    let ours = || -> anyhow::Result<Command> {
        let state = tempfile::tempdir_in(folder.path()).context("no folder for the state")?.keep();
        let mut command = Command::new(&binary);
        command.arg("import").env("ANALYTICS_DIR", state).env("LOG_LEVEL", "warn");
        Ok(command)
    };
    let theirs = |reference: &Path| {
        let mut command = Command::new("python3");
        command.arg(reference);
        command
    };
    let run = |command: Command, log: &Path| import(command, log, &sink, options.recorders);
    let whole = middle((0..options.rounds.max(1)).map(|_| run(ours()?, log.as_path())).collect::<anyhow::Result<_>>()?);
    show(&format!("{} lines", options.lines), whole);

    if let Some(reference) = &options.reference {
        let short = folder.path().join("short.log");
        first_lines(&log, &short, PAIRED_LINES)?;
        let (mut us, mut them) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds.max(1) {
            us.push(run(ours()?, &short)?);
            them.push(run(theirs(reference), &short)?);
        }
        let (us, them) = (middle(us), middle(them));
        show("ours, first lines", us);
        show("reference, first lines", them);
        let ratio = |theirs: f64, ours: f64| theirs / ours.max(0.01);
        println!(
            "\nThe reference needs {:.0} times the processor and {:.0} times the time; hits are {}.",
            ratio(them.1.cpu_seconds, us.1.cpu_seconds),
            ratio(them.1.wall_seconds, us.1.wall_seconds),
            if us.0 == them.0 { "as many" } else { "NOT as many: the figures are void" }
        );
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "\nLoad of this machine: {}. Compare only figures of one run.",
        load.split(' ').next().unwrap_or("unknown")
    );
    Ok(())
}

/// The generator beside the repository knows more about real logs than our own; either gives the same log each time.
fn generate(log: &Path, lines: usize) -> anyhow::Result<()> {
    let generator = crate::root().join("../shared/bench/genlog.py");
    if generator.is_file() {
        println!("Writing {lines} lines with {} ...", generator.display());
        let mut command = Command::new("python3");
        command.arg(&generator).args(["--seed", "7", "--lines"]).arg(lines.to_string()).arg("--out").arg(log);
        let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status().context("cannot start python3")?;
        ensure!(ended.success(), "the generator ended with {ended}");
        return Ok(());
    }
    println!("Writing {lines} lines ...");
    let mut traffic = Traffic::seeded(7);
    let mut out = BufWriter::new(fs::File::create(log)?);
    for _ in 0..lines {
        for line in traffic.lines(1) {
            writeln!(out, "{}", Format::Combined.write(&line))?;
        }
    }
    Ok(out.flush()?)
}

fn first_lines(log: &Path, short: &Path, count: usize) -> anyhow::Result<()> {
    let mut out = BufWriter::new(fs::File::create(short)?);
    for line in BufReader::new(fs::File::open(log)?).split(b'\n').take(count) {
        out.write_all(&line?)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Both importers take the same words.
fn import(mut command: Command, log: &Path, sink: &Sink, recorders: usize) -> anyhow::Result<(u64, Usage)> {
    command.arg(format!("--url={}", sink.url())).arg(format!("--token-auth={TOKEN}"));
    command.args(["--idsite=1".to_owned(), format!("--recorders={recorders}")]).args(EVERYTHING.split(' ')).arg(log);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    sink.take_hits();
    let usage = usage::of(&mut command)?;
    Ok((sink.take_hits(), usage))
}

/// The run in the middle by processor time.
fn middle(mut runs: Vec<(u64, Usage)>) -> (u64, Usage) {
    runs.sort_by(|one, other| one.1.cpu_seconds.total_cmp(&other.1.cpu_seconds));
    runs.get(runs.len() / 2).copied().unwrap_or_default()
}

fn show(name: &str, (hits, usage): (u64, Usage)) {
    let Usage { wall_seconds, cpu_seconds, peak_mib } = usage;
    let speed = hits as f64 / cpu_seconds.max(0.01);
    println!("{name:<24} {hits:>9} {wall_seconds:>8.2} {cpu_seconds:>8.2} {peak_mib:>9.1} {speed:>11.0}");
}
