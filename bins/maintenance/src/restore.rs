//! `restore`: everything is put beside what is there, compared, and only then swapped in; a crash goes on or goes back.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::entry::{Exit, Failure};
use shared::files;
use tracing::{info, warn};

use crate::database::{Account, Database, Swap, program, quoted};
use crate::ini::{Document, FileTrouble};
use crate::rehearse::{compare, load, scratch};
use crate::session::Session;
use crate::set::{Content, Kind, Set, SetError, unpack_into, verify};
use crate::switch::Purpose;
use crate::{backup, history, sentence};

/// Below Matomo's folder, on the same file system: what comes in, and what went out.
const STAGE: &str = ".maintenance-restore";
const JOURNAL: &str = "restore.json";

/// What may be overruled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Take a set that does not verify, or whose schema is newer than the code.
    pub force: bool,
    /// Take the connection to the database from the set, instead of keeping the present one.
    pub connection_of_set: bool,
    /// Make no backup of what is there now.
    pub without_safety: bool,
}

/// How far a restore has come; on disk before each step that a crash must not repeat or forget.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Journal {
    phase: Phase,
    set: String,
    safety: Option<String>,
    live: String,
    tables: BTreeSet<String>,
    /// Files and folders to swap, as paths from Matomo's folder.
    items: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// Nothing that is in use was touched.
    Loading,
    /// Everything is ready and compared: it can only go forward.
    Swapping,
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
}

/// Puts a set in the place of what is there now.
///
/// # Errors
/// Whatever kept it from being done; before the swap nothing was changed, and the sentence says so.
pub async fn restore(session: &Session, set: &Set, options: Options) -> Result<Restored, Failure> {
    let result = attempt(session, set, options).await;
    match &result {
        Ok(restored) => {
            info!(set = set.name, rows = restored.rows, safety = restored.safety, "Restore is done");
            history::note(session, "restore", true, &format!("{} rows", restored.rows), Some(&set.name));
        }
        Err(failure) => history::note(session, "restore", false, &sentence(failure.error.as_ref()), Some(&set.name)),
    }
    result
}

async fn attempt(session: &Session, set: &Set, options: Options) -> Result<Restored, Failure> {
    judge(session, set, options)?;
    let has_config = session.place.config().path().exists();
    let work = inside(session, set, options);
    if has_config { session.while_locked(Purpose::Restore, work).await } else { work.await }
}

/// Whether the set may be restored here at all.
pub fn judge(session: &Session, set: &Set, options: Options) -> Result<(), Failure> {
    if let Err(error) = verify(set, &session.shutdown) {
        if !options.force || matches!(error, SetError::Stopped) {
            return Err(error.into());
        }
        warn!(why = sentence(&error), "The set does not verify and is used nevertheless, as asked");
    }
    let (code, schema) = (session.place.version(), set.manifest.database.matomo.clone());
    if let (Some(code), Some(schema)) = (&code, &schema) {
        match (is_newer(schema, code), is_newer(code, schema)) {
            (true, _) if !options.force => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("the schema in {} is of Matomo {schema}, and the code here is {code}: a newer schema does not fit older code", set.name),
                )
                .help(format!("start the image of Matomo {schema} first, then restore; or overrule with --force")));
            }
            (true, _) => warn!(schema, code, "A newer schema is restored under older code, as asked"),
            (_, true) => warn!(schema, code, "The schema is older than the code: run `console core:update` afterwards"),
            _ => {}
        }
    }
    Ok(())
}

/// `5.0.10` is newer than `5.0.9`, and `5.0.0` than `5.0.0-rc1`.
fn is_newer(one: &str, other: &str) -> bool {
    let parts = |version: &str| {
        let (numbers, suffix) =
            version.split_once('-').map_or((version, None), |(numbers, suffix)| (numbers, Some(suffix)));
        let numbers: Vec<u64> = numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        (numbers, suffix.is_none(), suffix.unwrap_or_default().to_owned())
    };
    parts(one) > parts(other)
}

