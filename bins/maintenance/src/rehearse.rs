//! `rehearse`: restores a set into a scratch database, compares it row by row count, and drops it again.

use std::time::Instant;

use jiff::Timestamp;
use shared::entry::{Exit, Failure};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use crate::database::{Account, Database, Fence, Tables};
use crate::session::Session;
use crate::set::{Content, Member, Rehearsal, Set, SetError, inspect, unpack, unpack_into, verify};
use crate::trust::Trust;
use crate::{history, sentence};

/// Tables without which Matomo does not start.
const ESSENTIAL: [&str; 3] = ["option", "site", "user"];

/// The database in which sets are tried.
pub fn scratch(live: &str, purpose: &str) -> String {
    format!("{live}_maintenance_{purpose}")
}

/// Restores a set into a scratch database and notes in the set what was found.
///
/// # Errors
/// When the set is damaged, differs, or the server refuses.
pub async fn rehearse(session: &Session, set: &Set, trust: Trust) -> Result<Rehearsal, Failure> {
    let began = Instant::now();
    trust.judge(session, set)?;
    verify(set, &session.shutdown)?;
    let database = session.database(Account::Root).await?;
    let name = scratch(&database.connection.name, "rehearsal");
    let result = match inspect_all(set, &database).await {
        Ok(()) => load_and_compare(&database, set, &name).await,
        Err(failure) => Err(failure),
    };
    if let Err(error) = database.drop_database(&name).await {
        warn!(
            database = name,
            why = sentence(&error),
            "The scratch database cannot be dropped; the next rehearsal does it"
        );
    }
    let found = match result {
        Ok(found) => Ok(found),
        // What the server refuses says nothing about the set.
        Err(failure) if failure.exit != Exit::Failed => {
            history::note(session, "rehearse", false, &sentence(failure.error.as_ref()), Some(&set.name));
            return Err(failure);
        }
        Err(failure) => Err(failure),
    };
    let rehearsal = Rehearsal {
        at: Timestamp::now(),
        good: found.is_ok(),
        found: found.as_ref().map_or_else(|failure| sentence(failure.error.as_ref()), Clone::clone),
        seconds: began.elapsed().as_secs(),
    };
    set.note(&rehearsal)?;
    history::note(session, "rehearse", rehearsal.good, &rehearsal.found, Some(&set.name));
    found?;
    info!(set = set.name, seconds = rehearsal.seconds, found = rehearsal.found, "Rehearsal was good");
    Ok(rehearsal)
}

async fn load_and_compare(database: &Database<'_>, set: &Set, name: &str) -> Result<String, Failure> {
    load(database, set, name).await?;
    let tables = compare(database, set, name).await?;
    boots(database, set, name, &tables).await?;
    Ok(format!("{} tables and {} rows are those of the set", tables.len(), tables.values().sum::<u64>()))
}

/// Loads the dump of a set into an empty database of this name.
///
/// # Errors
/// When the database cannot be created or the dump does not load.
pub async fn load(database: &Database<'_>, set: &Set, name: &str) -> Result<(), Failure> {
    database.create_empty(name).await.map_err(|error| {
        let refused = error.is_refusal() && !error.is_wrong_password();
        let failure = Failure::from(error);
        if refused { failure.help(grant(database, name)) } else { failure }
    })?;
    let Some(member) = set.manifest.member(Content::Database) else {
        return Err(SetError::Damaged { set: set.name.clone(), what: "it has no database".to_owned() }.into());
    };
    let Some(lodger) = database.lodger(name).await? else {
        fence(set, member, database.shutdown())?;
        return Ok(feed(database, set, member, name).await?);
    };
    let fed = feed(&lodger, set, member, name).await;
    database.dismiss(name).await;
    fed.map_err(|error| match &error {
        // This user may do everything in the scratch database, and is refused nothing but what is outside.
        SetError::Program { source, .. } if source.is_refusal() || source.is_refused_file() => {
            leaves(set, member, sentence(source)).into()
        }
        _ => error.into(),
    })
}

