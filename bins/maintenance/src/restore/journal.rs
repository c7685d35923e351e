//! How far a restore has come, on disk before each step, so that a crash neither repeats nor forgets one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::entry::{Exit, Failure};
use shared::files;
use tracing::warn;

use super::swap::{clear, swap};
use crate::database::Account;
use crate::history;
use crate::session::Session;
use crate::set::{Content, Set};

const JOURNAL: &str = "restore.json";

/// The step, and what it is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) phase: Phase,
    pub(super) set: String,
    pub(super) safety: Option<String>,
    pub(super) live: String,
    pub(super) tables: BTreeSet<String>,
    /// Files and folders to swap, as paths from Matomo's folder.
    pub(super) items: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// Nothing that is in use was touched.
    Loading,
    /// Everything is ready and compared: it can only go forward.
    Swapping,
    /// Everything is in its place, and Matomo may go on with it: only what was needed beside is left to remove.
    Clearing,
}

impl Journal {
    /// Keeps it; the next step may begin when this has come back.
    pub(super) fn write(&self, session: &Session) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        Ok(files::replace_with_mode(&session.state_folder().join(JOURNAL), &text, 0o600)?)
    }
}

/// The restore is over.
pub(super) fn forget(session: &Session) {
    let _ = fs::remove_file(session.state_folder().join(JOURNAL));
}

/// What the archives hold, as far as it is swapped as one.
pub(super) fn items(set: &Set) -> Vec<PathBuf> {
    let plugins = set.manifest.plugins.iter().map(|plugin| Path::new("plugins").join(&plugin.name));
    if set.manifest.member(Content::Plugins).is_some() { plugins.collect() } else { Vec::new() }
}

/// Whether a restore is under way, or was interrupted.
pub fn is_interrupted(session: &Session) -> bool {
    session.state_folder().join(JOURNAL).exists()
}

/// Repairs a restore that was interrupted: before the swap it is taken back, after its begin it is brought to its end.
///
/// # Errors
/// When the database does not answer, which the repair needs.
pub async fn recover(session: &Session) -> Result<(), Failure> {
    let path = session.state_folder().join(JOURNAL);
    let Ok(text) = fs::read(&path) else { return Ok(()) };
    let journal: Journal = serde_json::from_slice(&text).map_err(|error| {
        Failure::new(Exit::Software, format!("cannot read the journal of a restore at {}: {error}", path.display()))
            .help("restore again after removing the file; nothing else remembers how far it came")
    })?;
    let database = session.database(Account::Root).await?;
    match journal.phase {
        Phase::Loading => {
            warn!(set = journal.set, "An interrupted restore had changed nothing; what it had prepared is removed");
            clear(session, &database, &journal).await;
        }
        Phase::Swapping => {
            warn!(set = journal.set, safety = journal.safety, "An interrupted restore is brought to its end");
            swap(session, &database, journal.clone()).await?;
        }
        Phase::Clearing => {
            warn!(set = journal.set, "A restore was interrupted behind its end; what it had needed beside is removed");
            clear(session, &database, &journal).await;
        }
    }
    history::note(session, "repair", true, "an interrupted restore was settled", Some(&journal.set));
    Ok(())
}
