//! The wish to stop, known everywhere; a second signal insists.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::config::{Setting, default};

/// The setting that says how long a stop may take; two seconds less than engines grant by default.
pub const GRACE: Setting = default("SHUTDOWN_GRACE", "8s").example("25s");

/// [`GRACE`] for those who have no settings.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(8);

/// Cheap to clone; all clones know the same wish. Usable from any thread and any runtime.
#[derive(Clone, Debug)]
pub struct Shutdown {
    signals: Arc<watch::Sender<u32>>,
}

/// Signals cannot be listened to, so the program could not be stopped politely.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen to TERM and INT")]
pub struct ListenError {
    #[from]
    source: io::Error,
}

impl Shutdown {
    /// Listens to TERM and INT from now on, on a thread of its own, so that a busy program still hears them.
    pub fn listen() -> Result<Self, ListenError> {
        let shutdown = Self::never();
        let heard = shutdown.clone();
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let inside = runtime.enter();
        // Registered before the thread starts: a signal that comes at once is not lost.
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        drop(inside);
        let listen = async move {
            loop {
                tokio::select! {
                    Some(()) = term.recv() => {}
                    Some(()) = int.recv() => {}
                    else => return,
                }
                heard.request();
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
        Ok(shutdown)
    }

    /// Nobody asks, unless somebody calls [`Shutdown::request`]: for tests and for runs without a daemon.
    pub fn never() -> Self {
        Self { signals: Arc::new(watch::Sender::new(0)) }
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
