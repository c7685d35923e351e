//! `cargo xtask bench-backup`: a backup by the binary of the image and `mariadb-dump | gzip -6` in turns, on one database.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use tests::installation::{DATABASE, Installation};
use tests::mariadb::ROOT_PASSWORD;

use crate::usage::{self, Usage};

/// What to measure.
#[derive(Args)]
pub struct Options {
    /// Size of the sample, as megabytes (10^6 bytes) of dump.
    #[arg(long, default_value_t = 500)]
    megabytes: u64,
    /// Runs of each; the figures are the middle ones.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Level of the compression.
    #[arg(long)]
    level: Option<u8>,
}

/// Measure and print.
pub fn measure(options: &Options) -> anyhow::Result<()> {
    let binary = crate::build::sidecar("maintenance", "small")?;
    println!("Filling a database of about {} MB ...", options.megabytes);
    let matomo = Installation::new(&binary.to_string_lossy(), options.megabytes);
    matomo.set("MAINTENANCE_KEEP", "1");
    if let Some(level) = options.level {
        matomo.set("MAINTENANCE_ZSTD_LEVEL", &level.to_string());
    }
    let out = matomo.folder().join("dump.sql.gz");
    let before = load();
    let (mut ours, mut theirs, mut ratios, mut floors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.rounds.max(1) {
        let them = gzip(&matomo, &out)?;
        let us = backup(&matomo)?;
        // What no backup that uses this program can undercut.
        let alone = usage::of(dump(&matomo).stdout(Stdio::null()))?;
        println!(
            "round {round}: gzip {them:.2} s, maintenance {:.2} s wall, {:.2} s processor, {:.1} MiB at its peak; mariadb-dump alone {:.2} s wall, {:.2} s processor",
            us.wall_seconds, us.cpu_seconds, us.peak_mib, alone.wall_seconds, alone.cpu_seconds
        );
        ratios.push(us.wall_seconds / them);
        floors.push(alone.wall_seconds / them);
        theirs.push(them);
        ours.push(us);
    }
    let peak = ours.iter().map(|usage| usage.peak_mib).fold(0.0, f64::max);
    let (us, them) = (middle(ours.iter().map(|usage| usage.wall_seconds)), middle(theirs.into_iter()));
    let set = matomo.sets().pop().context("no set")?;
    let manifest = matomo.manifest(&set);
    let member = &manifest["members"][0];
    let megabytes = |bytes: Option<u64>| bytes.unwrap_or(0) as f64 / 1e6;
    println!(
        "\ndump {:.0} MB; gzip -6: {them:.2} s, {:.1} MB; maintenance: {us:.2} s, {:.1} MB; ratio {:.3} (mariadb-dump alone {:.3}); peak {peak:.1} MiB",
        megabytes(member["plain_bytes"].as_u64()),
        megabytes(Some(fs::metadata(&out)?.len())),
        megabytes(member["bytes"].as_u64()),
        middle(ratios.into_iter()),
        middle(floors.into_iter())
    );
    let (quiet, during) = pauses(&matomo)?;
    println!("longest wait of a write: {quiet:.3} s while nothing else goes on, {during:.3} s during a backup");
    println!(
        "Load of this machine: {before} at the beginning, {} at the end. Compare only figures of one run.",
        load()
    );
    Ok(())
}

/// Of the last minute, in words.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Our own usage: without the programs that we start, whose processor time both ways need.
fn backup(matomo: &Installation) -> anyhow::Result<Usage> {
    usage::of(matomo.command(&["backup"]).stdout(Stdio::null()))
}

fn gzip(matomo: &Installation, out: &Path) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut dump = dump(matomo).stdout(Stdio::piped()).spawn().context("cannot start mariadb-dump")?;
    let input = dump.stdout.take().context("no pipe")?;
    let packed = Command::new("gzip").arg("-6").stdin(input).stdout(fs::File::create(out)?).status()?;
    ensure!(packed.success() && dump.wait()?.success(), "the dump failed");
    Ok(begin.elapsed().as_secs_f64())
}

/// The program with the words that we give it, too.
fn dump(matomo: &Installation) -> Command {
    let mut dump = Command::new("mariadb-dump");
    dump.args([
        "--no-defaults",
        "--protocol=tcp",
        "--host=127.0.0.1",
        "--user=root",
        "--single-transaction",
        "--quick",
    ])
    .args(["--hex-blob", "--routines", "--events", "--triggers", "--no-tablespaces", "--default-character-set=utf8mb4"])
    .arg(format!("--port={}", matomo.database.port()))
    .arg(DATABASE)
    .env("MYSQL_PWD", ROOT_PASSWORD);
    dump
}

/// Longest wait of a small write, alone and during a backup.
fn pauses(matomo: &Installation) -> anyhow::Result<(f64, f64)> {
    let alone = AtomicBool::new(false);
    let quiet = std::thread::scope(|scope| {
        let writer = scope.spawn(|| matomo.database.longest_write(DATABASE, &alone));
        std::thread::sleep(Duration::from_secs(10));
        alone.store(true, Ordering::Relaxed);
        writer.join()
    });
    let stop = AtomicBool::new(false);
    let during = std::thread::scope(|scope| {
        let writer = scope.spawn(|| matomo.database.longest_write(DATABASE, &stop));
        let usage = backup(matomo);
        stop.store(true, Ordering::Relaxed);
        usage.map(|_| writer.join())
    })?;
    let seconds =
        |waited: std::thread::Result<(u64, Duration)>| waited.map_or(f64::NAN, |(_, longest)| longest.as_secs_f64());
    Ok((seconds(quiet), seconds(during)))
}
