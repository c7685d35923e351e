//! The binary while it runs: listened to, killed, stopped, waited for.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::diary::Diary;
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
    diary: Diary,
}

impl Running {
    #[expect(clippy::expect_used, reason = "a journey whose binary does not start can only fail")]
    pub(super) fn start(mut command: Command, words: String, input: Vec<u8>, diary: Diary) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", command.get_program().display()));
        let stdout = Ear::on(child.stdout.take().expect("a pipe"));
        let stderr = Ear::on(child.stderr.take().expect("a pipe"));
        let mut stdin = child.stdin.take().expect("a pipe");
        // A binary that ends without reading all of its input is judged by how it ends.
        thread::spawn(move || stdin.write_all(&input));
        Self { words, diary, child, stdout, stderr }
    }

    /// The number of its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Has it ended by itself?
    pub fn has_ended(&self) -> bool {
        let pid = Pid::from_child(&self.child);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)))
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
            panic!("{words} did not end within {RUN_MAX:?}\n{stdout}{stderr}");
        };
        let outcome = Outcome { words, status, stdout, stderr };
        self.diary.note(&outcome);
        outcome
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
struct Ear(Option<JoinHandle<Vec<u8>>>);

impl Ear {
    fn on(mut stream: impl Read + Send + 'static) -> Self {
        Self(Some(thread::spawn(move || {
            let mut heard = Vec::new();
            // What came before an error is still worth showing.
            let _ = stream.read_to_end(&mut heard);
            heard
        })))
    }

    /// Everything that was said, once the stream is closed.
    fn end(&mut self) -> String {
        let heard = self.0.take().and_then(|thread| thread.join().ok());
        String::from_utf8_lossy(&heard.unwrap_or_default()).into_owned()
    }
}