/// What the archives of a set hold, before anything of it is used.
///
/// # Errors
/// When it is not what a set of ours holds.
pub async fn inspect_all(set: &Set, database: &Database<'_>) -> Result<(), Failure> {
    for content in [Content::Plugins, Content::Files] {
        if let Some(member) = set.manifest.member(content) {
            inspect(set, member, (database.limits(), database.shutdown())).await?;
        }
    }
    Ok(())
}

async fn feed(database: &Database<'_>, set: &Set, member: &Member, name: &str) -> Result<(), SetError> {
    // As a dump is written; it says so itself, but who wrote it may have meant otherwise.
    let mode = "--init-command=SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO'";
    let program = database.client().args([mode, "--binary-mode"]).arg(name);
    let control = (database.limits(), database.shutdown());
    unpack_into(program, &set.path(member), &member.name, &format!("load it into {name}"), control).await
}

/// Reads the dump first where nothing else would keep it in its database.
fn fence(set: &Set, member: &Member, shutdown: &Shutdown) -> Result<(), SetError> {
    let mut fence = Fence::default();
    let read = unpack(&set.path(member), |bytes| fence.feed(bytes) && !shutdown.requested());
    let whole = read.map_err(|source| SetError::Io { action: "read", path: set.path(member), source })?;
    match (fence.finish(), whole) {
        (_, None) if shutdown.requested() => Err(SetError::Stopped),
        (Err(left), _) => Err(leaves(set, member, left.to_string())),
        (Ok(()), _) => Ok(()),
    }
}

fn leaves(set: &Set, member: &Member, why: String) -> SetError {
    let what = if why.contains("leaves its own database") {
        why
    } else {
        format!("the dump leaves its own database, or holds views, triggers, routines or events of another user: {why}")
    };
    SetError::Hostile { set: set.name.clone(), what: format!("{}: {what}", member.name) }
}

fn grant(database: &Database<'_>, name: &str) -> String {
    let pattern = format!("{}\\_maintenance\\_%", database.connection.name.replace('_', "\\_"));
    format!(
        "set MARIADB_ROOT_PASSWORD (or _FILE), or let Matomo's user work in databases such as {name}: \
         GRANT ALL ON `{pattern}`.* TO '{}'@'%'",
        database.connection.user
    )
}

/// The tables of a database, if they and their rows are those of the set.
///
/// # Errors
/// When they are not, with the first differences.
pub async fn compare(database: &Database<'_>, set: &Set, name: &str) -> Result<Tables, Failure> {
    const SHOWN_MAX: usize = 5;
    let expected = &set.manifest.database.tables;
    let names = database.tables(name).await?;
    let found = database.count(name, names.iter()).await?;
    let all: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let word = |rows: Option<&u64>| rows.map_or("no table".to_owned(), |rows| format!("{rows} rows"));
    let differences: Vec<String> = all
        .into_iter()
        .filter(|table| expected.get(*table) != found.get(*table))
        .map(|table| format!("{table}: {} in the set, {} restored", word(expected.get(table)), word(found.get(table))))
        .collect();
    if differences.is_empty() {
        return Ok(found);
    }
    let shown = differences.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
    let sentence =
        format!("the restored database differs from the set {} in {} tables: {shown}", set.name, differences.len());
    Err(Failure::new(Exit::Failed, sentence).help("do not trust this set; take a new backup and rehearse that"))
}

/// What Matomo reads first when it starts.
async fn boots(database: &Database<'_>, set: &Set, name: &str, tables: &Tables) -> Result<(), Failure> {
    let facts = &set.manifest.database;
    let missing: Vec<String> = ESSENTIAL
        .iter()
        .map(|table| format!("{}{table}", facts.prefix))
        .filter(|table| !tables.contains_key(table))
        .collect();
    if !missing.is_empty() {
        return Err(Failure::new(Exit::Failed, format!("Matomo cannot start on it: {} missing", missing.join(", ")))
            .help("is MATOMO_DATABASE_NAME the database of Matomo?"));
    }
    let version = database.matomo_version(name, &facts.prefix).await?;
    if version != facts.matomo {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "the restored schema is of Matomo {}, the set says {}",
                or_unknown(&version),
                or_unknown(&facts.matomo)
            ),
        ));
    }
    Ok(())
}

fn or_unknown(version: &Option<String>) -> &str {
    version.as_deref().unwrap_or("unknown")
}
