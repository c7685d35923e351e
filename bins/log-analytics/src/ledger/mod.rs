//! Stage 6: what was sent and must not be sent again. Survives a crash at any point.
//!
//! A content is known by its bytes: each record that books lines carries the hash of all bytes before them. A batch is written
//! down before it is sent and again when it arrived; in between it is in doubt, and Matomo is asked.

mod book;
mod content;
mod contents;
mod journal;
mod lease;
mod legacy;
mod offsets;
mod record;
mod spans;
mod tally;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use crate::id::{FileId, IntentId, JournalId, Mark};
pub use book::{Book, Pending, Standing};
pub use content::{Content, FileState, Sighting, path_text};
pub use lease::{Finish, Lease, Ledger};
pub use legacy::ShellState;
pub use offsets::Offsets;
pub use record::{Intent, Part, Receipt, Totals};
pub use spans::Spans;
pub use tally::{TakeOver, Tally, TurnEnded};

/// The ledger could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It could not be written; what was not written was not sent.
    #[error("cannot write the ledger {}", path.display())]
    Write {
        /// File or folder.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It could not be read.
    #[error("cannot read the ledger {}", path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A record in its middle is not what was written.
    #[error("the ledger {} is damaged at byte {offset}", path.display())]
    Damaged {
        /// File.
        path: PathBuf,
        /// Where the first unreadable record begins.
        offset: u64,
    },
    /// Another file took its place while it was open.
    #[error("the ledger {} was removed or replaced while this program wrote it", path.display())]
    Replaced {
        /// File.
        path: PathBuf,
    },
    /// Written by a newer version of this program.
    #[error("the ledger {} was written by a newer version (format {version})", path.display())]
    Newer {
        /// File.
        path: PathBuf,
        /// The format's number.
        version: u32,
    },
}

impl LedgerError {
    fn write(path: &Path, error: io::Error) -> Self {
        Self::Write { path: path.to_owned(), error }
    }

    fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_owned(), error }
    }

    /// Whether the other sites need not try either.
    pub fn is_of_all_sites(&self) -> bool {
        matches!(self, Self::Write { .. })
    }

    /// What an operator can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Write { error, .. } if error.kind() == io::ErrorKind::StorageFull => {
                "make room on the volume; nothing is lost, the import goes on where it stopped"
            }
            Self::Write { .. } | Self::Read { .. } => {
                "let the container's user read and write this folder, or set LEDGER_URL to another one; nothing is lost"
            }
            Self::Damaged { .. } => {
                "restore the file from a backup of the volume, or move it away: if MATOMO_LEDGER_SITE was set all the time, the \
                 next pass asks Matomo which lines it has and sends the others; where Matomo cannot tell, nothing is sent and \
                 `log-analytics adopt` says what can be done"
            }
            Self::Replaced { .. } => {
                "stop all importers before the folder of the ledger is restored or tidied; the next pass goes on by what Matomo \
                 has"
            }
            Self::Newer { .. } => "run the newer version again; this one changes nothing",
        }
    }
}
