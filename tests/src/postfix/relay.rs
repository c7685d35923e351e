//! The relay while it runs, and how a run ended.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::submit;
use crate::processes;

/// Far beyond anything a healthy journey needs; only a hung one meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run that has ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Both streams together.
    pub output: String,
}

/// The relay while it runs. It is stopped when it is dropped.
pub struct Relay {
    child: Child,
    heard: Arc<Mutex<String>>,
    address: SocketAddr,
    queue: PathBuf,
}

fn listen(stream: Option<impl Read + Send + 'static>, heard: &Arc<Mutex<String>>) {
    let (Some(stream), heard) = (stream, Arc::clone(heard)) else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            lock(&heard).push_str(&format!("{}\n", String::from_utf8_lossy(&line)));
        }
    });
}

fn lock(heard: &Mutex<String>) -> MutexGuard<'_, String> {
    // A journey that fails elsewhere must still be able to read it.
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// Listens to both streams of a process that was just started.
    pub(super) fn of(mut child: Child, address: SocketAddr, queue: PathBuf) -> Self {
        let heard = Arc::new(Mutex::new(String::new()));
        listen(child.stdout.take(), &heard);
        listen(child.stderr.take(), &heard);
        Self { child, heard, address, queue }
    }

    pub(super) fn heard(&self) -> &Arc<Mutex<String>> {
        &self.heard
    }

    /// Its process.
    ///
    /// # Panics
    /// Never: a process has a number.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Everything it said so far.
    pub fn log(&self) -> String {
        lock(&self.heard).clone()
    }

    /// Wait until a line holds all of these words.
    ///
    /// # Panics
    /// When none does in time, or it ends before.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> String {
        let begin = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                return line.to_owned();
            }
            let in_time = begin.elapsed() < PATIENCE && !self.has_ended();
            // What it said last may have come between the look at the log and the look at the process.
            assert!(in_time || self.log() != log, "no line says {words:?}\n{log}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(self.pid()), options), Ok(Some(_)))
    }

    /// Hand in a message; the answer to its end.
    ///
    /// # Panics
    /// When it is not taken.
    #[track_caller]
    pub fn takes(&self, from: &str, to: &str, text: &str) {
        let answer = submit(self.address, from, &[to], text);
        assert!(answer.accepted(), "not taken: {answer:?}\n{}", self.log());
    }

    /// The master's process.
    ///
    /// # Panics
    /// When it has none.
    #[expect(clippy::expect_used, reason = "a journey without a master can only fail")]
    pub fn master(&self) -> Pid {
        let text = fs::read_to_string(self.queue.join("pid/master.pid")).expect("a running master");
        Pid::from_raw(text.trim().parse().expect("a number")).expect("a process")
    }

    /// Send it a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself a moment ago; its end tells.
        let _ = kill_process(self.pid(), signal);
    }

    /// Ask it to stop, and wait for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stops(self) -> Ended {
        self.signal(Signal::TERM);
        self.ends()
    }

    /// Kill it, the master and all its services, as a power cut would.
    ///
    /// # Panics
    /// When it does not end.
    pub fn dies(self) -> Ended {
        self.signal(Signal::KILL);
        let begin = Instant::now();
        // A master that is not dead yet starts services anew.
        loop {
            let all = family(&self.queue);
            if all.is_empty() {
                return self.ends();
            }
            all.into_iter().for_each(kill);
            assert!(begin.elapsed() < PATIENCE, "some service cannot be killed");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Wait for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ends(mut self) -> Ended {
        let begin = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                // The threads that listen see the end a moment later.
                while Arc::strong_count(&self.heard) > 1 && begin.elapsed() < PATIENCE {
                    thread::sleep(Duration::from_millis(2));
                }
                return Ended { status, output: self.log() };
            }
            assert!(begin.elapsed() < PATIENCE, "it did not end\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::TERM);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(12) && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        // Nothing is left to do about one that cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        family(&self.queue).into_iter().for_each(kill);
    }
}

fn kill(pid: Pid) {
    // It may have ended by itself a moment ago.
    let _ = kill_process(pid, Signal::KILL);
}

/// The processes that work in this queue: master and services have it as their folder. So has the `postqueue` with which
/// this journey itself pushes the queue now and then; nobody left that behind.
pub fn family(queue: &Path) -> Vec<Pid> {
    let is_inside = |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder.starts_with(queue));
    let is_ours = |pid: &i32| processes::parent(*pid) == Some(std::process::id() as i32);
    processes::all().filter(is_inside).filter(|pid| !is_ours(pid)).filter_map(Pid::from_raw).collect()
}

/// No service of this queue is left.
///
/// # Panics
/// With what is known of those that are.
#[track_caller]
pub fn no_family(queue: &Path) {
    let stat = |pid: &Pid| fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok();
    let left: Vec<String> = family(queue).iter().filter_map(stat).collect();
    assert!(left.is_empty(), "services were left behind: {left:#?}");
}

impl Ended {
    /// This exit code.
    ///
    /// # Panics
    /// With any other end.
    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// Some line holds all of these words.
    ///
    /// # Panics
    /// When none does.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let holds = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(self.output.lines().any(holds), "no line says {words:?}\n{self}");
        self
    }

    /// No line holds this text.
    ///
    /// # Panics
    /// When one does.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.output.contains(text), "some line says {text:?}\n{self}");
        self
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended with {}\n{}", self.status, self.output)
    }
}