async fn inside(session: &Session, set: &Set, options: Options) -> Result<Restored, Failure> {
    let database = session.database(Account::Root)?;
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
        items: items(set),
    };
    write(session, &journal)?;
    if let Err(failure) = prepare(session, &database, set, &mut journal, options).await {
        abandon(session, &database, &journal).await;
        return Err(failure);
    }
    journal.phase = Phase::Swapping;
    write(session, &journal)?;
    swap(session, &database, &journal).await.map_err(|failure| {
        let sentence =
            format!("the restore stopped in the middle of its last step: {}", sentence(failure.error.as_ref()));
        Failure::new(failure.exit, sentence).help(
            "run any changing command again (for example `maintenance unlock`): it goes on where this one stopped",
        )
    })?;
    Ok(Restored { set: set.name.clone(), safety, rows: set.manifest.rows() })
}

/// What the archives hold, as far as it is swapped as one.
fn items(set: &Set) -> Vec<PathBuf> {
    let plugins = set.manifest.plugins.iter().map(|plugin| Path::new("plugins").join(&plugin.name));
    if set.manifest.member(Content::Plugins).is_some() { plugins.collect() } else { Vec::new() }
}

/// Loads and unpacks everything beside what is in use, and compares.
async fn prepare(
    session: &Session,
    database: &Database<'_>,
    set: &Set,
    journal: &mut Journal,
    options: Options,
) -> Result<(), Failure> {
    let stage = session.place.folder().join(STAGE);
    let failed = |source| SetError::Io { action: "unpack into", path: stage.clone(), source };
    remove_if_there(&stage).map_err(failed)?;
    let new = stage.join("new");
    fs::create_dir_all(&new).map_err(failed)?;
    let (limits, shutdown) = (database.limits(), database.shutdown());
    for content in [Content::Plugins, Content::Files] {
        let Some(member) = set.manifest.member(content) else { continue };
        let owner = if rustix::process::geteuid().is_root() { "--same-owner" } else { "--no-same-owner" };
        let tar = program("tar").args(["--extract", "--file=-", "--numeric-owner", "--same-permissions", owner]);
        let tar = tar.arg("--directory").arg(&new);
        unpack_into(tar, &set.path(member), &member.name, "unpack it", (limits, shutdown)).await?;
    }
    journal.items = found_items(&new).map_err(failed)?;
    same_file_system(session, &stage, &journal.items)?;
    config(session, set, &new, options)?;
    let incoming = scratch(&journal.live, "restore");
    load(database, set, &incoming).await?;
    if database.things_besides_tables(&incoming).await? > 0 {
        return Err(Failure::new(
            Exit::Failed,
            "the set holds views, triggers, routines or events, which cannot be moved between databases",
        )
        .help("Matomo has none: restore this set by hand, `zstd -dc database.sql.zst | mariadb`"));
    }
    match compare(database, set, &incoming).await {
        Err(failure) if options.force => {
            warn!(why = sentence(failure.error.as_ref()), "It is restored nevertheless, as asked");
        }
        other => drop(other?),
    }
    let live = quoted(&journal.live);
    let before = scratch(&journal.live, "before");
    let statement = format!("CREATE DATABASE IF NOT EXISTS {live} CHARACTER SET utf8mb4;\n");
    if database.tables(&journal.live).await?.is_empty() {
        database.ask("create Matomo's database", &statement).await?;
    }
    database.create_empty(&before).await?;
    Ok(())
}

