//! `cargo xtask profile`: a binary that counts which ways it takes imports logs of every layout; the compiler of the release
//! binary reads the counts. What is compiled by them does so once more, watched by valgrind, which writes down for the linker
//! what functions were run. The logs are the repository's own, so that what is measured is not what was learned.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tests::engine::said;
use tests::log::{self, Format, HOST, Line, Traffic};

use super::{Bench, order, quiet};
use crate::images::{ORDER, PROFDATA, STATIC, compile_with, host, learned, stamp};

/// The usual layout is most of what is learned.
const USUAL_LINES: usize = 100_000;
const OTHER_LINES: usize = 30_000;
/// Of so many lines one is none that a server should have written.
const ODD_EVERY: usize = 100;
const RECORDERS: usize = 4;
/// Valgrind is slow, and a function that is run is run soon.
const WATCHED_LINES: usize = 3_000;

/// Write the profile, and then the order of what is compiled by it.
pub fn learn() -> anyhow::Result<()> {
    let (tools, target) = (tools()?, crate::build::target()?.join("profile"));
    learn_ways(&tools, &target)?;
    learn_order(&tools, &target)?;
    stamp::put()
}

/// Build, import, and write the profile.
fn learn_ways(tools: &Path, target: &Path) -> anyhow::Result<()> {
    let counts = target.join("counts");
    if counts.exists() {
        fs::remove_dir_all(&counts).context("cannot empty the folder of the counts")?;
    }
    let bench = built(&format!("{STATIC} -C profile-generate={}", counts.display()), target)?;
    for log in logs(bench.folder.path(), USUAL_LINES, OTHER_LINES)? {
        let mut pass = bench.once(&log)?;
        let ended = quiet(&mut pass).status().context("cannot start the binary that counts")?;
        ensure!(ended.success(), "the import of {} ended with {ended}", log.display());
    }
    let profile = crate::root().join(PROFDATA);
    let mut merge = Command::new(tools.join("llvm-profdata"));
    // Sparse: what never ran is not written down.
    said(merge.args(["merge", "--sparse", "-o"]).arg(&profile).arg(&counts))?;
    println!("{PROFDATA}: {} KB, of {} hits", fs::metadata(&profile)?.len() / 1000, bench.sink.take_hits());
    Ok(())
}

/// Build by the profile, import, and write down what functions were run.
fn learn_order(tools: &Path, target: &Path) -> anyhow::Result<()> {
    let bench = built(&format!("{} -C strip=none", learned()?), target)?;
    let logs = logs(bench.folder.path(), WATCHED_LINES, WATCHED_LINES)?;
    let imports = logs.iter().map(|log| bench.once(log)).collect::<anyhow::Result<Vec<_>>>()?;
    let names = order::of(&imports, &bench.binary, &tools.join("llvm-nm"))?;
    fs::write(crate::root().join(ORDER), names.join("\n") + "\n").with_context(|| format!("cannot write {ORDER}"))?;
    println!("{ORDER}: {} functions", names.len());
    Ok(())
}

fn built(flags: &str, target: &Path) -> anyhow::Result<Bench> {
    Bench::of(compile_with(flags, target, "release", &["log-analytics"])?.join("log-analytics"), RECORDERS)
}

/// Where the tools of the compiler's own LLVM lie: those of another cannot read what it writes.
fn tools() -> anyhow::Result<PathBuf> {
    let sysroot = said(Command::new("rustc").args(["--print", "sysroot"]))?;
    let tools = Path::new(sysroot.trim()).join("lib/rustlib").join(host()?).join("bin");
    let has_all = tools.join("llvm-profdata").is_file() && tools.join("llvm-nm").is_file();
    ensure!(has_all, "llvm-profdata and llvm-nm are not in {}; run: rustup component add llvm-tools", tools.display());
    Ok(tools)
}

/// A log of every layout, so long the usual one and so long each other, and the usual one packed.
fn logs(folder: &Path, usual: usize, other: usize) -> anyhow::Result<Vec<PathBuf>> {
    let mut traffic = Traffic::seeded(11);
    let (usual, other) = (traffic.lines(usual), traffic.lines(other));
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
