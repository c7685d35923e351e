//! `status`: switches, answers of the containers, versions, and the newest backup; nothing is changed.

use jiff::Timestamp;
use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::{Report, block_on, reading, tell};
use crate::database::Account;
use crate::ini::Document;
use crate::probe::{Seen, Wanted};
use crate::session::Session;
use crate::set::{Kind, Set};
use crate::switch::{Effective, State, effective};
use crate::{plugins, restore};

#[derive(Debug, Serialize)]
struct Newest {
    name: String,
    ended: Timestamp,
    age_seconds: i64,
    rehearsed: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Status {
    /// What the configuration says.
    switches: Option<Effective>,
    /// Since when and by whom they are off.
    locked: Option<String>,
    /// What an interrupted run left to repair.
    interrupted: Option<String>,
    busy: bool,
    containers: Vec<Seen>,
    code_of_matomo: Option<String>,
    schema_of_matomo: Option<String>,
    newest_backup: Option<Newest>,
    /// When a set was last restored in a rehearsal, and found good.
    last_rehearsal: Option<Timestamp>,
    unusable_sets: Vec<String>,
    /// What could not be found out.
    troubles: Vec<String>,
}

/// Shows everything that is known.
pub fn status(report: Report) -> Result<Exit, Failure> {
    let session = reading()?;
    let status = block_on(look(&session))??;
    tell(report, &status, || words(&status));
    let is_good = status.troubles.is_empty() && status.unusable_sets.is_empty();
    Ok(if is_good { Exit::Done } else { Exit::Failed })
}

async fn look(session: &Session) -> Result<Status, Failure> {
    let mut troubles = Vec::new();
    let config = config(session, &mut troubles);
    let schema = schema(session).await.unwrap_or_else(|failure| {
        troubles.push(crate::sentence(failure.error.as_ref()));
        None
    });
    let (sets, bad) = session.shelf.sets()?;
    let newest = sets.iter().rfind(|set| set.manifest.kind != Kind::Safety);
    let busy = session.is_busy();
    let containers = session.probe()?.look().await;
    if let Some(Effective { tracking, ui }) = config.as_ref().map(effective) {
        let wanted = Wanted { tracking: Some(tracking), ui: Some(ui) };
        let otherwise = containers.iter().filter(|seen| !wanted.met_by(seen));
        troubles.extend(otherwise.map(|seen| format!("{} does not do what the configuration says", seen.container)));
    }
    let by_job = session.switches_of_a_job().state()?;
    let (by_upgrade, by_hand) = (session.switches_of_an_upgrade().state()?, session.switches().state()?);
    if !busy {
        troubles.extend(left_behind(session, by_job.is_some(), by_upgrade.is_some() && by_hand.is_none()));
    }
    troubles.extend(versions(session.place.version().as_deref(), schema.as_deref()));
    troubles.extend(of_plugins(session, config.as_ref(), newest));
    troubles.extend(newest.and_then(of_rehearsal));
    Ok(Status {
        switches: config.as_ref().map(effective),
        // That of a person counts: it lasts longest.
        locked: by_hand.or(by_upgrade).as_ref().map(described),
        interrupted: by_job.as_ref().filter(|_| !busy).map(described),
        busy,
        containers,
        code_of_matomo: session.place.version(),
        schema_of_matomo: schema,
        newest_backup: newest.map(Newest::of),
        last_rehearsal: sets.iter().filter_map(rehearsed).max(),
        unusable_sets: bad.iter().map(|error| crate::sentence(error)).collect(),
        troubles,
    })
}

fn config(session: &Session, troubles: &mut Vec<String>) -> Option<Document> {
    match session.config() {
        Ok(Some(config)) => return Some(config),
        Ok(None) => {
            troubles.push(format!("there is no configuration at {}", session.place.config().path().display()));
        }
        Err(failure) => troubles.push(crate::sentence(failure.error.as_ref())),
    }
    None
}

fn described(state: &State) -> String {
    format!("{} since {}", state.purpose.word(), state.since.strftime("%Y-%m-%d %H:%M:%SZ"))
}

fn rehearsed(set: &Set) -> Option<Timestamp> {
    set.rehearsal.as_ref().filter(|rehearsal| rehearsal.good).map(|rehearsal| rehearsal.at)
}

impl Newest {
    fn of(set: &Set) -> Self {
        Self {
            name: set.name.clone(),
            ended: set.manifest.ended,
            age_seconds: set.manifest.ended.duration_until(Timestamp::now()).as_secs(),
            rehearsed: rehearsed(set),
        }
    }
}

fn of_rehearsal(newest: &Set) -> Option<String> {
    let failed = newest.rehearsal.as_ref().filter(|rehearsal| !rehearsal.good)?;
    Some(format!("the newest backup failed its rehearsal: {}", failed.found))
}

/// What a run that came to no end left.
fn left_behind(session: &Session, by_job: bool, by_upgrade: bool) -> Vec<String> {
    let mut troubles = Vec::new();
    if by_job || restore::is_interrupted(session) {
        troubles.push(
            "a backup or restore was interrupted; `maintenance unlock`, or any command that changes something, brings it to an end"
                .to_owned(),
        );
    }
    if by_upgrade {
        troubles.push(
            "an upgrade failed, and Matomo is locked since: `maintenance history` names the set that leads back"
                .to_owned(),
        );
    }
    troubles
}

/// Code and schema that do not belong together.
fn versions(code: Option<&str>, schema: Option<&str>) -> Option<String> {
    let (code, schema) = (code?, schema?);
    if restore::is_newer(code, schema) {
        return Some(format!(
            "the schema of Matomo {schema} is older than the code ({code}): `maintenance upgrade-guard` updates it"
        ));
    }
    restore::is_newer(schema, code).then(|| {
        format!("the schema of Matomo {schema} is newer than the code ({code}): start the image of Matomo {schema}")
    })
}

/// Plugins that the configuration names, and that are not here or in no set.
fn of_plugins(session: &Session, config: Option<&Document>, newest: Option<&Set>) -> Vec<String> {
    let missing = config.map(|config| plugins::missing(&session.place, config)).unwrap_or_default();
    let mut troubles = Vec::new();
    if !missing.is_empty() {
        troubles.push(format!("{}: {}", plugins::missing_sentence(&missing), plugins::help(&missing)));
    }
    if let Some((set, lacking)) = newest.map(|set| (set, plugins::lacking(&session.place, set)))
        && !lacking.is_empty()
    {
        troubles.push(plugins::lacking_sentence(&set.name, &lacking));
    }
    troubles
}

async fn schema(session: &Session) -> Result<Option<String>, Failure> {
    let database = session.database(Account::Matomo).await?;
    Ok(database.matomo_version(&database.connection.name, &database.connection.prefix).await?)
}

fn words(status: &Status) -> String {
    let word = |on: bool| if on { "on" } else { "off" };
    let or_unknown = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut text = String::new();
    if let Some(switches) = &status.switches {
        text +=
            &format!("configuration    tracking {}, user interface {}\n", word(switches.tracking), word(switches.ui));
    }
    if let Some(locked) = &status.locked {
        text += &format!("locked           {locked}; `maintenance unlock` gives the previous values back\n");
    }
    if let Some(interrupted) = &status.interrupted {
        text += &format!("INTERRUPTED      {interrupted}; the next command that changes something repairs it\n");
    }
    status.containers.iter().for_each(|seen| text += &format!("container        {seen}\n"));
    text += &format!(
        "matomo           code {}, schema {}\n",
        or_unknown(&status.code_of_matomo),
        or_unknown(&status.schema_of_matomo)
    );
    text += &match &status.newest_backup {
        None => "newest backup    none\n".to_owned(),
        Some(newest) => {
            let rehearsed = newest
                .rehearsed
                .map_or("never rehearsed".to_owned(), |at| format!("rehearsed {}", at.strftime("%Y-%m-%d %H:%M:%SZ")));
            format!("newest backup    {}, {} h old, {rehearsed}\n", newest.name, newest.age_seconds / 3600)
        }
    };
    if let Some(at) = status.last_rehearsal {
        text += &format!("last rehearsal   {}\n", at.strftime("%Y-%m-%d %H:%M:%SZ"));
    }
    if status.busy {
        text += "busy             a maintenance run is under way\n";
    }
    status.unusable_sets.iter().for_each(|why| text += &format!("UNUSABLE SET     {why}\n"));
    status.troubles.iter().for_each(|why| text += &format!("TROUBLE          {why}\n"));
    text
}
