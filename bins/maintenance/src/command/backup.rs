//! `backup`: one set now.

use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::{BackupOptions, block_on, start, tell};
use crate::backup;
use crate::database::Account;
use crate::session::Session;
use crate::set::Kind;

#[derive(Debug, Serialize)]
struct Planned {
    dry_run: bool,
    database: String,
    tables: usize,
    megabytes: u64,
    plugins: Vec<String>,
    files: Vec<String>,
    folder: String,
}

/// Takes a backup.
pub fn backup(options: &BackupOptions) -> Result<Exit, Failure> {
    let (settings, shutdown) = start(options.report)?;
    if options.dry_run {
        let session = Session::reading(settings, shutdown);
        let planned = block_on(plan(&session))??;
        tell(options.report, &planned, || words(&planned));
        return Ok(Exit::Done);
    }
    block_on(async {
        let lock = options.lock || settings.lock_backups;
        let session = Session::begin(settings, shutdown).await?;
        let set = backup::backup(&session, Kind::Backup, lock).await?;
        tell(options.report, &serde_json::json!({ "set": set.name, "manifest": set.manifest }), || {
            format!("{}\n", set.name)
        });
        Ok(Exit::Done)
    })?
}

async fn plan(session: &Session) -> Result<Planned, Failure> {
    let database = session.database(Account::Matomo).await?;
    let name = database.connection.name.clone();
    let unreadable =
        |error: std::io::Error| Failure::new(Exit::Config, format!("Matomo's folder cannot be listed: {error}"));
    Ok(Planned {
        dry_run: true,
        tables: database.tables(&name).await?.len(),
        megabytes: database.bytes(&name).await? >> 20,
        database: name,
        plugins: session.place.plugins().map_err(unreadable)?.into_iter().map(|plugin| plugin.name).collect(),
        files: session.place.files().map_err(unreadable)?.iter().map(|path| path.display().to_string()).collect(),
        folder: session.shelf.folder().display().to_string(),
    })
}

fn words(planned: &Planned) -> String {
    let Planned { database, tables, megabytes, plugins, files, folder, .. } = planned;
    format!(
        "would copy the database {database} ({tables} tables, about {megabytes} MB), the configuration, plugins ({}) and files ({}) to a new set in {folder}\n",
        plugins.join(", "),
        files.join(", ")
    )
}
