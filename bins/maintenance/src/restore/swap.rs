//! The last step of a restore: tables, files and configuration change places. Each part can be asked for again after a crash.

use std::fs;
use std::io;
use std::path::Path;

use shared::entry::{Exit, Failure};
use shared::files;
use tracing::warn;

use super::STAGE;
use super::journal::{Journal, Phase, forget};
use crate::database::{Database, Swap};
use crate::rehearse::scratch;
use crate::sentence;
use crate::session::Session;
use crate::set::SetError;

/// Swaps everything, and clears up.
pub(super) async fn swap(session: &Session, database: &Database<'_>, mut journal: Journal) -> Result<(), Failure> {
    swap_tables(database, &journal).await?;
    let stage = session.place.folder().join(STAGE);
    for item in &journal.items {
        let failed =
            |source| SetError::Io { action: "put in its place", path: session.place.folder().join(item), source };
        swap_item(session.place.folder(), &stage, item).map_err(failed)?;
    }
    let staged = stage.join("new/config.ini.php");
    if let Ok(text) = fs::read(&staged) {
        session.place.config().put(&text).map_err(|trouble| {
            let help = trouble.help();
            Failure::new(Exit::CannotCreate, trouble).help(help)
        })?;
    }
    journal.phase = Phase::Clearing;
    journal.write(session)?;
    clear(session, database, &journal).await;
    Ok(())
}

async fn swap_tables(database: &Database<'_>, journal: &Journal) -> Result<(), Failure> {
    let swap = Swap {
        from: scratch(&journal.live, "restore"),
        live: journal.live.clone(),
        before: scratch(&journal.live, "before"),
    };
    let waiting = database.tables(&swap.from).await?;
    let live = database.tables(&swap.live).await?;
    if let Some(statement) = swap.statement(&journal.tables, &waiting, &live) {
        // Not to be interrupted by a wish to stop: it is one statement, and takes a moment.
        database.tidy_up("swap the tables", &statement).await?;
    }
    if database.tables(&swap.live).await? != journal.tables {
        return Err(Failure::new(Exit::Failed, "after the swap the tables are not those of the set"));
    }
    Ok(())
}

fn swap_item(folder: &Path, stage: &Path, item: &Path) -> io::Result<()> {
    let (new, live, old) = (stage.join("new").join(item), folder.join(item), stage.join("old").join(item));
    if fs::symlink_metadata(&new).is_err() {
        return Ok(());
    }
    for parent in [live.parent(), old.parent()].into_iter().flatten() {
        fs::create_dir_all(parent)?;
    }
    if fs::symlink_metadata(&live).is_ok() {
        fs::rename(&live, &old)?;
    }
    fs::rename(&new, &live)?;
    files::sync_folder(&live)
}

/// Removes what a restore needed beside; what cannot be removed harms nobody, and the next restore does it.
pub(super) async fn clear(session: &Session, database: &Database<'_>, journal: &Journal) {
    for purpose in ["restore", "before"] {
        let name = scratch(&journal.live, purpose);
        if let Err(error) = database.drop_database(&name).await {
            warn!(database = name, why = sentence(&error), "A database of the restore cannot be dropped");
        }
    }
    // A kill in the middle of the load left it.
    database.dismiss(&scratch(&journal.live, "restore")).await;
    if let Err(error) = remove_if_there(&session.place.folder().join(STAGE)) {
        warn!(why = %error, "The folder of the restore cannot be removed");
    }
    // Last, so that an interrupted removal is not forgotten.
    forget(session);
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_swapped_once_however_often_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let stage = folder.path().join(STAGE);
        fs::create_dir_all(stage.join("new/plugins/A")).unwrap();
        fs::write(stage.join("new/plugins/A/new"), "").unwrap();
        fs::create_dir_all(folder.path().join("plugins/A")).unwrap();
        fs::write(folder.path().join("plugins/A/old"), "").unwrap();
        for _ in 0..2 {
            swap_item(folder.path(), &stage, Path::new("plugins/A")).unwrap();
            assert!(folder.path().join("plugins/A/new").exists() && stage.join("old/plugins/A/old").exists());
        }
    }
}
