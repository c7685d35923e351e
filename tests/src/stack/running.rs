//! The binary while it runs: listened to, killed, stopped, waited for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::outcome::Outcome;

/// Far beyond anything a healthy journey needs; only a hung one meets it.
const RUN_MAX: Duration = Duration::from_secs(120);

/// A run that has not been waited for yet. It is killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    words: String,
    child: Child,
    stdout: Ear,
    stderr: Ear,
}

impl Running {
    #[expect(
        clippy::expect_used,
        reason = "a journey whose binary does not start can only fail"
    )]
    pub(super) fn start(
        program: &Path,
        folder: &Path,
        words: &[&str],
        variables: &BTreeMap<String, String>,
        input: Vec<u8>,
    ) -> Self {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(variables);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let stdout = Ear::on(child.stdout.take().expect("a pipe"));
        let stderr = Ear::on(child.stderr.take().expect("a pipe"));
        let mut stdin = child.stdin.take().expect("a pipe");
        // A binary that ends without reading all of its input is judged by how it ends.
        thread::spawn(move || stdin.write_all(&input));
        Self {
            words: words.join(" "),
            child,
            stdout,
            stderr,
        }
    }

    /// Has it ended by itself?
    pub fn has_ended(&self) -> bool {
        let pid = Pid::from_child(&self.child);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)))
    }

    /// Wait until it has written this text to either stream.
    ///
    /// # Panics
    /// When it ends, or two minutes pass, without having done so.
    pub fn until_it_says(&self, text: &str) {
        let give_up = Instant::now() + RUN_MAX;
        while !self.stdout.hears(text) && !self.stderr.hears(text) {
            let over =
                self.stdout.is_closed() && self.stderr.is_closed() || Instant::now() > give_up;
            assert!(
                !over,
                "it never said {text:?}\n{}{}",
                self.stdout.text(),
                self.stderr.text()
            );
        }
    }

    /// Kill it as a power cut would (SIGKILL), at once.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(mut self) -> Outcome {
        // It may have ended by itself a moment ago; the outcome tells.
        let _ = self.child.kill();
        self.wait()
    }

    /// Let it run for a while, then kill it. It may have ended before.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill_after(self, delay: Duration) -> Outcome {
        let at = Instant::now() + delay;
        while !self.has_ended() {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.kill();
            }
            thread::sleep(left.min(Duration::from_millis(2)));
        }
        self.wait()
    }

    /// Ask it to stop (SIGTERM) and wait for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(self) -> Outcome {
        // It may have ended by itself a moment ago; the outcome tells.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.wait()
    }

    /// Wait for its end.
    ///
    /// # Panics
    /// When two minutes pass first; it is killed then.
    pub fn wait(mut self) -> Outcome {
        let status = self.ended();
        let (stdout, stderr) = (self.stdout.end(), self.stderr.end());
        let words = std::mem::take(&mut self.words);
        let Some(status) = status else {
            panic!("log-analytics {words} did not end within {RUN_MAX:?}\n{stdout}{stderr}");
        };
        Outcome {
            words,
            status,
            stdout,
            stderr,
        }
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        let give_up = Instant::now() + RUN_MAX;
        while Instant::now() < give_up {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(1));
        }
        // Nothing can be done about a child that cannot be killed; the panic that follows names it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a wait these two do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Listens to one stream on a thread of its own, so that the binary never waits for its reader.
#[derive(Debug)]
struct Ear {
    heard: Arc<(Mutex<Heard>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    closed: bool,
}

impl Ear {
    fn on(mut stream: impl Read + Send + 'static) -> Self {
        let heard = Arc::new((Mutex::new(Heard::default()), Condvar::new()));
        let notes = Arc::clone(&heard);
        let thread = thread::spawn(move || {
            let mut piece = [0; 8192];
            loop {
                let count = stream.read(&mut piece).unwrap_or(0);
                let mut heard = notes.0.lock().unwrap_or_else(PoisonError::into_inner);
                heard.bytes.extend_from_slice(&piece[..count]);
                heard.closed = count == 0;
                notes.1.notify_all();
                if heard.closed {
                    return;
                }
            }
        });
        Self {
            heard,
            thread: Some(thread),
        }
    }

    fn text(&self) -> String {
        let heard = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard.bytes).into_owned()
    }

    fn is_closed(&self) -> bool {
        self.heard
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed
    }

    /// Is this text there, now or after the next piece?
    fn hears(&self, text: &str) -> bool {
        const NEXT_PIECE: Duration = Duration::from_millis(20);
        let heard = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = |heard: &Heard| memchr::memmem::find(&heard.bytes, text.as_bytes()).is_some();
        if said(&heard) || heard.closed {
            return said(&heard);
        }
        let (heard, _) = self
            .heard
            .1
            .wait_timeout(heard, NEXT_PIECE)
            .unwrap_or_else(PoisonError::into_inner);
        said(&heard)
    }

    /// Everything that was said, once the stream is closed.
    fn end(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            // The thread only reads; it cannot panic.
            let _ = thread.join();
        }
        self.text()
    }
}
