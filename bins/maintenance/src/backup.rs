//! `backup`: one set of everything, made aside, and named only when it is whole.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shared::entry::{Exit, Failure};
use shared::process::{Limits, Program};
use shared::shutdown::Shutdown;
use tokio::io::AsyncReadExt as _;
use tracing::{info, warn};

use crate::database::{Account, Database, DumpScan, Scanned, program};
use crate::ini::Document;
use crate::session::{Session, Witness};
use crate::set::{
    Content, DatabaseFacts, Draft, Entry, EntryKind, Kind, Manifest, Member, Refusal, Set, SetError, judge_entry,
    pack_program, pack_text,
};
use crate::switch::{Halves, Purpose};
use crate::{history, sentence};

/// Asks a server that is not there, or a password that is wrong, before anything is written.
struct Facts {
    server: String,
    client: String,
    matomo: Option<String>,
    bytes: u64,
    at: i64,
}

/// Takes a backup, with the switches off meanwhile if asked for.
///
/// # Errors
/// Whatever kept it from being whole; nothing is left of it then, and earlier sets are untouched.
pub async fn backup(session: &Session, kind: Kind, lock: bool) -> Result<Set, Failure> {
    let began = Timestamp::now();
    let result = attempt(session, kind, lock).await;
    match &result {
        Ok(set) => {
            let seconds = began.duration_until(Timestamp::now()).as_secs();
            let manifest = &set.manifest;
            info!(
                set = set.name,
                seconds,
                tables = manifest.database.tables.len(),
                rows = manifest.rows(),
                megabytes = manifest.bytes() >> 20,
                plugins = manifest.plugins.len(),
                "Backup is whole"
            );
            history::note(
                session,
                "backup",
                true,
                &format!("{} rows in {seconds} s", manifest.rows()),
                Some(&set.name),
            );
        }
        Err(failure) => history::note(session, "backup", false, &sentence(failure.error.as_ref()), None),
    }
    result
}

async fn attempt(session: &Session, kind: Kind, lock: bool) -> Result<Set, Failure> {
    let config = as_wanted(session, session.present_config()?)?;
    let database = session.database(Account::Matomo).await?;
    let facts = facts(&database).await?;
    room(session, facts.bytes)?;
    let draft = session.shelf.begin(kind, Timestamp::now())?;
    let members = async { Ok(members(session, &draft, &database, &config).await?) };
    let made =
        if lock { session.while_locked(Purpose::Backup, Witness::Present, members).await } else { members.await };
    let committed = made.and_then(|(members, scanned)| {
        let manifest = manifest(session, (&draft, kind, lock), (&database, facts, scanned), &config, members)?;
        Ok((manifest, draft))
    });
    // Whatever failed, the draft is swept by the next start; now is better.
    let (manifest, draft) = match committed {
        Ok(whole) => whole,
        Err(failure) => {
            session.shelf.sweep();
            return Err(failure);
        }
    };
    let set = match draft.commit(&session.shelf, &manifest, session.settings.backup_key.as_ref()) {
        Ok(set) => set,
        Err(error) => {
            session.shelf.sweep();
            return Err(error.into());
        }
    };
    // The set that a restore is about to need may be the oldest of all: the next backup looks at what may go.
    if kind != Kind::Safety {
        retain(session);
    }
    if lock {
        prove_unlocked(session, &set).await?;
    }
    Ok(set)
}

/// The set is whole whatever Matomo answers now.
async fn prove_unlocked(session: &Session, set: &Set) -> Result<(), Failure> {
    let proved = session.prove(Halves::BOTH, Witness::Present).await;
    proved.map(drop).map_err(|failure| {
        let sentence =
            format!("{} is whole and the lock is undone, but {}", set.name, sentence(failure.error.as_ref()));
        Failure::new(failure.exit, sentence).help("`maintenance status` asks again")
    })
}

fn retain(session: &Session) {
    // The set that leads back from an update stays until that is settled, however many backups are taken meanwhile.
    if !matches!(session.switches_of_an_upgrade().state(), Ok(None)) {
        return;
    }
    match session.shelf.retain(session.rule(), Timestamp::now()) {
        Ok(names) => names.iter().for_each(|name| info!(set = name, "An old set was removed")),
        Err(error) => warn!(why = sentence(&error), "Old sets cannot be removed"),
    }
}

