//! `check`: settings and surroundings, everything at once.

use std::fs;

use serde::Serialize;
use shared::entry::{Exit, Failure};
use shared::process::Limits;

use super::{Report, block_on, reading, tell};
use crate::backup::first_line;
use crate::database::{Account, program};
use crate::probe::Half;
use crate::rehearse::scratch;
use crate::session::Session;
use crate::{plugins, upgrade};

/// One finding.
#[derive(Debug, Serialize)]
struct Finding {
    /// `ok`, `advice` or `fault`.
    kind: &'static str,
    what: String,
    help: Option<String>,
    #[serde(skip)]
    exit: Option<Exit>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, what: impl Into<String>) {
        self.0.push(Finding { kind: "ok", what: what.into(), help: None, exit: None });
    }

    fn advice(&mut self, what: impl Into<String>, help: impl Into<String>) {
        self.0.push(Finding { kind: "advice", what: what.into(), help: Some(help.into()), exit: None });
    }

    fn fault(&mut self, exit: Exit, what: impl Into<String>, help: impl Into<String>) {
        self.0.push(Finding { kind: "fault", what: what.into(), help: Some(help.into()), exit: Some(exit) });
    }

    fn failure(&mut self, failure: &Failure) {
        self.fault(failure.exit, crate::sentence(failure.error.as_ref()), failure.help.clone().unwrap_or_default());
    }
}

/// Reports on everything that the other commands need.
pub fn check(report: Report) -> Result<Exit, Failure> {
    let session = reading()?;
    let mut findings = Findings::default();
    findings.good("settings can be used");
    volume(&session, &mut findings);
    if session.settings.backup_key.is_some() {
        findings.good("sets are sealed, and a set without our seal is restored only with --trust");
    }
    matomo(&session, &mut findings);
    console(&session, &mut findings);
    block_on(async {
        programs(&session, &mut findings).await;
        database(&session, &mut findings).await;
        containers(&session, &mut findings).await;
    })?;
    let exit = findings.0.iter().find_map(|finding| finding.exit).unwrap_or(Exit::Done);
    tell(report, &findings.0, || words(&findings.0));
    Ok(exit)
}

fn words(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { kind, what, help, .. } in findings {
        let kind = if *kind == "fault" { "FAULT" } else { kind };
        text += &format!("{kind:<7} {what}\n");
        if let Some(help) = help {
            text += &format!("        {help}\n");
        }
    }
    text
}

fn volume(session: &Session, findings: &mut Findings) {
    let folder = session.shelf.folder();
    let probe = folder.join(".check");
    match fs::create_dir_all(folder).and_then(|()| fs::write(&probe, b"")).and_then(|()| fs::remove_file(&probe)) {
        Ok(()) => findings.good(format!("sets can be written to {}", folder.display())),
        Err(error) => findings.fault(
            Exit::CannotCreate,
            format!("sets cannot be written to {}: {error}", folder.display()),
            "mount a volume there that our user may write, or set MAINTENANCE_DIR",
        ),
    }
}

fn matomo(session: &Session, findings: &mut Findings) {
    match session.config() {
        Ok(Some(config)) => {
            findings.good(format!("the configuration at {} can be edited", session.place.config().path().display()));
            let missing = plugins::missing(&session.place, &config);
            if !missing.is_empty() {
                findings.fault(Exit::Failed, plugins::missing_sentence(&missing), plugins::help(&missing));
            }
        }
        Ok(None) => findings.fault(
            Exit::Config,
            format!("there is no configuration at {}", session.place.config().path().display()),
            "mount Matomo's volume, or set MATOMO_DIR or MATOMO_CONFIG",
        ),
        Err(failure) => findings.failure(&failure),
    }
    match session.place.version() {
        Some(version) => {
            findings.good(format!("the code of Matomo {version} lies in {}", session.place.folder().display()));
        }
        None => findings.advice(
            format!("the version of Matomo's code cannot be read in {}", session.place.folder().display()),
            "a restore then cannot tell whether a schema fits; mount the folder of Matomo's code",
        ),
    }
}

fn console(session: &Session, findings: &mut Findings) {
    match upgrade::console_user(session) {
        Ok(Some(user)) => findings.good(format!("Matomo's console runs as {}:{}", user.uid, user.gid)),
        Ok(None) => findings.good("Matomo's console runs as ourselves"),
        Err(failure) => findings.failure(&failure),
    }
}

async fn programs(session: &Session, findings: &mut Findings) {
    for (name, package) in [("mariadb-dump", "mariadb-client"), ("mariadb", "mariadb-client"), ("tar", "tar")] {
        match first_line(program(name).arg("--version"), &Limits::default(), &session.shutdown).await {
            Some(version) => findings.good(version),
            None => findings.fault(
                Exit::Code(127),
                format!("{name} cannot be run"),
                format!("install the package {package}"),
            ),
        }
    }
}

async fn database(session: &Session, findings: &mut Findings) {
    let looked = async {
        let database = session.database(Account::Matomo).await?;
        let name = &database.connection.name;
        findings.good(format!("MariaDB {} answers", database.version().await?));
        let how = &database.connection.tls;
        findings.good(match database.encryption().await? {
            Some(cipher) => format!("the way to the database is encrypted ({cipher}): {how}"),
            None => format!("the way to the database is not encrypted ({})", how.by()),
        });
        let tables = database.tables(name).await?.len();
        findings
            .good(format!("the database {name} has {tables} tables, about {} MB", database.bytes(name).await? >> 20));
        let without = database.tables_without_transactions(name).await?;
        if !without.is_empty() {
            findings
                .advice(format!("not InnoDB: {}", without.join(", ")), "a backup does not see them as of one moment");
        }
        if database.things_besides_tables(name).await? > 0 {
            findings.advice(
                "the database has views, triggers, routines or events",
                "`restore` refuses a set with them; Matomo has none",
            );
        }
        Ok::<(), Failure>(())
    };
    if let Err(failure) = looked.await {
        findings.failure(&failure);
        return;
    }
    scratch_database(session, findings).await;
}

async fn scratch_database(session: &Session, findings: &mut Findings) {
    let tried = async {
        let database = session.database(Account::Root).await?;
        let name = scratch(&database.connection.name, "rehearsal");
        database.create_empty(&name).await?;
        database.drop_database(&name).await?;
        Ok::<(), Failure>(())
    };
    match tried.await {
        Ok(()) => findings.good("scratch databases can be created: `rehearse` and `restore` can work"),
        Err(failure) => findings.advice(
            format!("no scratch database can be created: {}", crate::sentence(failure.error.as_ref())),
            "`rehearse` and `restore` need it: set MARIADB_ROOT_PASSWORD, or grant the right (docs/maintenance.md)",
        ),
    }
}

async fn containers(session: &Session, findings: &mut Findings) {
    match session.probe() {
        Err(failure) => findings.failure(&failure),
        Ok(probe) => {
            for seen in probe.look().await {
                match (&seen.tracking, &seen.ui) {
                    (Half::Odd(_), _) | (_, Half::Odd(_)) => findings.fault(
                        Exit::Unavailable,
                        format!("Matomo does not answer as it should: {seen}"),
                        "is MATOMO_URL the address of Matomo, and is its database up?",
                    ),
                    _ => findings.good(seen.to_string()),
                }
            }
        }
    }
}
