//! `upgrade-guard`: no update of the schema without a lock, a fresh proven backup, and a single container.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use shared::entry::{Exit, Failure};
use shared::process::Program;
use tracing::{error, info, warn};

use crate::database::Account;
use crate::history::Event;
use crate::session::{Session, Witness};
use crate::set::{Kind, Set, verify};
use crate::switch::{Halves, Purpose};
use crate::trust::Trust;
use crate::{backup, history, rehearse, restore, sentence};

/// What may differ.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A verified set that is younger than this need not be made again.
    pub fresh: Duration,
    /// Restore the set into a scratch database before the update.
    pub rehearse: bool,
}

/// What an upgrade left.
#[derive(Debug, Clone, Serialize)]
pub struct Upgraded {
    /// The version of the schema.
    pub schema_of_matomo: String,
    /// Whether a person had locked Matomo before, and still has.
    pub still_locked: bool,
}

/// Guards an update of the schema from its lock to its unlock. A lock that a person set before stays.
///
/// # Errors
/// Whatever failed. Before the update everything is as before; after its begin the lock stays, and the error holds the
/// command that rolls back.
pub async fn guard(session: &Session, options: Options) -> Result<Upgraded, Failure> {
    session.present_config()?;
    one_container_left(session)?;
    let was_locked = session.switches_of_an_upgrade().state()?.is_some();
    let locked = lock(session).await;
    let prepared = match locked {
        Ok(()) => prepare(session, options).await,
        Err(failure) => Err(failure),
    };
    let set = match prepared {
        Ok(set) => set,
        Err(failure) => {
            // The lock of an earlier update that failed is still needed: nobody knows how far that one came.
            if !was_locked {
                session.switches_of_an_upgrade().unlock()?;
            }
            history::note(session, "upgrade", false, &sentence(failure.error.as_ref()), None);
            return Err(failure);
        }
    };
    match update(session).await {
        Ok(version) => {
            session.switches_of_an_upgrade().unlock()?;
            info!(version, set = set.name, "Upgrade is done");
            history::note(session, "upgrade", true, &format!("the schema is of Matomo {version}"), Some(&set.name));
            let lock_before = session.switches().state()?;
            if let Some(lock) = &lock_before {
                warn!(since = %lock.since, "The lock from before the upgrade stays; `maintenance unlock` ends it");
            }
            session.prove(Halves::BOTH, Witness::All).await.map_err(|failure| {
                let sentence =
                    format!("the upgrade is done and the lock undone, but {}", sentence(failure.error.as_ref()));
                Failure::new(failure.exit, sentence).help("`maintenance status` asks again")
            })?;
            Ok(Upgraded { schema_of_matomo: version, still_locked: lock_before.is_some() })
        }
        Err(failure) => Err(rollback(session, &set, &failure)),
    }
}

/// Two containers with different code on one schema damage it.
fn one_container_left(session: &Session) -> Result<(), Failure> {
    match session.probe()?.count() {
        0 | 1 => Ok(()),
        count => Err(Failure::new(Exit::TryAgain, format!("{count} containers of Matomo are running"))
            .help("scale Matomo down to one container first: old code on a new schema damages data; nothing was done")),
    }
}

async fn lock(session: &Session) -> Result<(), Failure> {
    session.switches_of_an_upgrade().lock(Purpose::Upgrade, Halves::BOTH, Timestamp::now())?;
    session.prove(Halves::BOTH, Witness::All).await.map(drop)
}

/// A set that is fresh, verified and, if asked for, restored once.
async fn prepare(session: &Session, options: Options) -> Result<Set, Failure> {
    // What was restored since is in no set.
    let is_restore = |event: &Event| event.command == "restore" || (event.command == "repair" && event.set.is_some());
    let restored = history::read(session).into_iter().rfind(is_restore).map(|event| event.at);
    let is_fresh = |set: &Set| {
        let age = set.manifest.ended.duration_until(Timestamp::now());
        Duration::try_from(age).is_ok_and(|age| age < options.fresh)
            && restored.is_none_or(|at| at < set.manifest.began)
    };
    let set = match session.shelf.latest()?.filter(is_fresh) {
        Some(set) => set,
        None => backup::backup(session, Kind::Upgrade, false).await?,
    };
    let verified = verify(&set, &session.shutdown)?;
    info!(set = set.name, rows = verified.rows, "Backup is verified");
    if options.rehearse {
        rehearse::rehearse(session, &set, Trust::Seal).await?;
    }
    Ok(set)
}

/// Runs Matomo's own update, and holds the version of the schema against that of the code.
async fn update(session: &Session) -> Result<String, Failure> {
    let command = format!("{} core:update --yes", session.settings.console);
    let limits = session.limits();
    let program = Program::shell(&command).folder(session.place.folder()).label("core:update");
    let ended = program.run(&limits, &session.shutdown).await?;
    if !ended.succeeded() {
        return Err(Failure::new(Exit::Failed, format!("{}: {}", ended.sentence(), ended.tail.replace('\n', " / "))));
    }
    let database = session.database(Account::Matomo).await?;
    let schema =
        database.matomo_version(&database.connection.name, &database.connection.prefix).await?.unwrap_or_default();
    match session.place.version() {
        Some(code) if code != schema => Err(Failure::new(
            Exit::Failed,
            format!("after the update the schema is of Matomo {schema}, the code of {code}"),
        )),
        _ => Ok(schema),
    }
}

fn rollback(session: &Session, set: &Set, failure: &Failure) -> Failure {
    let sentence = sentence(failure.error.as_ref());
    history::note(session, "upgrade", false, &sentence, Some(&set.name));
    let version = set.manifest.database.matomo.as_deref().unwrap_or("the version before");
    let command = restore::command_for(&set.name);
    error!(rollback = command, version, "Upgrade failed; Matomo stays locked");
    Failure::new(failure.exit, format!("the upgrade failed: {sentence}")).help(format!(
        "Matomo stays locked. To go back: start the image of Matomo {version}, then `{command}`, then `maintenance unlock`. \
         To try again: `maintenance upgrade-guard`"
    ))
}
