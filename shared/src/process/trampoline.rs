//! The step between us and a program: our own executable, started with a private first word, sets itself up as the
//! program wants to be and becomes it. Nothing of it stays in the list of processes.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    sync::{Arc, atomic::AtomicBool},
};

use nix::sys::signal::SigSet;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal, setsid};

use signal_hook::consts::SIGCHLD;

use super::program::Program;

/// The executable of this process, even after its file was replaced.
pub(super) const OURSELVES: &str = "/proc/self/exe";
/// The private first word; nobody types it.
const WORD: &str = "--become-the-program";
const FOREGROUND: &str = "foreground";
const SESSION: &str = "session";

/// How a program is started by way of us.
pub(super) fn command(program: &Program, path: &Path) -> Command {
    let mut command = Command::new(OURSELVES);
    let signal = program.death_signal.map_or(0, Signal::as_raw);
    command.args([WORD, &getpid().as_raw_pid().to_string(), &signal.to_string()]);
    command.arg(if program.foreground { FOREGROUND } else { SESSION });
    command.arg(path).arg(&program.name).args(&program.arguments);
    command
}

/// Becomes the program if that is what this process was started for. Comes back with an exit code when it cannot,
/// and with nothing in any other process.
pub(crate) fn divert() -> Option<u8> {
    let mut words = env::args_os().skip(1);
    if words.next()? != WORD {
        return None;
    }
    let order = Order::read(words)?;
    Some(order.carry_out())
}

struct Order {
    parent: i32,
    death_signal: i32,
    foreground: bool,
    path: OsString,
    name: OsString,
    arguments: Vec<OsString>,
}

impl Order {
    fn read(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        let number = |word: OsString| word.to_str()?.parse().ok();
        Some(Self {
            parent: number(words.next()?)?,
            death_signal: number(words.next()?)?,
            foreground: words.next()? == FOREGROUND,
            path: words.next()?,
            name: words.next()?,
            arguments: words.collect(),
        })
    }

    fn carry_out(self) -> u8 {
        if !self.foreground {
            // It fails only for a leader of a group, which a fresh child is not.
            let _ = setsid();
        }
        if let Some(signal) = Signal::from_named_raw(self.death_signal) {
            // Refused by no kernel in use; without it the group is still ended when we end in order.
            let _ = set_parent_process_death_signal(Some(signal));
            if getppid().map(Pid::as_raw_pid) != Some(self.parent) {
                // Our parent died before it could be watched.
                return 128 + 9;
            }
        }
        close_fds::set_fds_cloexec(3, &[]);
        default_dispositions();
        unblock_signals();
        // The standard library resets SIGPIPE, which it ignores itself.
        let error = Command::new(&self.path).arg0(&self.name).args(&self.arguments).exec();
        explain(&self.name, &error)
    }
}

/// A signal that our parent ignored would stay ignored in the program; one that is caught falls back to its default
/// when the program is executed.
fn default_dispositions() {
    let mask = status_mask("SigIgn:").unwrap_or(0);
    let ignored = (1..=64).filter(|number| mask & (1 << (number - 1)) != 0);
    for number in ignored.filter(|number| !signal_hook::consts::FORBIDDEN.contains(number)) {
        // The C library keeps two signals to itself, which nobody can ignore either.
        let _ = signal_hook::flag::register(number, Arc::new(AtomicBool::new(false)));
    }
}

/// One of the signal masks of this process.
fn status_mask(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn explain(name: &OsStr, error: &io::Error) -> u8 {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let hint = if missing { " (is the interpreter in its first line installed?)" } else { "" };
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "cannot run {}: {error}{hint}", name.display());
    if missing { 127 } else { 126 }
}

/// A parent that ignores the end of children is never told of it.
pub(crate) fn mind_children() {
    if status_mask("SigIgn:").is_some_and(|mask| mask & (1 << (SIGCHLD - 1)) != 0) {
        // Refused for no reason that the system would have.
        let _ = signal_hook::flag::register(SIGCHLD, Arc::new(AtomicBool::new(false)));
    }
}

/// What our parent had blocked we would never hear. Called before there is a second thread.
pub(crate) fn unblock_signals() {
    // It fails for no mask that is empty.
    let _ = SigSet::empty().thread_set_mask();
}
