//! What a child process used: time on the wall, time on the processor, memory at its peak.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Between two looks at the memory of the child.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The bill of one run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds from start to end.
    pub wall_seconds: f64,
    /// User and system time of all threads, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory at its highest, in MiB.
    pub peak_mib: f64,
}

/// Run a command to its end and say what it used. No other child may be waited for meanwhile: their bills come in one sum.
pub fn of(command: &mut Command) -> anyhow::Result<Usage> {
    let before = cpu_of_children()?;
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let pid = Pid::from_child(&child);
    let status = format!("/proc/{}/status", child.id());
    let (has_ended, ended) = mpsc::channel();
    let looking = thread::spawn(move || {
        let mut peak_mib = 0.0;
        while ended.recv_timeout(LOOK_AGAIN) == Err(RecvTimeoutError::Timeout) {
            peak_mib = peak(&status).unwrap_or(peak_mib);
        }
        peak_mib
    });
    // It is not reaped until nobody looks any more, so that its number is nobody else's.
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).context("cannot wait for the program")?;
    let wall_seconds = begun.elapsed().as_secs_f64();
    has_ended.send(()).context("nobody looks at the program's memory")?;
    let peak_mib = looking.join().map_err(|_| anyhow::anyhow!("the look at the program's memory failed"))?;
    let ended = child.wait()?;
    ensure!(ended.success(), "{} ended with {ended}", command.get_program().display());
    Ok(Usage { wall_seconds, cpu_seconds: cpu_of_children()? - before, peak_mib })
}

/// `VmHWM` only grows, so the last look before the end is the peak but for its last moments.
fn peak(status: &str) -> Option<f64> {
    let status = fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Seconds on the processor of all children that have been waited for.
fn cpu_of_children() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("the system does not tell what children used")?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// Instructions that a command executes in user space, by valgrind's count: the same each time, whatever else runs.
pub fn instructions(command: &Command) -> anyhow::Result<f64> {
    instructions_in(command, Path::new("/dev/null"))
}

/// The same, with a report of callgrind in which functions have the linker's names.
pub fn instructions_in(command: &Command, report: &Path) -> anyhow::Result<f64> {
    let mut counted = Command::new("valgrind");
    counted.args(["--tool=callgrind", "--demangle=no", "--compress-strings=no"]);
    counted.arg(format!("--callgrind-out-file={}", report.display())).arg(command.get_program());
    counted.args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        counted.env(name, value.unwrap_or_default());
    }
    let ended = counted.output().context("cannot start valgrind")?;
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.success(), "{} ended with {}:\n{text}", command.get_program().display(), ended.status);
    let count = text.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim().to_owned());
    count.and_then(|count| count.parse().ok()).with_context(|| format!("valgrind counted nothing:\n{text}"))
}
