//! The wish to stop, known everywhere; a second signal insists. Also what else a signal may ask for.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::Signals,
};
use tokio::sync::{broadcast, watch};
use tracing::{info, warn};

use crate::{
    config::{Setting, default},
    words::length_in_words,
};

/// The setting that says how long a stop may take; two seconds less than engines grant by default.
pub const GRACE: Setting = default("SHUTDOWN_GRACE", "8s").example("25s");

/// [`GRACE`] for those who have no settings.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(8);

/// Cheap to clone; all clones know the same wish. Usable from any thread and any runtime.
#[derive(Clone, Debug)]
pub struct Shutdown {
    signals: Arc<watch::Sender<u32>>,
    /// As `signals`, for the whole program.
    program: Arc<watch::Sender<u32>>,
    killed: Arc<Mutex<Vec<String>>>,
    asks: Arc<watch::Sender<Asks>>,
    others: broadcast::Sender<i32>,
}

/// What signals have asked for so far, besides stopping; each is a count, so that nothing asked twice is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// HUP: read the settings again.
    pub reload: u32,
    /// USR1: run now.
    pub run: u32,
    /// USR2: say how things stand.
    pub status: u32,
}

/// Signals cannot be listened to, so the program could not be stopped politely.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen to signals")]
pub struct ListenError {
    #[from]
    source: io::Error,
}

/// Signals that would end us and mean nothing to us: kept for a job that may understand them.
fn other_signals() -> impl Iterator<Item = i32> {
    const ALARMS: [i32; 8] = [
        signal_hook::consts::SIGALRM,
        signal_hook::consts::SIGVTALRM,
        signal_hook::consts::SIGPROF,
        signal_hook::consts::SIGIO,
        30,
        signal_hook::consts::SIGWINCH,
        signal_hook::consts::SIGURG,
        16,
    ];
    ALARMS.into_iter().chain(REAL_TIME)
}

/// The first two real-time signals belong to the C library.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
/// How many other signals wait for a job that is busy.
const OTHERS_MAX: usize = 256;

impl Shutdown {
    /// Listens to signals from now on, on a thread of its own, so that a busy program still hears them: TERM and INT
    /// ask to stop, a second one insists, QUIT insists at once; HUP, USR1 and USR2 are [`Asks`].
    ///
    /// # Errors
    /// When the system refuses a thread or a signal.
    pub fn listen() -> Result<Self, ListenError> {
        let shutdown = Self::never();
        let heard = shutdown.clone();
        // Registered before the thread starts: a signal that comes at once is not lost.
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2])?;
        for number in other_signals() {
            // One that cannot be caught keeps its default.
            let _ = signals.add_signal(number);
        }
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for number in &mut signals {
                heard.hear(number);
            }
        })?;
        Ok(shutdown)
    }

    fn hear(&self, number: i32) {
        match number {
            SIGTERM | SIGINT => self.request(),
            SIGQUIT => self.signals.send_modify(|count| *count = (*count).max(2)),
            SIGHUP => self.asks.send_modify(|asks| asks.reload += 1),
            SIGUSR1 => self.asks.send_modify(|asks| asks.run += 1),
            SIGUSR2 => self.asks.send_modify(|asks| asks.status += 1),
            other => {
                // Nobody listens when no job wants them.
                let _ = self.others.send(other);
            }
        }
    }

    /// What was asked for besides stopping; wait for a change of it.
    pub fn asks(&self) -> watch::Receiver<Asks> {
        self.asks.subscribe()
    }

    /// Signals that mean nothing to us, by number, from now on.
    pub(crate) fn other_signals(&self) -> broadcast::Receiver<i32> {
        self.others.subscribe()
    }

    /// A wish of its own for a part of the program, which shares what is asked for otherwise.
    #[must_use]
    pub fn own_wish(&self) -> Self {
        Self { signals: Arc::new(watch::Sender::new(0)), ..self.clone() }
    }

    /// Notes that a stop of the whole program had to kill a job.
    pub(crate) fn note_killed(&self, job: &str, age: Duration) {
        if *self.program.borrow() >= 1 {
            let mut killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
            killed.push(format!("{job} after {}", length_in_words(age)));
        }
    }

    /// The last line of a program, or of a job of it, that was asked to stop: it names the jobs that had to be killed.
    pub fn say_stopped(&self, who: &str) {
        let killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
        if killed.is_empty() {
            info!(job = who, "Stopped, as asked");
        } else {
            warn!(job = who, killed, "Stopped, as asked; what did not end in time was killed");
        }
    }

    /// Nobody asks, unless somebody calls [`Shutdown::request`]: for tests and for runs without a daemon.
    pub fn never() -> Self {
        let signals = Arc::new(watch::Sender::new(0));
        Self {
            program: signals.clone(),
            signals,
            killed: Arc::default(),
            asks: Arc::new(watch::Sender::new(Asks::default())),
            others: broadcast::Sender::new(OTHERS_MAX),
        }
    }

    /// Asks to stop, as a signal does; the second call insists.
    pub fn request(&self) {
        self.signals.send_modify(|count| *count = count.saturating_add(1));
    }

    /// Whether somebody wishes us to stop.
    pub fn requested(&self) -> bool {
        *self.signals.borrow() >= 1
    }

    /// Whether somebody lost patience: drop everything now.
    pub fn insisted(&self) -> bool {
        *self.signals.borrow() >= 2
    }

    /// Waits for the wish to stop.
    pub async fn wait(&self) {
        self.wait_for(1).await;
    }

    /// Whether this part, or the whole program, is to stop: for waits in which nothing is under way that could be finished.
    pub fn requested_at_all(&self) -> bool {
        self.requested() || *self.program.borrow() >= 1
    }

    /// Waits for what [`Shutdown::requested_at_all`] tells.
    pub async fn wait_at_all(&self) {
        let mut program = self.program.subscribe();
        tokio::select! {
            () = self.wait() => {}
            _ = program.wait_for(|count| *count >= 1) => {}
        }
    }

    /// Waits for the second wish.
    pub async fn wait_insisted(&self) {
        self.wait_for(2).await;
    }

    async fn wait_for(&self, wishes: u32) {
        // An error means that all senders are gone, and we hold one.
        let _ = self.signals.subscribe().wait_for(|count| *count >= wishes).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn the_first_wish_asks_and_the_second_insists() {
        let shutdown = Shutdown::never();
        assert!(!shutdown.requested());
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait_insisted().await }
        });
        shutdown.request();
        shutdown.wait().await;
        assert!(shutdown.requested() && !shutdown.insisted());
        shutdown.request();
        waiting.await.unwrap();
        assert!(shutdown.insisted());
    }

    #[test]
    fn signals_are_heard_from_every_thread() {
        let shutdown = Shutdown::listen().unwrap();
        kill_process(getpid(), Signal::TERM).unwrap();
        let waiter = |insisted: bool| {
            let shutdown = shutdown.clone();
            thread::spawn(move || {
                let runtime = runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    if insisted {
                        shutdown.wait_insisted().await;
                    } else {
                        shutdown.wait().await;
                    }
                });
            })
        };
        waiter(false).join().unwrap();
        assert!(shutdown.requested());
        kill_process(getpid(), Signal::INT).unwrap();
        waiter(true).join().unwrap();
        assert!(shutdown.insisted());
    }
}
