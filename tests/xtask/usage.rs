//! What a child process used: time on the wall, time on the processor, memory at its peak.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Between two looks at the memory of the child.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The bill of one run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds from start to end.
    pub wall_seconds: f64,
    /// User and system time of all threads, in seconds; the kernel counts in hundredths.
    pub cpu_seconds: f64,
    /// Resident memory at its highest, in MiB.
    pub peak_mib: f64,
}

/// Run a command to its end and say what it used.
pub fn of(command: &mut Command) -> anyhow::Result<Usage> {
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let pid = Pid::from_child(&child);
    let folder = format!("/proc/{}", child.id());
    let mut peak_mib = 0.0;
    // It is not reaped until its last line in /proc was read.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(pid), options).context("cannot wait for the program")?.is_none() {
        peak_mib = peak(&folder).unwrap_or(peak_mib);
        thread::sleep(LOOK_AGAIN);
    }
    let wall_seconds = begun.elapsed().as_secs_f64();
    let cpu_seconds = cpu(&folder).with_context(|| format!("cannot read {folder}/stat"))?;
    let ended = child.wait()?;
    ensure!(ended.success(), "{} ended with {ended}", command.get_program().display());
    Ok(Usage { wall_seconds, cpu_seconds, peak_mib })
}

/// `VmHWM` only grows, so the last look before the end is the peak but for its last moments.
fn peak(folder: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("{folder}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Fields 14 and 15 of `stat`, user and system time in hundredths of a second, counted after the name in brackets.
fn cpu(folder: &str) -> Option<f64> {
    const USER: usize = 11;
    const SYSTEM: usize = 12;
    let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(USER)?.parse::<f64>().ok()? + fields.get(SYSTEM)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// Instructions that a command executes in user space, by valgrind's count: the same each time, whatever else runs.
pub fn instructions(command: &Command) -> anyhow::Result<f64> {
    let mut counted = Command::new("valgrind");
    counted.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(command.get_program());
    counted.args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        counted.env(name, value.unwrap_or_default());
    }
    let ended = counted.output().context("cannot start valgrind")?;
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    let count = text.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim().to_owned());
    count.and_then(|count| count.parse().ok()).with_context(|| format!("valgrind counted nothing:\n{text}"))
}
