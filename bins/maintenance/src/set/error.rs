//! What can be wrong with a set, or with the making of one.

use std::io;
use std::path::PathBuf;

use shared::entry::{Exit, Failure};

use crate::database::{DatabaseError, DumpFault};

/// A set cannot be made, or cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The file system refuses.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program that writes or reads a member did not do it.
    #[error("the member {member} failed")]
    Program {
        /// Which.
        member: String,
        /// Why.
        source: DatabaseError,
    },
    /// The dump is not whole.
    #[error("the dump in {member} cannot be used")]
    Dump {
        /// Which member.
        member: String,
        /// Why.
        source: DumpFault,
    },
    /// There is no set of this name.
    #[error("there is no backup set {name} in {}", folder.display())]
    Missing {
        /// The name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// There is no set at all.
    #[error("there is no backup set yet in {}", folder.display())]
    None {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The set is not what its manifest says.
    #[error("the set {set} is damaged: {what}")]
    Damaged {
        /// Which.
        set: String,
        /// Member and fault.
        what: String,
    },
    /// The set holds what no set of ours does.
    #[error("the set {set} is not taken: {what}")]
    Hostile {
        /// Which.
        set: String,
        /// Member and fault.
        what: String,
    },
    /// Too little room.
    #[error("the volume of {} has {free_mb} MB free, and the next set may need {needed_mb} MB", folder.display())]
    Room {
        /// The folder for sets.
        folder: PathBuf,
        /// Megabytes that are free.
        free_mb: u64,
        /// Megabytes that may be needed.
        needed_mb: u64,
    },
    /// Somebody asked us to stop.
    #[error("stopped as asked while a set was read")]
    Stopped,
}

impl From<SetError> for Failure {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Program { member, source } => {
                let failure = Failure::from(source);
                let sentence = format!("the member {member} failed: {}", crate::sentence(failure.error.as_ref()));
                let help = failure.help.unwrap_or_default();
                Failure::new(failure.exit, sentence).help(help)
            }
            SetError::Io { .. } => Failure::new(Exit::CannotCreate, error)
                .help("look at the volume: is there room, and may we write? earlier sets are untouched"),
            SetError::Dump { .. } => {
                Failure::new(Exit::Failed, error).help("nothing was kept of it; earlier sets are untouched")
            }
            SetError::Missing { .. } => Failure::new(Exit::Usage, error).help("`maintenance history` lists the sets"),
            SetError::None { .. } => Failure::new(Exit::Usage, error).help(
                "`maintenance backup` takes one; is MAINTENANCE_DIR right? a safety backup is meant only by its name",
            ),
            SetError::Damaged { .. } => Failure::new(Exit::Failed, error)
                .help("do not restore it; take another set (`maintenance history`), and look at the disk"),
            SetError::Hostile { .. } => Failure::new(Exit::Failed, error)
                .help("do not trust it: no backup of Matomo by this program holds that; nothing of it was used"),
            SetError::Room { .. } => Failure::new(Exit::CannotCreate, error)
                .help("make room, or lower MAINTENANCE_KEEP; nothing was removed"),
            SetError::Stopped => Failure::new(Exit::TryAgain, error),
        }
    }
}
