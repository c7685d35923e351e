//! `restore`: everything is put beside what is there, compared, and only then swapped in; a crash goes on or goes back.
//!
//! ```text
//! judge.rs     may this set be restored here?
//! stage.rs     loaded and unpacked beside what is in use, and compared
//! swap.rs      put in its place, each step once however often it is asked for
//! journal.rs   how far it has come, and what is done about an interrupted one
//! ```

mod journal;
mod judge;
mod stage;
mod swap;

use serde::Serialize;
use shared::entry::Failure;
use tracing::info;

use crate::database::Account;
use crate::rehearse::inspect_all;
use crate::session::{Session, Witness};
use crate::set::{Kind, Set};
use crate::switch::{Halves, Purpose};
use crate::trust::Trust;
use crate::{backup, history, sentence};

use journal::{Journal, Phase};

pub use journal::{is_interrupted, recover};
pub use judge::{is_newer, judge};

/// Below Matomo's folder, on the same file system: what comes in, and what went out.
const STAGE: &str = ".maintenance-restore";

/// What may be overruled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Take a set that does not verify, or whose schema is newer than the code; go on although Matomo answers otherwise
    /// than the switches say.
    pub force: bool,
    /// Take the connection to the database from the set, instead of keeping the present one.
    pub connection_of_set: bool,
    /// Make no backup of what is there now.
    pub without_safety: bool,
    /// Whether a set without our seal is taken.
    pub trust: Trust,
}

/// What a restore left.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// The set that is in force now.
    pub set: String,
    /// The set with what was there before.
    pub safety: Option<String>,
    /// Rows of all tables.
    pub rows: u64,
    /// What the containers answered, where that proves nothing: the last check could not be made.
    pub unproved: Option<String>,
}

/// Puts a set in the place of what is there now.
///
/// # Errors
/// Whatever kept it from being done; before the swap nothing was changed, and the sentence says so.
pub async fn restore(session: &Session, set: &Set, options: Options) -> Result<Restored, Failure> {
    let witness = if options.force { Witness::Nobody } else { Witness::Present };
    let mut restored = match attempt(session, set, options, witness).await {
        Ok(restored) => restored,
        Err(failure) => {
            history::note(session, "restore", false, &sentence(failure.error.as_ref()), Some(&set.name));
            return Err(failure);
        }
    };
    info!(set = set.name, rows = restored.rows, safety = restored.safety, "Restore is done");
    history::note(session, "restore", true, &format!("{} rows", restored.rows), Some(&set.name));
    let proof = session.prove(Halves::BOTH, witness).await.map_err(|failure| {
        let sentence = format!("{} is in force, but {}", set.name, sentence(failure.error.as_ref()));
        Failure::new(failure.exit, sentence)
            .help("the restore is done; look at the log of Matomo. `maintenance status` asks again")
    })?;
    restored.unproved = proof.unproved;
    Ok(restored)
}

async fn attempt(session: &Session, set: &Set, options: Options, witness: Witness) -> Result<Restored, Failure> {
    judge(session, set, options)?;
    // A wrong password, or a set that is refused, shall not cost a moment without Matomo.
    let database = session.database(Account::Root).await?;
    database.version().await?;
    inspect_all(set, &database).await?;
    let has_config = session.place.config().path().exists();
    let work = inside(session, set, options);
    if has_config { session.while_locked(Purpose::Restore, witness, work).await } else { work.await }
}

async fn inside(session: &Session, set: &Set, options: Options) -> Result<Restored, Failure> {
    let database = session.database(Account::Root).await?;
    let live = database.connection.name.clone();
    let has_tables = !database.tables(&live).await?.is_empty();
    let has_config = session.place.config().path().exists();
    let safety = if has_tables && has_config && !options.without_safety {
        let made = backup::backup(session, Kind::Safety, false).await.map_err(|failure| {
            let sentence = format!("what is there now cannot be saved first: {}", sentence(failure.error.as_ref()));
            Failure::new(failure.exit, sentence).help("nothing was changed; --without-safety-backup does without")
        })?;
        Some(made.name)
    } else {
        None
    };
    let mut journal = Journal {
        phase: Phase::Loading,
        set: set.name.clone(),
        safety: safety.clone(),
        live: live.clone(),
        tables: set.manifest.database.tables.keys().cloned().collect(),
        items: journal::items(set),
    };
    journal.write(session)?;
    if let Err(failure) = stage::prepare(session, &database, set, &mut journal, options).await {
        swap::clear(session, &database, &journal).await;
        let sentence = format!("nothing was changed: {}", sentence(failure.error.as_ref()));
        return Err(Failure { error: sentence.into(), ..failure });
    }
    journal.phase = Phase::Swapping;
    journal.write(session)?;
    swap::swap(session, &database, journal).await.map_err(|failure| {
        let sentence =
            format!("the restore stopped in the middle of its last step: {}", sentence(failure.error.as_ref()));
        Failure::new(failure.exit, sentence).help(
            "run any changing command again (for example `maintenance unlock`): it goes on where this one stopped",
        )
    })?;
    Ok(Restored { set: set.name.clone(), safety, rows: set.manifest.rows(), unproved: None })
}

/// The words by which a person restores a set.
pub fn command_for(set: &str) -> String {
    format!("maintenance restore {set} --yes")
}
