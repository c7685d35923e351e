//! A mail relay's world: folders and an address of the loopback of its own, the built binary, and a client that sends.

mod client;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

pub use client::{Answer, greeting, submit};

/// Far beyond anything a healthy journey needs; only a hung one meets it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Below the ports that the system gives to clients.
const PORTS: std::ops::Range<u16> = 10_240..32_000;
/// The settings cannot be used.
pub const SETTINGS: i32 = 78;

/// A relay with folders of its own. Everything is gone when it is dropped.
pub struct World {
    program: PathBuf,
    folder: TempDir,
    address: Ipv4Addr,
    port: u16,
    variables: RefCell<BTreeMap<String, String>>,
}

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

impl World {
    /// A world for the binary at `program`, which a test file knows as `env!("CARGO_BIN_EXE_postfix-config")`.
    ///
    /// # Panics
    /// When no folder can be made.
    #[expect(clippy::expect_used, reason = "a journey without a folder can only fail")]
    pub fn new(program: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("relay-").tempdir().expect("a folder for the relay");
        // The services of Postfix give up the rights of root and must still reach their queue.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("an open folder");
        let address = own_address(folder.path());
        let port = free_port(address);
        let world = Self { program: program.into(), address, port, folder, variables: RefCell::default() };
        for (name, value) in [
            ("MTP_HOST", "relay.example"),
            ("MTP_PROTOCOLS", "ipv4"),
            ("NO_COLOR", "1"),
            // Journeys that wait for the next attempt cannot wait for five minutes.
            ("POSTFIX_queue_run_delay", "1s"),
            ("POSTFIX_minimal_backoff_time", "2s"),
            ("POSTFIX_maximal_backoff_time", "2s"),
        ] {
            world.set(name, value);
        }
        world.set("MTP_INTERFACES", "127.0.0.1").set("MTP_LISTEN_PORT", &world.port.to_string());
        for (name, folder) in [("MTP_CONFIG_DIR", "conf"), ("MTP_QUEUE_DIR", "queue"), ("MTP_DATA_DIR", "data")] {
            world.set(name, &world.path(folder).to_string_lossy());
        }
        world
    }

    /// Set a variable for the next start.
    pub fn set(&self, name: &str, value: &str) -> &Self {
        self.variables.borrow_mut().insert(name.to_owned(), value.to_owned());
        self
    }

    /// Take a variable away for the next start.
    pub fn unset(&self, name: &str) -> &Self {
        self.variables.borrow_mut().remove(name);
        self
    }

    /// A path in its folder: `conf`, `queue`, `data`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An address of the loopback that no other world has, for servers with a port that is given.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Where it accepts mail.
    pub fn listens_at(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A value of the written `main.cf`.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.path("conf/main.cf")).ok()?;
        let mut pairs = text.lines().filter_map(|line| line.split_once(" ="));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned())
    }

    /// The command line for these words, in a clean environment; `before` runs it, as `setpriv` and `unshare` do.
    pub fn command(&self, before: &[&str], words: &[&str]) -> Command {
        let program = self.program.to_string_lossy();
        let mut all: Vec<&str> = before.to_vec();
        all.push(&program);
        all.extend(words);
        let mut command = Command::new(all[0]);
        command.args(&all[1..]).current_dir(self.folder.path());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(&*self.variables.borrow());
        command
    }

    /// Run these words to their end.
    ///
    /// # Panics
    /// When they cannot be started or do not end.
    pub fn run(&self, words: &[&str]) -> Ended {
        self.run_by(&[], words)
    }

    /// Run these words to their end, by another program.
    ///
    /// # Panics
    /// When they cannot be started or do not end.
    pub fn run_by(&self, before: &[&str], words: &[&str]) -> Ended {
        self.launch(before, words).ends()
    }

    /// Start the relay and wait until it accepts mail.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn start(&self) -> Relay {
        let relay = self.launch(&[], &["run"]);
        relay.says(&["ready to accept mail"]);
        nudge(&self.path("conf"), &relay.heard);
        relay
    }

    /// Start these words by another program, without waiting for anything.
    ///
    /// # Panics
    /// When they cannot be started.
    pub fn launch(&self, before: &[&str], words: &[&str]) -> Relay {
        let mut command = self.command(before, words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {words:?}: {error}"));
        let heard = Arc::new(Mutex::new(String::new()));
        listen(child.stdout.take(), &heard);
        listen(child.stderr.take(), &heard);
        Relay { child, heard, address: self.listens_at(), queue: self.path("queue") }
    }
}

/// Ask Postfix again and again to try what waits, as long as somebody listens. A message that it happens to look at
/// while its last attempt is being written down would be left alone for minutes otherwise.
fn nudge(conf: &Path, heard: &Arc<Mutex<String>>) {
    let (conf, heard) = (conf.to_owned(), Arc::downgrade(heard));
    thread::spawn(move || {
        while heard.strong_count() > 0 {
            thread::sleep(Duration::from_secs(1));
            let flush =
                Command::new("/usr/sbin/postqueue").arg("-c").arg(&conf).arg("-f").stderr(Stdio::null()).status();
            // A Postfix that is gone needs no push.
            let _ = flush;
        }
    });
}

/// From the name of a folder that nobody else has.
fn own_address(folder: &Path) -> Ipv4Addr {
    let mix = folder.as_os_str().as_encoded_bytes().iter();
    let mix = mix.fold(std::process::id(), |mix, byte| (mix ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = mix.to_be_bytes();
    Ipv4Addr::new(127, 1 + (a ^ d) % 250, b, 1 + c % 250)
}

/// A port of 127.0.0.1 that nobody has; where the search begins depends on the folder, so that worlds rarely meet.
fn free_port(seed: Ipv4Addr) -> u16 {
    let begin = PORTS.start + (u32::from(seed) % u32::from(PORTS.end - PORTS.start)) as u16;
    let mut ports = (begin..PORTS.end).chain(PORTS.start..begin);
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap_or(begin)
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

/// The processes that work in this queue: master and services have it as their folder.
pub fn family(queue: &Path) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let inside =
        numbers.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder.starts_with(queue)));
    inside.filter_map(Pid::from_raw).collect()
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
