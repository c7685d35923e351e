//! Logs to measure with: the same bytes each time.

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tests::log::{Format, Traffic};

/// The generator beside the repository knows more about real logs than our own; either gives the same log each time.
pub fn generate(log: &Path, lines: usize, format: &str, odd: f64) -> anyhow::Result<()> {
    let generator = crate::root().join("../shared/bench/genlog.py");
    if generator.is_file() {
        println!("Writing {lines} lines ({format}) with {} ...", generator.display());
        let mut command = Command::new("python3");
        command.arg(&generator).args(["--seed", "7", "--format", format, "--lines"]).arg(lines.to_string());
        if odd > 0.0 {
            command.arg("--dirt").arg(odd.to_string());
        }
        let ended = command.arg("--out").arg(log).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let ended = ended.context("cannot start python3")?;
        ensure!(ended.success(), "the generator ended with {ended}");
        return Ok(());
    }
    ensure!(format == "combined" && odd == 0.0, "without ../shared/bench only plain combined logs can be written");
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

/// The log as an archive beside it.
pub fn packed(log: &Path) -> anyhow::Result<PathBuf> {
    let ended = Command::new("gzip").args(["--keep", "--force"]).arg(log).status().context("cannot start gzip")?;
    ensure!(ended.success(), "gzip ended with {ended}");
    Ok(log.with_extension("log.gz"))
}

/// The beginning of a log.
pub fn first_lines(log: &Path, short: &Path, count: usize) -> anyhow::Result<()> {
    let mut out = BufWriter::new(fs::File::create(short)?);
    for line in BufReader::new(fs::File::open(log)?).split(b'\n').take(count) {
        out.write_all(&line?)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
