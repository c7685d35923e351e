//! One container: what it is made of, what it says, how it ends.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::{LABEL, Volume, docker, image, said};
use crate::acceptance::LONG;

const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How compose/compose.yml starts every sidecar.
pub const HARDENED: [&str; 7] =
    ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp"];

/// What `docker create` is told, but for the command.
#[derive(Debug, Clone)]
pub struct Recipe {
    image: String,
    words: Vec<String>,
}

impl Recipe {
    /// The image of a sidecar.
    ///
    /// # Panics
    /// When it was not built.
    #[track_caller]
    pub fn of(name: &str) -> Self {
        Self::of_image(&image(name))
    }

    /// Any other image, by its full name.
    pub fn of_image(image: &str) -> Self {
        Self { image: image.to_owned(), words: Vec::new() }
    }

    /// Further words of `docker create`.
    #[must_use]
    pub fn with(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// A variable.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        self.with(&["--env", &format!("{name}={value}")])
    }

    /// A volume at a folder.
    #[must_use]
    pub fn mount(self, volume: &Volume, at: &str) -> Self {
        self.with(&["--volume", &format!("{}:{at}", volume.name())])
    }

    /// A folder or a file of this machine, under the same or another path.
    #[must_use]
    pub fn bind(self, from: &Path, at: &Path) -> Self {
        self.with(&["--volume", &format!("{}:{}", from.display(), at.display())])
    }

    /// On the network of this machine, where stand-ins listen on the loopback address.
    #[must_use]
    pub fn on_loopback(self) -> Self {
        self.with(&["--network", "host"])
    }

    /// Read-only root, no capability, no new privileges, as compose/compose.yml has it.
    #[must_use]
    pub fn hardened(self) -> Self {
        self.with(&HARDENED)
    }

    /// A container that has not been started yet.
    ///
    /// # Panics
    /// When the engine refuses.
    #[track_caller]
    pub fn create(&self, command: &[&str]) -> Container {
        let mut words = vec!["create", "--label", LABEL];
        words.extend(self.words.iter().map(String::as_str));
        words.push(&self.image);
        words.extend(command);
        Container { id: docker(&words).unwrap_or_else(|why| panic!("{why:#}")) }
    }

    /// A container that runs.
    #[track_caller]
    pub fn start(&self, command: &[&str]) -> Container {
        let container = self.create(command);
        container.start();
        container
    }

    /// A container that has run to its end.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> End {
        self.start(command).end()
    }
}

/// A container. It is removed, and killed if need be, when it is dropped.
#[derive(Debug)]
pub struct Container {
    pub(super) id: String,
}

impl Container {
    /// Its number.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Starts it, for the first time or again.
    #[track_caller]
    pub fn start(&self) {
        docker(&["start", &self.id]).unwrap_or_else(|why| panic!("{why:#}"));
    }

    /// What `docker inspect` says in a template of its own.
    ///
    /// # Panics
    /// When the container is gone.
    #[track_caller]
    pub fn inspect(&self, format: &str) -> String {
        docker(&["inspect", "--format", format, &self.id]).unwrap_or_else(|why| panic!("{why:#}"))
    }

    /// `docker logs`: both streams in the order in which the engine has them.
    #[track_caller]
    pub fn logs(&self) -> String {
        self.logs_with(&[])
    }

