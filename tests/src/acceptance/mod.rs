//! A world in which a sidecar lives through a case of the acceptance list: as a normal process, or as the first process of
//! its own pid namespace.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a world that cannot be made fails the test"
)]

mod core;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use core::*;

/// Longest wait for a fact, on the slowest machine.
pub const LONG: Duration = Duration::from_secs(50);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The program under test, and how it is told what to do.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The built binary.
    pub binary: PathBuf,
    /// The variable that takes a shell command.
    pub command: &'static str,
    /// The variable that takes the schedule.
    pub cron: &'static str,
    /// The variable that takes the folder of its state.
    pub state: &'static str,
    /// What it needs besides; `@/` stands for the folder of the world.
    pub more: Vec<(&'static str, String)>,
}

/// How it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// Like any program.
    Process,
    /// As the first process of a pid namespace, as in a container.
    First,
}

/// A folder, an environment, and the subject in it.
#[derive(Debug)]
pub struct World {
    subject: Subject,
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl World {
    /// A world with an empty state, a schedule that is far away, and short graces.
    pub fn new(subject: &Subject) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self { subject: subject.clone(), folder, variables: Vec::new() };
        let state = world.path("state").display().to_string();
        world.set(subject.state, &state);
        world.set(subject.cron, "0 0 1 1 *");
        subject.more.iter().fold(world, |world, (name, value)| world.env(name, value))
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a variable; `@` alone or before a slash stands for the folder of this world.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let folder = self.folder.path().display().to_string();
        let value = if value == "@" { folder } else { value.replace("@/", &format!("{folder}/")) };
        self.set(name, &value);
        self
    }

    /// What the job does; `@/` stands for the folder of this world.
    #[must_use]
    pub fn job(self, command: &str) -> Self {
        let name = self.subject.command;
        self.env(name, command)
    }

    /// When it does it.
    #[must_use]
    pub fn cron(self, expression: &str) -> Self {
        let name = self.subject.cron;
        self.env(name, expression)
    }

    /// A path in the folder of this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of a file of this world; empty when there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Writes a file of this world.
    pub fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// A command that starts the subject, for tests that need more than [`World::start`].
    pub fn command(&self, how: As, words: &[&str]) -> Command {
        let mut command = match how {
            As::Process => Command::new(&self.subject.binary),
            As::First => {
                let mut command = Command::new("unshare");
                command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(&self.subject.binary);
                command
            }
        };
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }

    /// Starts it; its output goes to a file.
    pub fn start(&self, how: As, words: &[&str]) -> Life {
        let path = self.path(&format!("output-{}", Instant::now().elapsed().as_nanos()));
        let page = File::create(&path).unwrap();
        let mut command = self.command(how, words);
        command.stdout(page.try_clone().unwrap()).stderr(page);
        Life::new(command, how, path)
    }

    /// Starts `run` and waits until the job has written `ready` into the folder.
    pub fn start_and_wait(&self, how: As) -> Life {
        let mut life = self.start(how, &["run"]);
        life.until("the job is ready", |_| self.path("ready").exists());
        life
    }

    /// Runs a command of it to the end.
    pub fn run(&self, how: As, words: &[&str]) -> End {
        self.start(how, words).end()
    }

    /// Runs `once` to the end.
    pub fn once(&self, how: As) -> End {
        self.run(how, &["once"])
    }
}

/// The subject, alive. Dropping it kills everything it started.
#[derive(Debug)]
pub struct Life {
    child: Child,
    /// The number of the subject itself; behind `unshare` it is a child's.
    pub pid: Pid,
    output: PathBuf,
    began: Instant,
}

/// How it ended.
#[derive(Debug)]
pub struct End {
    /// Its exit code; 128 + n for signal n.
    pub code: i32,
    /// Everything it said.
    pub output: String,
    /// From the last signal, or the start, to the end.
    pub took: Duration,
}

impl End {
    /// This exit code.
    ///
    /// # Panics
    /// With any other.
    #[track_caller]
    pub fn is(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.output);
        self
    }

    /// Some line holds this text.
    ///
    /// # Panics
    /// When none does.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.output.contains(text), "nothing says {text:?}:\n{}", self.output);
        self
    }

    /// The last line.
    pub fn last_line(&self) -> &str {
        self.output.lines().last().unwrap_or_default()
    }
}

impl Life {
    /// Starts a command that runs the subject and writes to this file.
    pub fn new(mut command: Command, how: As, output: PathBuf) -> Self {
        let child = command.spawn().expect("the subject, or unshare, starts");
        let outer = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let mut life = Self { child, pid: outer, output, began: Instant::now() };
        if how == As::First {
            let children = format!("/proc/{0}/task/{0}/children", outer.as_raw_pid());
            let first = || fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok();
            wait_until("the namespace has a first process", || {
                // What fails at once has ended by now.
                first().is_some() || life.child.try_wait().unwrap().is_some()
            });
            life.pid = first().and_then(Pid::from_raw).unwrap_or(outer);
        }
        life
    }

    /// Everything it said so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal; time counts from here.
    pub fn signal(&mut self, signal: Signal) {
        self.began = Instant::now();
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits for a fact about its output.
    ///
    /// # Panics
    /// When it does not become true.
    #[track_caller]
    pub fn until(&mut self, fact: &str, mut is_so: impl FnMut(&str) -> bool) {
        let begin = Instant::now();
        while !is_so(&self.output()) {
            assert!(begin.elapsed() < LONG, "never came true: {fact}\n{}", self.output());
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until it says this.
    #[track_caller]
    pub fn says(&mut self, text: &str) {
        self.until(text, |output| output.contains(text));
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn end(mut self) -> End {
        let begin = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if begin.elapsed() > LONG => panic!("it does not end\n{}", self.output()),
                None => std::thread::sleep(LOOK_AGAIN),
            }
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        End { code, output: self.output(), took: self.began.elapsed() }
    }

    /// Asks it to stop and waits for its end.
    #[track_caller]
    pub fn stop(mut self) -> End {
        self.signal(Signal::TERM);
        self.end()
    }

    /// A field of its status, in kibibytes or as a count.
    pub fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        line.trim_start_matches(':').split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // The first TERM lets it end its jobs, which are not ours to find; the namespace dies with KILL.
            let _ = kill_process(self.pid, Signal::QUIT);
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(5) && self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
                std::thread::sleep(LOOK_AGAIN);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether a process is there and has not ended.
pub fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits for a fact.
///
/// # Panics
/// When it does not become true.
#[track_caller]
pub fn wait_until(fact: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < LONG, "never came true: {fact}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Writes a script and makes it executable.
///
/// # Panics
/// When it cannot be written.
pub fn script(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
}