/// The configuration as it is when nothing is locked: what a person, an upgrade or a restore switched off for now is not
/// kept.
fn as_wanted(session: &Session, mut config: Document) -> Result<Document, Failure> {
    for switches in session.locks() {
        if let Some(state) = switches.state()? {
            state.undo(&mut config);
        }
    }
    Ok(config)
}

fn is_locked(session: &Session) -> Result<bool, Failure> {
    for switches in session.locks() {
        if switches.state()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn facts(database: &Database<'_>) -> Result<Facts, Failure> {
    let name = &database.connection.name;
    let server = database.version().await?;
    let tables = database.tables(name).await?;
    if tables.is_empty() {
        return Err(Failure::new(Exit::Config, format!("the database {name} holds no table"))
            .help("is MATOMO_DATABASE_NAME right? a backup of nothing would look like one of something"));
    }
    let without = database.tables_without_transactions(name).await?;
    if !without.is_empty() {
        warn!(
            tables = without.join(" "),
            "Tables without transactions are not copied as of one moment; convert them to InnoDB"
        );
    }
    let matomo = database.matomo_version(name, &database.connection.prefix).await.unwrap_or_else(|error| {
        warn!(why = sentence(&error), "The database does not say which Matomo it belongs to");
        None
    });
    let client = first_line(program("mariadb-dump").arg("--version"), database.limits(), database.shutdown()).await;
    let (at, _) = database.now_and_start().await?;
    Ok(Facts { server, client: client.unwrap_or_default(), matomo, bytes: database.bytes(name).await?, at })
}

/// The first line that a program writes.
pub async fn first_line(program: Program, limits: &Limits, shutdown: &Shutdown) -> Option<String> {
    let mut running = program.quiet().stdout_as_stream().start().ok()?;
    let stdout = running.take_stdout()?;
    let mut text = Vec::new();
    let mut bounded = stdout.take(4096);
    let (read, ended) = tokio::join!(bounded.read_to_end(&mut text), running.supervise(limits, shutdown));
    read.ok().filter(|_| ended.succeeded())?;
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
}

/// Room for one and a half times the newest set, or for half of the database where there is none.
fn room(session: &Session, database_bytes: u64) -> Result<(), SetError> {
    let folder = session.shelf.folder();
    let newest = session.shelf.sets()?.0.last().map(|set| set.manifest.bytes() / 2 * 3);
    let needed = newest.unwrap_or(database_bytes / 2);
    let failed = |source: rustix::io::Errno| SetError::Io {
        action: "look for room in",
        path: folder.to_owned(),
        source: source.into(),
    };
    let volume = rustix::fs::statvfs(folder).map_err(failed)?;
    let free = volume.f_bavail.saturating_mul(volume.f_frsize);
    if free < needed {
        return Err(SetError::Room { folder: folder.to_owned(), free_mb: free >> 20, needed_mb: needed >> 20 });
    }
    Ok(())
}

type Made = (Vec<Member>, Scanned);

async fn members(
    session: &Session,
    draft: &Draft,
    database: &Database<'_>,
    config: &Document,
) -> Result<Made, SetError> {
    let level = i32::try_from(session.settings.zstd_level.get()).unwrap_or(3);
    let control = (database.limits(), database.shutdown());
    let name = "database.sql.zst";
    let place = (draft.folder(), name, Content::Database);
    let watch: (_, fn(&mut DumpScan, &[u8])) = (DumpScan::default(), DumpScan::feed);
    let (dump, scan) = pack_program(database.dump(), place, level, control, watch).await?;
    let scanned = scan.finish().map_err(|source| SetError::Dump { member: name.to_owned(), source })?;
    let mut members = vec![dump, pack_text(draft.folder(), "config.ini.php", Content::Config, config.bytes())?];
    let failed = |path: &str| {
        let path = session.place.folder().join(path);
        move |source| SetError::Io { action: "list", path, source }
    };
    let plugins = session.place.plugins().map_err(failed("plugins"))?;
    let plugins: Vec<PathBuf> = plugins.iter().map(|plugin| Path::new("plugins").join(&plugin.name)).collect();
    let files = session.place.files().map_err(failed("misc"))?;
    for (name, content, paths) in
        [("plugins.tar.zst", Content::Plugins, plugins), ("files.tar.zst", Content::Files, files)]
    {
        if !paths.is_empty() {
            let tar = archive(session.place.folder(), &paths).map_err(failed(&name.replace(".tar.zst", "")))?;
            let (member, ()) =
                pack_program(tar, (draft.folder(), name, content), level, control, ((), |(), _| {})).await?;
            members.push(member);
        }
    }
    Ok((members, scanned))
}

/// Paths are read as they are, owners by number, in an order that does not change. A plugin whose folder is a link is taken
/// for what the link leads to; what a restore would refuse stays outside, and is named.
fn archive(folder: &Path, paths: &[PathBuf]) -> io::Result<Program> {
    let mut tar = program("tar").args(["--create", "--file=-", "--numeric-owner", "--sort=name", "--format=posix"]);
    tar = tar.args(["--anchored", "--no-wildcards", "--transform=s,/\\.\\(/\\|$\\),\\1,S"]);
    for path in paths {
        for (left_out, refusal) in refused(folder, path)? {
            warn!(path = %left_out.display(), why = refusal.word(), "It is left out of the backup, for a restore would refuse it");
            tar = tar.arg(argument("--exclude=", &left_out));
            // Below a link, tar calls it by another name.
            if let Ok(rest) = left_out.strip_prefix(path) {
                tar = tar.arg(argument("--exclude=", &path.join(".").join(rest)));
            }
        }
    }
    let names = paths.iter().map(|path| match fs::symlink_metadata(folder.join(path)) {
        Ok(found) if found.is_symlink() => path.join("."),
        _ => path.clone(),
    });
    Ok(tar.arg("--directory").arg(folder).arg("--").args(names))
}

fn argument(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}

/// What of an item a restore would refuse.
fn refused(folder: &Path, item: &Path) -> io::Result<Vec<(PathBuf, Refusal)>> {
    let mut found = Vec::new();
    let mut waiting = vec![item.to_owned()];
    while let Some(path) = waiting.pop() {
        let place = folder.join(&path);
        let is_item = path == item;
        // The item itself may be a link, and is taken for what it leads to.
        let metadata = if is_item { fs::metadata(&place) } else { fs::symlink_metadata(&place) }?;
        let entry = entry(&path, &metadata, &place);
        match judge_entry(&entry, Some(item)) {
            Err(refusal) => found.push((path, refusal)),
            Ok(()) if metadata.is_dir() => {
                // What cannot be read is for tar to say.
                let entries = fs::read_dir(&place).into_iter().flatten().filter_map(Result::ok);
                waiting.extend(entries.map(|entry| path.join(entry.file_name())));
            }
            Ok(()) => {}
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

fn entry(path: &Path, metadata: &fs::Metadata, place: &Path) -> Entry {
    let kind = match metadata.file_type() {
        it if it.is_dir() => EntryKind::Folder,
        it if it.is_file() => EntryKind::File,
        it if it.is_symlink() => EntryKind::Link,
        _ => EntryKind::Other,
    };
    let target = if metadata.is_symlink() { fs::read_link(place).unwrap_or_default() } else { PathBuf::new() };
    Entry { path: path.to_owned(), kind, changes_user: metadata.mode() & 0o6000 != 0, target }
}

fn manifest(
    session: &Session,
    (draft, kind, locked): (&Draft, Kind, bool),
    (database, facts, scanned): (&Database<'_>, Facts, Scanned),
    config: &Document,
    members: Vec<Member>,
) -> Result<Manifest, Failure> {
    Ok(Manifest {
        format: 1,
        made_by: concat!("maintenance ", env!("CARGO_PKG_VERSION")).to_owned(),
        kind,
        sequence: draft.sequence(),
        began: draft.began(),
        ended: Timestamp::now(),
        matomo: session.place.version(),
        locked: locked || is_locked(session)?,
        database: DatabaseFacts {
            name: database.connection.name.clone(),
            prefix: database.connection.prefix.clone(),
            server: facts.server,
            client: facts.client,
            matomo: facts.matomo,
            tables: scanned.tables,
            highest: scanned.highest,
            at: Some(facts.at),
        },
        release_plugins: session.place.release_plugins().into_iter().collect(),
        plugins: session.place.plugins().unwrap_or_default(),
        config_keys: config.keys(),
        members,
    })
}
