//! `upgrade-guard`: no update of the schema without a lock, a proven backup of what the lock found, and a single container.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use shared::entry::{Exit, Failure};
use shared::process::{Program, User};
use tracing::{error, info, warn};

use crate::database::{Account, SECRETS};
use crate::history::Event;
use crate::session::{Session, Witness};
use crate::set::{Kind, Set, verify};
use crate::switch::{Halves, Purpose};
use crate::trust::Trust;
use crate::{backup, history, plugins, rehearse, restore, sentence};

/// A bulk request that was accepted before the lock takes at most minutes where a gateway waits for it.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// Noted before the update, so that a kill in the middle of it leaves no doubt which set leads back.
const BEGINS: &str = "upgrade-begins";
const DRAIN_LOOKS: Duration = Duration::from_millis(250);

/// What may differ.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A set that is younger than this, and equals the database of this moment, need not be made again.
    pub fresh: Option<Duration>,
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
    console_user(session)?;
    let was_locked = session.switches_of_an_upgrade().state()?.is_some();
    let locked = lock(session).await;
    let prepared = match locked {
        Ok(()) => prepare(session, options, was_locked).await,
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
    history::note(session, BEGINS, true, "this set leads back, should the update not come to its end", Some(&set.name));
    match update(session).await {
        Ok(version) => finish(session, &set, version).await,
        Err(failure) => Err(rollback(session, &set, &failure)),
    }
}

/// Gives the switches back, and says whose lock stays.
async fn finish(session: &Session, set: &Set, version: String) -> Result<Upgraded, Failure> {
    session.switches_of_an_upgrade().unlock()?;
    info!(version, set = set.name, "Upgrade is done");
    history::note(session, "upgrade", true, &format!("the schema is of Matomo {version}"), Some(&set.name));
    let lock_before = session.switches().state()?;
    if let Some(lock) = &lock_before {
        warn!(since = %lock.since, "The lock from before the upgrade stays; `maintenance unlock` ends it");
    }
    session.prove(Halves::BOTH, Witness::All).await.map_err(|failure| {
        let sentence = format!("the upgrade is done and the lock undone, but {}", sentence(failure.error.as_ref()));
        Failure::new(failure.exit, sentence).help("`maintenance status` asks again")
    })?;
    Ok(Upgraded { schema_of_matomo: version, still_locked: lock_before.is_some() })
}

/// Two containers with different code on one schema damage it.
fn one_container_left(session: &Session) -> Result<(), Failure> {
    match session.probe()?.count() {
        0 | 1 => Ok(()),
        count => Err(Failure::new(Exit::TryAgain, format!("{count} containers of Matomo are running"))
            .help("scale Matomo down to one container first: old code on a new schema damages data; nothing was done")),
    }
}

/// Locks, and waits for what was under way: it belongs into the set.
async fn lock(session: &Session) -> Result<(), Failure> {
    session.switches_of_an_upgrade().lock(Purpose::Upgrade, Halves::BOTH, Timestamp::now())?;
    session.prove(Halves::BOTH, Witness::All).await?;
    drain(session).await
}

/// Waits for the end of the connections that the lock found at work.
async fn drain(session: &Session) -> Result<(), Failure> {
    let database = session.database(Account::Root).await?;
    let live = &database.connection.name;
    let mut left = database.others(live).await?;
    let give_up = Instant::now() + DRAIN_MAX;
    while !left.is_empty() && Instant::now() < give_up && !session.shutdown.requested() {
        tokio::time::sleep(DRAIN_LOOKS).await;
        let now = database.others(live).await?;
        left.retain(|id| now.contains(id));
    }
    if left.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = left.iter().map(u64::to_string).collect();
    let sentence = format!("connections from before the lock still work in the database {live}: {}", ids.join(", "));
    Err(Failure::new(Exit::TryAgain, sentence)
        .help("wait for the archiver, or stop it, or end them (KILL and the number); then again. Nothing was updated"))
}

/// The set that leads back: verified and, if asked for, restored once.
async fn prepare(session: &Session, options: Options, was_locked: bool) -> Result<Set, Failure> {
    let known = match before_first_try(session, was_locked) {
        Some(set) => Some(set),
        None => fresh(session, options.fresh).await?,
    };
    let set = match known {
        Some(set) => set,
        None => backup::backup(session, Kind::Upgrade, false).await?,
    };
    let verified = verify(&set, &session.shutdown)?;
    info!(set = set.name, rows = verified.rows, "Backup is verified");
    if let Err(failure) = plugins::judge(&session.place, &set) {
        warn!(
            why = sentence(failure.error.as_ref()),
            help = failure.help,
            "The set cannot bring back what is not there"
        );
    }
    if options.rehearse {
        rehearse::rehearse(session, &set, Trust::Seal).await?;
    }
    Ok(set)
}

