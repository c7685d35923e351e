//! `cargo xtask profile`: a binary that counts which ways it takes imports logs of every layout; the compiler of the release
//! binary reads the counts. The logs are the repository's own, so that what is measured is not what was learned.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tests::engine::said;
use tests::log::{self, Format, HOST, Line, Traffic};

use super::{Bench, quiet};
use crate::images::{PROFDATA, STATIC, compile_with, host, stamp};

/// The usual layout is most of what is learned.
const USUAL_LINES: usize = 100_000;
const OTHER_LINES: usize = 30_000;
/// Of so many lines one is none that a server should have written.
const ODD_EVERY: usize = 100;
const RECORDERS: usize = 4;

/// Build, import, and write the profile.
pub fn learn() -> anyhow::Result<()> {
    let tool = merger()?;
    let target = crate::build::target()?.join("profile");
    let counts = target.join("counts");
    if counts.exists() {
        fs::remove_dir_all(&counts).context("cannot empty the folder of the counts")?;
    }
    let flags = format!("{STATIC} -C profile-generate={}", counts.display());
    let binary = compile_with(&flags, &target, "release", &["log-analytics"])?.join("log-analytics");
    let bench = Bench::of(binary, RECORDERS)?;
    for log in logs(bench.folder.path())? {
        let mut pass = bench.once(&log)?;
        let ended = quiet(&mut pass).status().context("cannot start the binary that counts")?;
        ensure!(ended.success(), "the import of {} ended with {ended}", log.display());
    }
    let profile = crate::root().join(PROFDATA);
    let mut merge = Command::new(tool);
    // Sparse: what never ran is not written down.
    said(merge.args(["merge", "--sparse", "-o"]).arg(&profile).arg(&counts))?;
    stamp::put()?;
    println!("{PROFDATA}: {} KB, of {} hits", fs::metadata(&profile)?.len() / 1000, bench.sink.take_hits());
    Ok(())
}

/// What adds up counts; it has to be of the compiler's own LLVM.
fn merger() -> anyhow::Result<PathBuf> {
    let sysroot = said(Command::new("rustc").args(["--print", "sysroot"]))?;
    let tool = Path::new(sysroot.trim()).join("lib/rustlib").join(host()?).join("bin/llvm-profdata");
    ensure!(tool.is_file(), "{} is missing; run: rustup component add llvm-tools", tool.display());
    Ok(tool)
}

/// A log of every layout, and the usual one packed.
fn logs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut traffic = Traffic::seeded(11);
    let usual = traffic.lines(USUAL_LINES);
    let other = traffic.lines(OTHER_LINES);
    let combined = |lines: &[Line]| lines.iter().map(|line| Format::Combined.write(line)).collect::<Vec<_>>();
    let of = |format: Format| other.iter().map(|line| format.write(line)).collect::<Vec<_>>();
    let texts = [
        ("combined", combined(&usual)),
        ("odd", combined(&other).into_iter().enumerate().map(|(at, line)| odd(at, line)).collect()),
        ("vhost", of(Format::VhostCombined)),
        ("json", of(Format::NginxJson)),
        ("w3c", w3c(&other)),
    ];
    let mut logs = Vec::new();
    for (name, lines) in texts {
        let path = folder.join(name).with_extension("log");
        fs::write(&path, lines.join("\n") + "\n").context("cannot write a log")?;
        logs.push(path);
    }
    let packed = folder.join("packed.log");
    log::write(&packed, &usual, Format::Combined)?;
    logs.push(log::compress(&packed)?);
    Ok(logs)
}

/// Now and then a request of bytes, two blanks, a blank in the path, or half a line.
fn odd(at: usize, line: String) -> String {
    const PATH_WITH_BLANK: usize = 2 * ODD_EVERY;
    const HALF: usize = 3 * ODD_EVERY;
    match at % (4 * ODD_EVERY) {
        0 => line.replace("GET /", "\\x16\\x03\\x01"),
        ODD_EVERY => line.replace(" - - ", " -  - "),
        PATH_WITH_BLANK => line.replace("?", "? "),
        HALF => line.chars().take(40).collect(),
        _ => line,
    }
}

/// As IIS writes it: UTC, with its columns named above.
fn w3c(lines: &[Line]) -> Vec<String> {
    let header = "#Fields: date time s-sitename cs-method cs-uri-stem cs-uri-query cs-username c-ip cs(User-Agent) \
                  cs(Referer) cs-host sc-status sc-bytes time-taken";
    let rows = lines.iter().filter_map(|line| {
        let time = jiff::Timestamp::from_second(line.second).ok()?.strftime("%Y-%m-%d %H:%M:%S");
        let (stem, query) = line.path.split_once('?').unwrap_or((&line.path, "-"));
        let Line { address, status, bytes, .. } = line;
        let agent = line.agent.replace(' ', "+");
        let referrer = if line.referrer.is_empty() { "-" } else { &line.referrer };
        Some(format!("{time} W3SVC1 GET {stem} {query} - {address} {agent} {referrer} {HOST} {status} {bytes} 15"))
    });
    std::iter::once(header.to_owned()).chain(rows).collect()
}
