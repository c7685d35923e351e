//! `restore`: says what it would do, and does it with `--yes`.

use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::{RestoreOptions, block_on, start, tell};
use crate::plugins;
use crate::restore::{self, Options};
use crate::session::Session;
use crate::set::Set;

/// What becomes of log lines that this database does not hold any more.
const LOGS: &str = "log-analytics notices by its marks on the ledger site (MATOMO_LEDGER_SITE) that the database went back to an earlier state, and sends those lines again";

#[derive(Debug, Serialize)]
struct Planned<'a> {
    dry_run: bool,
    set: &'a str,
    schema_of_matomo: Option<&'a str>,
    code_of_matomo: Option<String>,
    tables: usize,
    rows: u64,
    plugins: Vec<&'a str>,
    safety_backup: bool,
    /// Installed by the set's configuration, and neither in the set nor here.
    lacking_plugins: Vec<String>,
}

/// Restores a set.
pub fn restore(options: &RestoreOptions) -> Result<Exit, Failure> {
    let wanted = Options {
        force: options.force,
        connection_of_set: options.connection_of_set,
        without_safety: options.without_safety_backup,
        trust: options.trust.into(),
    };
    let (settings, shutdown) = start(options.report)?;
    if options.dry_run || !options.yes {
        let session = Session::reading(settings, shutdown);
        let set = session.shelf.find(&options.set)?;
        restore::judge(&session, &set, wanted)?;
        let planned = plan(&session, &set, wanted);
        tell(options.report, &planned, || words(&planned));
        // Who forgot --yes must not take this for done.
        return Ok(if options.dry_run { Exit::Done } else { Exit::Usage });
    }
    block_on(async {
        let session = Session::begin(settings, shutdown).await?;
        let set = session.shelf.find(&options.set)?;
        let restored = restore::restore(&session, &set, wanted).await?;
        tell(options.report, &restored, || {
            let safety =
                restored.safety.as_deref().map_or(String::new(), |name| format!("; what was there before is {name}"));
            let unproved = restored.unproved.as_deref().map_or(String::new(), |answers| {
                format!("NOT CHECKED: Matomo does not answer ({answers}); start it, then `maintenance status`\n")
            });
            format!("{} is in force, {} rows{safety}\n{LOGS}\n{unproved}", restored.set, restored.rows)
        });
        let lacking = plugins::lacking_here(&session.place, &set);
        if !lacking.is_empty() {
            let sentence = format!("{} is in force, but {}", set.name, plugins::lacking_sentence("it", &lacking));
            return Err(Failure::new(Exit::Failed, sentence).help(plugins::help(&lacking)));
        }
        // Done, but nobody has seen Matomo work with it.
        Ok(if restored.unproved.is_some() { Exit::Unavailable } else { Exit::Done })
    })?
}

fn plan<'a>(session: &Session, set: &'a Set, options: Options) -> Planned<'a> {
    Planned {
        dry_run: true,
        set: &set.name,
        schema_of_matomo: set.manifest.database.matomo.as_deref(),
        code_of_matomo: session.place.version(),
        tables: set.manifest.database.tables.len(),
        rows: set.manifest.rows(),
        plugins: set.manifest.plugins.iter().map(|plugin| plugin.name.as_str()).collect(),
        safety_backup: !options.without_safety,
        lacking_plugins: plugins::lacking_here(&session.place, set),
    }
}

fn words(planned: &Planned<'_>) -> String {
    let or_unknown = |version: Option<&str>| version.unwrap_or("unknown").to_owned();
    let lacking = match &planned.lacking_plugins[..] {
        [] => String::new(),
        names => {
            format!("FAULT   {}\n        {}\n", plugins::lacking_sentence(planned.set, names), plugins::help(names))
        }
    };
    format!(
        "would replace the database ({} tables, {} rows, schema of Matomo {}; the code is {}), the configuration and the plugins ({}) by those of {}{}\n{lacking}\
         nothing was changed; add --yes to do it\n",
        planned.tables,
        planned.rows,
        or_unknown(planned.schema_of_matomo),
        or_unknown(planned.code_of_matomo.as_deref()),
        planned.plugins.join(", "),
        planned.set,
        if planned.safety_backup { ", after a safety backup" } else { ", WITHOUT a safety backup" }
    )
}