/// Plugins are swapped one by one, the other files file by file; `misc/user` as a folder.
fn found_items(new: &Path) -> io::Result<Vec<PathBuf>> {
    let mut items = Vec::new();
    for top in ["plugins", "misc", "config"] {
        let entries = match fs::read_dir(new.join(top)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for entry in entries {
            items.push(Path::new(top).join(entry?.file_name()));
        }
    }
    items.sort();
    Ok(items)
}

/// A rename does not cross file systems, and must not fail half way.
fn same_file_system(session: &Session, stage: &Path, items: &[PathBuf]) -> Result<(), Failure> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    for item in items {
        let place = session.place.folder().join(item);
        let parent = place.parent().unwrap_or(stage);
        let differs = |path: &Path| device(path).is_some_and(|found| Some(found) != device(stage));
        if differs(parent) || differs(&place) {
            return Err(Failure::new(
                Exit::Config,
                format!("{} lies on another volume than {}", place.display(), stage.display()),
            )
            .help(
                "mount Matomo as one volume, or unpack this member by hand: `zstd -dc … | tar -x`; nothing was changed",
            ));
        }
    }
    Ok(())
}

/// The configuration of the set with the present connection and, for now, the present switches.
fn config(session: &Session, set: &Set, new: &Path, options: Options) -> Result<(), Failure> {
    let unreadable = |trouble: FileTrouble| {
        let help = trouble.help();
        Failure::new(Exit::Failed, trouble).help(help)
    };
    let Some(member) = set.manifest.member(Content::Config) else { return Ok(()) };
    let path = set.path(member);
    let text = fs::read(&path).map_err(|source| SetError::Io { action: "read", path: path.clone(), source })?;
    let parsed = Document::parse(text).map_err(|source| FileTrouble::Text { path: path.clone(), source });
    let mut document = parsed.map_err(unreadable)?;
    if let Some(present) = session.config()? {
        if !options.connection_of_set {
            document.adopt_section(&present, "database");
        }
        if let Some(state) = session.switches_of_a_job().state()? {
            state.redo(&mut document);
        }
    }
    let written = files::replace_with_mode(&new.join("config.ini.php"), document.bytes(), 0o600);
    Ok(written?)
}

/// The last step; each part can be asked for again after a crash.
async fn swap(session: &Session, database: &Database<'_>, journal: &Journal) -> Result<(), Failure> {
    swap_tables(database, journal).await?;
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
    clear(session, database, journal).await;
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
async fn clear(session: &Session, database: &Database<'_>, journal: &Journal) {
    for purpose in ["restore", "before"] {
        let name = scratch(&journal.live, purpose);
        if let Err(error) = database.drop_database(&name).await {
            warn!(database = name, why = sentence(&error), "A database of the restore cannot be dropped");
        }
    }
    let _ = fs::remove_file(session.state_folder().join(JOURNAL));
    if let Err(error) = remove_if_there(&session.place.folder().join(STAGE)) {
        warn!(why = %error, "The folder of the restore cannot be removed");
    }
}

/// Nothing in use was touched yet: what was prepared goes.
async fn abandon(session: &Session, database: &Database<'_>, journal: &Journal) {
    clear(session, database, journal).await;
}

fn write(session: &Session, journal: &Journal) -> Result<(), Failure> {
    let text = serde_json::to_vec_pretty(journal).unwrap_or_default();
    Ok(files::replace_with_mode(&session.state_folder().join(JOURNAL), &text, 0o600)?)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
    let database = session.database(Account::Root)?;
    match journal.phase {
        Phase::Loading => {
            warn!(set = journal.set, "An interrupted restore had changed nothing; what it had prepared is removed");
            abandon(session, &database, &journal).await;
        }
        Phase::Swapping => {
            warn!(set = journal.set, safety = journal.safety, "An interrupted restore is brought to its end");
            swap(session, &database, &journal).await?;
        }
    }
    history::note(session, "repair", true, "an interrupted restore was settled", Some(&journal.set));
    Ok(())
}

/// The words by which a person restores a set.
pub fn command_for(set: &str) -> String {
    format!("maintenance restore {set} --yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_newer("5.0.10", "5.0.9") && is_newer("5.1.0", "5.0.10") && is_newer("5.0.0", "5.0.0-rc1"));
        assert!(!is_newer("5.0.2", "5.0.2") && !is_newer("4.16.1", "5.0.0"));
    }

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
