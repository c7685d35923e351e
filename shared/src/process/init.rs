//! The first process of a container: a small one that forwards signals and buries orphans, beside the program itself.
//!
//! The kernel gives the first process duties (orphans) and habits (signals without a handler are dropped) that a program
//! with a runtime should not have to think of.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    os::unix::process::CommandExt as _,
    process::Command,
};

use rustix::{
    process::{Pid, Signal, WaitOptions, getpid, kill_process, wait},
    termios::tcsetpgrp,
};
use rustix_libc_wrappers::process::SignalExt as _;
use signal_hook::{
    consts::{FORBIDDEN, SIGCHLD, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU},
    iterator::Signals,
};

use super::trampoline::OURSELVES;

/// Not forwarded: our own affair, or the terminal's.
const KEPT: [i32; 5] = [SIGCHLD, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU];

/// Starts the program again as a child and stays with it, if this is the first process. Comes back with its exit code;
/// with nothing in any other process, or when it cannot be done, which the program survives.
pub(crate) fn serve() -> Option<u8> {
    if getpid().as_raw_pid() != 1 {
        return None;
    }
    // Registered before the child is there, so that nothing sent meanwhile is lost.
    let mut signals = Signals::new([SIGCHLD]).ok()?;
    for number in (1..=64).filter(|number| !FORBIDDEN.contains(number) && !KEPT.contains(number)) {
        // The C library keeps two for itself.
        let _ = signals.add_signal(number);
    }
    let program = start()?;
    for number in signals.forever() {
        if number != SIGCHLD {
            forward(program, number);
        } else if let Some(code) = bury(program) {
            return Some(code);
        }
    }
    None
}

fn start() -> Option<Pid> {
    let mut words = env::args_os();
    let name = words.next()?;
    // Its own group: a key pressed at a terminal would otherwise reach it twice.
    let child = Command::new(OURSELVES).arg0(name).args(words).process_group(0).spawn().ok()?;
    let program = Pid::from_raw(i32::try_from(child.id()).ok()?)?;
    if io::stdin().is_terminal() {
        // Without it a person cannot type, and nothing else changes.
        let _ = tcsetpgrp(io::stdin(), program);
    }
    Some(program)
}

fn forward(program: Pid, number: i32) {
    if let Some(signal) = Signal::from_raw(number) {
        // It may have ended in this moment.
        let _ = kill_process(program, signal);
    }
}

/// Buries everything that has ended; answers how the program did, if it is among them.
fn bury(program: Pid) -> Option<u8> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == program {
            let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
            ended = Some(code.unwrap_or_else(|| killed_by(status.terminating_signal().unwrap_or(9))));
        }
    }
    ended
}

fn killed_by(signal: i32) -> u8 {
    let memory = if signal == 9 { "; the kernel does that when memory is short" } else { "" };
    let name = crate::words::signal_name(signal);
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "the program was ended by signal {name}{memory}");
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}
