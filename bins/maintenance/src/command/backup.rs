//! `backup`: one set now.

use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::{BackupOptions, block_on, start, tell};
use crate::database::Account;
use crate::session::Session;
use crate::set::Kind;
use crate::{backup, plugins};

#[derive(Debug, Serialize)]
struct Planned {
    dry_run: bool,
    database: String,
    tables: usize,
    megabytes: u64,
    plugins: Vec<String>,
    /// Installed by the configuration, and not there.
    missing_plugins: Vec<String>,
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
        return Ok(if planned.missing_plugins.is_empty() { Exit::Done } else { Exit::Failed });
    }
    block_on(async {
        let lock = options.lock || settings.lock_backups;
        let session = Session::begin(settings, shutdown).await?;
        let set = backup::backup(&session, Kind::Backup, lock).await?;
        tell(options.report, &serde_json::json!({ "set": set.name, "manifest": set.manifest }), || {
            format!("{}\n", set.name)
        });
        plugins::judge_made(&session.place, &set)?;
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
        missing_plugins: plugins::missing(&session.place, &session.present_config()?),
        files: session.place.files().map_err(unreadable)?.iter().map(|path| path.display().to_string()).collect(),
        folder: session.shelf.folder().display().to_string(),
    })
}

fn words(planned: &Planned) -> String {
    let Planned { database, tables, megabytes, plugins: kept, files, folder, .. } = planned;
    let missing = match &planned.missing_plugins[..] {
        [] => String::new(),
        names => format!("FAULT   {}\n        {}\n", plugins::missing_sentence(names), plugins::help(names)),
    };
    format!(
        "would copy the database {database} ({tables} tables, about {megabytes} MB), the configuration, plugins ({}) and files ({}) to a new set in {folder}\n{missing}",
        kept.join(", "),
        files.join(", ")
    )
}