/// Where an earlier update did not come to its end and Matomo was locked ever since, the set from before it leads back, and
/// none of what it left half done.
fn before_first_try(session: &Session, was_locked: bool) -> Option<Set> {
    let events = history::read(session);
    let is_end = |event: &Event| is_restore(event) || (event.command == "upgrade" && event.good);
    let is_try = |event: &Event| ["upgrade", BEGINS].contains(&event.command.as_str()) && event.set.is_some();
    let last = events.iter().rev().take_while(|event| !is_end(event)).find(|event| is_try(event));
    let name = last?.set.as_deref().filter(|_| was_locked)?;
    match session.shelf.find(name) {
        Ok(set) => {
            info!(set = name, "An earlier update did not come to its end: the set from before it leads back");
            Some(set)
        }
        Err(error) => {
            warn!(why = sentence(&error), "The set from before an earlier update cannot be used; one of now is made");
            None
        }
    }
}

fn is_restore(event: &Event) -> bool {
    event.command == "restore" || (event.command == "repair" && event.set.is_some())
}

/// A young set that equals the database of this moment, where one is asked for.
async fn fresh(session: &Session, young: Option<Duration>) -> Result<Option<Set>, Failure> {
    // What was restored since is in no set.
    let restored = history::read(session).into_iter().rfind(is_restore).map(|event| event.at);
    let is_young = |set: &Set| {
        let age = set.manifest.ended.duration_until(Timestamp::now());
        young.is_some_and(|young| Duration::try_from(age).is_ok_and(|age| age < young))
            && restored.is_none_or(|at| at < set.manifest.began)
    };
    let Some(set) = session.shelf.latest()?.filter(is_young) else { return Ok(None) };
    if let Some(difference) = difference(session, &set).await? {
        info!(set = set.name, difference, "The set does not equal the database of this moment; a new one is made");
        return Ok(None);
    }
    info!(set = set.name, "The set equals the database of this moment");
    Ok(Some(set))
}

/// In what the database is not the set any more, or why nobody can tell.
async fn difference(session: &Session, set: &Set) -> Result<Option<String>, Failure> {
    if let Some(Err(error)) = session.settings.backup_key.as_ref().map(|key| key.demand(set)) {
        return Ok(Some(sentence(&error)));
    }
    let facts = &set.manifest.database;
    let database = session.database(Account::Matomo).await?;
    let (_, started) = database.now_and_start().await?;
    let at = match facts.at {
        Some(at) if !facts.highest.is_empty() => at,
        _ => return Ok(Some("the set does not say what its highest numbers were".to_owned())),
    };
    if database.connection.name != facts.name {
        return Ok(Some(format!("the set is of the database {}", facts.name)));
    }
    if started >= at {
        return Ok(Some("the server was started since, and does not remember what changed".to_owned()));
    }
    Ok(database.differs(&facts.name, (&facts.tables, &facts.highest), at).await?)
}

/// Runs Matomo's own update, and holds the version of the schema against that of the code.
async fn update(session: &Session) -> Result<String, Failure> {
    let program = console(session)?;
    let limits = session.limits();
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

/// Matomo's console as the owner of Matomo's files, so that what it writes is not root's.
fn console(session: &Session) -> Result<Program, Failure> {
    let command = format!("{} core:update --yes --no-interaction --no-ansi", session.settings.console);
    let program = Program::shell(&command).folder(session.place.folder()).label("core:update");
    // Matomo may want its password of the database from the environment; ours it does not need.
    let ours = SECRETS.iter().filter(|name| **name != "MATOMO_DATABASE_PASSWORD");
    let program = ours.fold(program, |program, name| program.env_remove(name));
    Ok(match console_user(session)? {
        Some(user) => program.user(user),
        None => program,
    })
}

/// Whom root has to become for Matomo's console.
///
/// # Errors
/// When RUN_AS_USER names nobody.
pub fn console_user(session: &Session) -> Result<Option<User>, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let folder = session.place.folder();
    let written = [session.place.config().path().to_owned(), folder.join("tmp"), folder.join("config")];
    session.settings.run_as.user(&written).map_err(|error| {
        let help = error.help();
        Failure::new(Exit::Config, error).help(help)
    })
}

fn rollback(session: &Session, set: &Set, failure: &Failure) -> Failure {
    let sentence = sentence(failure.error.as_ref());
    history::note(session, "upgrade", false, &sentence, Some(&set.name));
    let version = set.manifest.database.matomo.as_deref().unwrap_or("the version before");
    let command = restore::command_for(&set.name);
    error!(rollback = command, version, "Upgrade failed; Matomo stays locked");
    Failure::new(failure.exit, format!("the upgrade failed: {sentence}")).help(format!(
        "Matomo stays locked, and the set was made under the lock or proven equal to the database: the way back loses nothing. To go back: start the image of Matomo {version}, then `{command}`, then `maintenance unlock`. \
         To try again: `maintenance upgrade-guard`"
    ))
}
