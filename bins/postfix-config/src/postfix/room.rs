//! Whether the volume of the queue has room for mail, by the measure of Postfix: without it, Postfix runs and refuses
//! every message (452 4.3.1).

use std::io;
use std::path::{Path, PathBuf};

use shared::entry::{Exit, Failure};
use shared::process::StartError;

use super::Postfix;

/// A message takes a file, or two while it comes in; a volume that cannot hold these many more is as good as full.
const FILES_FREE_MIN: u64 = 100;
/// Postfix itself cannot start on less: its lock and its sockets are on the volume too.
const BYTES_TO_START: u64 = 64 << 10;

/// There is no room for mail.
#[derive(Debug, thiserror::Error)]
pub enum Shortage {
    /// Of bytes.
    #[error(
        "there is no room for mail in {}: {} are free, and Postfix takes mail only while there are more than {}",
        queue.display(), megabytes(*free), megabytes(*wanted)
    )]
    Bytes {
        /// The queue.
        queue: PathBuf,
        /// How many are free.
        free: u64,
        /// How many must be.
        wanted: u64,
    },
    /// Of files, however small.
    #[error("there is no room for mail in {}: the file system can hold only {free} more files", queue.display())]
    Files {
        /// The queue.
        queue: PathBuf,
        /// How many more there can be.
        free: u64,
    },
}

/// Why nobody can tell how much room there is.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The program that knows the limits is missing.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The volume does not answer.
    #[error("cannot ask for the room in {}", queue.display())]
    Volume {
        /// The queue.
        queue: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Shortage {
    /// What a person can do about it.
    pub const HELP: &'static str = "free or enlarge the volume of MTP_QUEUE_DIR, or set a smaller MTP_MS_SIZE_LIMIT; clients keep their mail meanwhile, and what is in the queue leaves";

    /// Whether Postfix cannot even start.
    pub fn is_total(&self) -> bool {
        matches!(self, Shortage::Bytes { free, .. } if *free < BYTES_TO_START)
    }
}

impl From<Shortage> for Failure {
    fn from(shortage: Shortage) -> Self {
        Failure::new(Exit::CannotCreate, shortage).help(Shortage::HELP)
    }
}

impl From<RoomError> for Failure {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::Start(error) => super::not_installed(error),
            error @ RoomError::Volume { .. } => {
                Failure::new(Exit::CannotCreate, error).help("look at the volume of MTP_QUEUE_DIR")
            }
        }
    }
}

impl Postfix {
    /// Whether room for mail is missing in this queue, by the limits of the configuration: `queue_minfree`, and one and a
    /// half times `message_size_limit` (Postfix 3.7, `smtpd_check.c`).
    ///
    /// # Errors
    /// When limits or volume cannot be asked.
    pub async fn shortage(&self, queue: &Path) -> Result<Option<Shortage>, RoomError> {
        let answer = self.ask("postconf", &["-h", "message_size_limit", "queue_minfree"]).await?;
        let mut limits = answer.stdout.lines().map(|line| line.trim().parse().unwrap_or(0));
        let (message, least) = (limits.next().unwrap_or(0_u64), limits.next().unwrap_or(0_u64));
        let wanted = least.max(message.saturating_add(message / 2));
        let queue = queue.to_owned();
        // Before the first start there is no folder yet, but its volume.
        let there = queue.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let volume = rustix::fs::statvfs(there);
        let volume = volume.map_err(|error| RoomError::Volume { queue: queue.clone(), source: error.into() })?;
        let free = volume.f_bavail.saturating_mul(volume.f_frsize);
        // Some file systems have no fixed number of files, and say 0 of 0.
        let files = (volume.f_files > 0).then_some(volume.f_favail);
        Ok(match files {
            _ if free <= wanted => Some(Shortage::Bytes { queue, free, wanted }),
            Some(files) if files < FILES_FREE_MIN => Some(Shortage::Files { queue, free: files }),
            _ => None,
        })
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
