//! A connection to an rsync daemon that is given up when nothing is heard on it, as our ssh gives up its own.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use shared::entry::{Exit, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::{Instant, sleep_until, timeout};

use crate::streams;

/// Bytes that pass at once.
const BUFFER_BYTES: usize = 64 << 10;
/// Less than this is a sign of life of our own side, and tells nothing of the other.
const PAYLOAD_BYTES_MIN: usize = 1 << 10;

/// The daemon cannot be reached, or went silent. The words are those of ssh, so that both are known by them.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// No connection.
    #[error("cannot connect to the rsync daemon {host} port {port}")]
    Unreachable {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// Nothing was heard for too long.
    #[error("the rsync daemon {host} port {port} is not responding: nothing was heard for {} seconds", idle.as_secs())]
    Silent {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// How long.
        idle: Duration,
    },
    /// The connection broke.
    #[error("the connection to the rsync daemon broke")]
    Broken(#[from] io::Error),
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        Failure::new(Exit::Unavailable, error)
            .help("look whether the daemon is up; SSH_STALL_TIMEOUT is how long it may be silent")
    }
}

/// Connects our standard streams to a daemon until one side ends.
///
/// # Errors
/// When it cannot be reached, or nothing is heard for `idle`.
pub async fn connect(host: &str, port: u16, patience: Duration, idle: Duration) -> Result<(), DaemonError> {
    let unreachable = |source| DaemonError::Unreachable { host: host.to_owned(), port, source };
    let connected = timeout(patience, TcpStream::connect((host, port))).await;
    let connected = connected.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "Connection timed out")));
    let (from, to) = connected.map_err(unreachable)?.into_split();
    let ours = streams::ours()?;
    let line = Line { heard: Cell::new(Instant::now()), is_waiting_for_us: Cell::new(false) };
    tokio::select! {
        down = line.down(from, ours.1) => Ok(down?),
        up = line.up(ours.0, to) => Ok(up?),
        () = line.silence(idle) => Err(DaemonError::Silent { host: host.to_owned(), port, idle }),
    }
}

/// What is known about the other side.
struct Line {
    /// When it last showed that it lives.
    heard: Cell<Instant>,
    /// It cannot be heard now, because our own side does not take what it said.
    is_waiting_for_us: Cell<bool>,
}

impl Line {
    async fn down(&self, mut from: OwnedReadHalf, mut to: Sender) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let bytes = from.read(&mut buffer).await?;
            if bytes == 0 {
                return Ok(());
            }
            self.is_waiting_for_us.set(true);
            to.write_all(&buffer[..bytes]).await?;
            self.is_waiting_for_us.set(false);
            self.heard.set(Instant::now());
        }
    }

    /// Ends by an error only: whoever has sent all still listens.
    async fn up(&self, mut from: Receiver, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let bytes = from.read(&mut buffer).await?;
            if bytes == 0 {
                to.shutdown().await?;
                std::future::pending::<()>().await;
            }
            to.write_all(&buffer[..bytes]).await?;
            if bytes >= PAYLOAD_BYTES_MIN {
                self.heard.set(Instant::now());
            }
        }
    }

    /// Ends when nothing was heard for so long.
    async fn silence(&self, idle: Duration) {
        loop {
            sleep_until(self.heard.get() + idle).await;
            if self.is_waiting_for_us.get() {
                self.heard.set(Instant::now());
            } else if self.heard.get().elapsed() >= idle {
                return;
            }
        }
    }
}
