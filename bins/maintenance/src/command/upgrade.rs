//! `upgrade-guard`: the update of the schema, behind a lock and a proven backup.

use shared::config::Span;
use shared::entry::{Exit, Failure};

use super::{UpgradeOptions, block_on, start, tell};
use crate::database::Account;
use crate::session::Session;
use crate::upgrade::{self, Options};

/// Guards an upgrade.
pub fn upgrade(options: &UpgradeOptions) -> Result<Exit, Failure> {
    let (settings, shutdown) = start(options.report)?;
    if options.dry_run {
        let session = Session::reading(settings, shutdown);
        return block_on(plan(&session, options))?;
    }
    block_on(async {
        let session = Session::begin(settings, shutdown).await?;
        let wanted = Options { fresh: options.fresh.map(Span::get), rehearse: options.rehearse };
        let upgraded = upgrade::guard(&session, wanted).await?;
        tell(options.report, &upgraded, || {
            let lock = if upgraded.still_locked {
                "; Matomo stays locked as before the upgrade: `maintenance unlock` ends that"
            } else {
                ""
            };
            format!("the schema is of Matomo {}{lock}\n", upgraded.schema_of_matomo)
        });
        Ok(Exit::Done)
    })?
}

async fn plan(session: &Session, options: &UpgradeOptions) -> Result<Exit, Failure> {
    let database = session.database(Account::Matomo).await?;
    let schema = database.matomo_version(&database.connection.name, &database.connection.prefix).await?;
    let (code, containers) = (session.place.version(), session.probe()?.count());
    let value = serde_json::json!({ "dry_run": true, "schema_of_matomo": schema, "code_of_matomo": code, "containers": containers });
    tell(options.report, &value, || {
        format!(
            "would lock Matomo, take and verify a backup, and run `{} core:update` (schema {}, code {}, {containers} container(s); there must be one)\n",
            session.settings.console,
            schema.as_deref().unwrap_or("unknown"),
            code.as_deref().unwrap_or("unknown")
        )
    });
    Ok(if containers > 1 { Exit::TryAgain } else { Exit::Done })
}