    /// `docker logs` with further options.
    ///
    /// # Panics
    /// When the container is gone.
    #[track_caller]
    pub fn logs_with(&self, options: &[&str]) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", "exec docker logs \"$@\" 2>&1", "docker"]).args(options).arg(&self.id);
        said(&mut command).unwrap()
    }

    /// Runs a program in it and answers what it said.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn exec(&self, words: &[&str]) -> String {
        self.try_exec(words).unwrap_or_else(|why| panic!("{why:#}\n{}", self.logs()))
    }

    /// Runs a program in it.
    ///
    /// # Errors
    /// When it fails.
    pub fn try_exec(&self, words: &[&str]) -> anyhow::Result<String> {
        docker(&[&["exec", &self.id], words].concat())
    }

    /// Waits for a fact about its log.
    ///
    /// # Panics
    /// When it does not become true.
    #[track_caller]
    pub fn until(&self, fact: &str, mut is_so: impl FnMut(&str) -> bool) {
        let begin = Instant::now();
        loop {
            // In this order: what it says before its end is in the log then.
            let runs = self.runs();
            let logs = self.logs();
            if is_so(&logs) {
                return;
            }
            assert!(runs, "it ended before this came true: {fact}\n{logs}");
            assert!(begin.elapsed() < LONG, "never came true: {fact}\n{logs}");
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until it says this.
    #[track_caller]
    pub fn says(&self, text: &str) {
        self.until(text, |logs| logs.contains(text));
    }

    /// Whether it runs.
    #[track_caller]
    pub fn runs(&self) -> bool {
        self.inspect("{{.State.Running}}") == "true"
    }

    /// What the engine thinks of its health: starting, healthy or unhealthy.
    #[track_caller]
    pub fn health(&self) -> String {
        self.inspect("{{.State.Health.Status}}")
    }

    /// Waits for a state of its health.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn becomes(&self, health: &str) {
        let begin = Instant::now();
        while self.health() != health {
            let log = self.inspect("{{json .State.Health}}");
            assert!(self.runs() && begin.elapsed() < LONG, "never {health}: {log}\n{}", self.logs());
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// `docker kill --signal`: the first process gets this one.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        docker(&["kill", "--signal", name, &self.id]).unwrap_or_else(|why| panic!("{why:#}"));
    }

    /// `docker stop`, with the engine's own grace of ten seconds.
    #[track_caller]
    pub fn stop(&self) -> End {
        self.ended_by(&["stop", &self.id])
    }

    /// `docker kill -s KILL`: a power cut for the container.
    #[track_caller]
    pub fn kill(&self) -> End {
        self.ended_by(&["kill", "--signal", "KILL", &self.id])
    }

    #[track_caller]
    fn ended_by(&self, words: &[&str]) -> End {
        let begin = Instant::now();
        docker(words).unwrap_or_else(|why| panic!("{why:#}\n{}", self.logs()));
        let took = begin.elapsed();
        End { took, ..self.end() }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn end(&self) -> End {
        let begin = Instant::now();
        while self.runs() {
            assert!(begin.elapsed() < LONG, "it does not end\n{}", self.logs());
            thread::sleep(LOOK_AGAIN);
        }
        let state = self.inspect("{{.State.ExitCode}} {{.State.OOMKilled}}");
        let (code, starved) = state.split_once(' ').unwrap();
        End { code: code.parse().unwrap(), starved: starved == "true", output: self.logs(), took: begin.elapsed() }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Nothing can be done about a container that stays; its label tells where it is from.
        let _ = docker(&["rm", "--force", "--volumes", &self.id]);
    }
}

/// How a container ended.
#[derive(Debug)]
pub struct End {
    /// Its exit code, 128 + n for signal n.
    pub code: i32,
    /// Whether the memory limit killed something in it.
    pub starved: bool,
    /// Everything it said.
    pub output: String,
    /// How long the order that ended it took.
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

    /// It ended within the engine's grace of ten seconds, and so by itself.
    ///
    /// # Panics
    /// When it took longer.
    #[track_caller]
    pub fn in_time(self) -> Self {
        assert!(self.took < Duration::from_secs(10), "{:?}\n{}", self.took, self.output);
        self
    }

    /// Some line holds all of these words.
    ///
    /// # Panics
    /// When none does.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let found = self.output.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "no line says {words:?}:\n{}", self.output);
        self
    }

    /// The last line.
    pub fn last_line(&self) -> &str {
        self.output.lines().last().unwrap_or_default()
    }
}
