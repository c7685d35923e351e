//! Loads and unpacks a set beside what is in use, and compares, so that nothing can fail once the swap begins.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use shared::entry::{Exit, Failure};
use shared::files;
use tracing::warn;

use super::journal::Journal;
use super::swap::remove_if_there;
use super::{Options, STAGE};
use crate::database::{Database, program, quoted};
use crate::ini::{Document, FileTrouble};
use crate::rehearse::{compare, load, scratch};
use crate::sentence;
use crate::session::Session;
use crate::set::{Content, Set, SetError, unpack_into};

/// Loads and unpacks everything beside what is in use, and compares.
pub(super) async fn prepare(
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
    unpack_archives(set, database, &new).await?;
    journal.items = found_items(&new).map_err(failed)?;
    keep_release_plugins(session, &mut journal.items);
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

/// What was listed and found good before; the folder is empty and ours alone.
async fn unpack_archives(set: &Set, database: &Database<'_>, new: &Path) -> Result<(), Failure> {
    let (limits, shutdown) = (database.limits(), database.shutdown());
    for content in [Content::Plugins, Content::Files] {
        let Some(member) = set.manifest.member(content) else { continue };
        let owner = if rustix::process::geteuid().is_root() { "--same-owner" } else { "--no-same-owner" };
        let tar = program("tar").args(["--extract", "--file=-", "--numeric-owner", "--same-permissions", owner]);
        let tar = tar.arg("--directory").arg(new);
        unpack_into(tar, &set.path(member), &member.name, "unpack it", (limits, shutdown)).await?;
    }
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

/// What comes with the code that is here fits it, and what a set of another release, or of a stranger, holds may not.
fn keep_release_plugins(session: &Session, items: &mut Vec<PathBuf>) {
    let release = session.place.release_plugins();
    items.retain(|item| {
        let name = item.strip_prefix("plugins").ok().and_then(Path::to_str);
        let is_ours = name.is_some_and(|name| release.contains(name));
        if is_ours {
            warn!(plugin = name, "The plugin of the set is left aside: one of this name comes with this Matomo");
        }
        !is_ours
    });
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
