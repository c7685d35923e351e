//! A sidecar while it runs: listened to line by line, signalled, waited for.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Far beyond anything a healthy journey needs; only a hung one meets it.
const PATIENCE: Duration = Duration::from_secs(90);

/// A sidecar that was started. It is killed when it is dropped.
#[derive(Debug)]
pub struct Sidecar {
    words: String,
    child: Child,
    heard: Arc<Mutex<String>>,
    ears: Vec<JoinHandle<()>>,
}

/// A sidecar that has ended, and everything it said.
#[derive(Debug)]
pub struct Ended {
    words: String,
    status: ExitStatus,
    /// Both streams, as they came.
    pub output: String,
}

impl Sidecar {
    #[expect(clippy::expect_used, reason = "a journey whose binary does not start can only fail")]
    pub(super) fn start(program: &Path, words: &[&str], variables: &BTreeMap<String, String>) -> Self {
        let mut command = Command::new(program);
        command.args(words).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(variables);
        let mut child = command.spawn().expect("a sidecar that starts");
        let heard = Arc::new(Mutex::new(String::new()));
        let ears = vec![
            listen(child.stdout.take().expect("a pipe"), Arc::clone(&heard)),
            listen(child.stderr.take().expect("a pipe"), Arc::clone(&heard)),
        ];
        Self { words: words.join(" "), child, heard, ears }
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn heard(&self) -> String {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Wait until it says this.
    ///
    /// # Panics
    /// When it ends or a minute and a half passes first.
    #[track_caller]
    pub fn until_it_says(&mut self, text: &str) -> &mut Self {
        self.until(&format!("it says {text:?}"), |heard| heard.contains(text))
    }

    /// Wait until what it has said fulfils a condition.
    ///
    /// # Panics
    /// When it ends or a minute and a half passes first.
    #[track_caller]
    pub fn until(&mut self, what: &str, condition: impl Fn(&str) -> bool) -> &mut Self {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().ok().flatten();
            if condition(&self.heard()) {
                return self;
            }
            if let Some(status) = ended {
                // The ears may still be reading what came last.
                self.ears.drain(..).for_each(|ear| drop(ear.join()));
                assert!(condition(&self.heard()), "it ended with {status} before {what}\n{}", self.heard());
                return self;
            }
            assert!(Instant::now() < give_up, "waited in vain until {what}\n{}", self.heard());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Send it a signal.
    pub fn signal(&mut self, signal: Signal) -> &mut Self {
        // It may have ended by itself a moment ago; the end tells.
        let _ = kill_process(Pid::from_child(&self.child), signal);
        self
    }

    /// Wait for its end.
    ///
    /// # Panics
    /// When a minute and a half passes first; it is killed then.
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        let give_up = Instant::now() + PATIENCE;
        let status = loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                break status;
            }
            assert!(Instant::now() < give_up, "{} did not end\n{}", self.words, self.heard());
            thread::sleep(Duration::from_millis(2));
        };
        self.ears.drain(..).for_each(|ear| drop(ear.join()));
        Ended { words: self.words.clone(), status, output: self.heard() }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // After a wait these two do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stream: impl Read + Send + 'static, heard: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

impl Ended {
    /// The exit code; nothing when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// This exit code.
    ///
    /// # Panics
    /// With any other end.
    #[track_caller]
    pub fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code(), Some(code), "expected exit code {code}\n{self}");
        self
    }

    /// Some line holds all of these words.
    ///
    /// # Panics
    /// When none does.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Self {
        let holds = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(self.output.lines().any(holds), "no line says {words:?}\n{self}");
        self
    }

    /// No line holds this text.
    ///
    /// # Panics
    /// When one does.
    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.output.contains(text), "some line says {text:?}\n{self}");
        self
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} ended with {}\n{}", self.words, self.status, self.output)
    }
}
