//! `check`: settings and surroundings, everything at once.

use std::time::SystemTime;

use shared::entry::{Exit, Failure};
use shared::findings::Findings;

use crate::config::Settings;
use crate::discover::{self, SiteId, Unlisted};
use crate::ledger::{Ledger, ShellState};
use crate::matomo::{Matomo, Refusal, sentence};
use crate::pipeline::ledger_site_refusal;
use crate::trouble;

/// The name of the site that `--create-ledger-site` makes.
const LEDGER_SITE_NAME: &str = "Import ledger (log-analytics)";
const LEDGER_SITE_URL: &str = "http://ledger.invalid";

/// Reports on everything that an import needs.
pub fn check(create_ledger_site: bool) -> Result<Exit, Failure> {
    let settings = super::settings()?;
    let mut findings = Findings::default();
    findings.good("settings can be used");
    volume(&settings, &mut findings);
    let matomo = settings.matomo().map_err(|error| Failure::new(Exit::Config, error))?;
    super::block_on(server(&settings, &matomo, create_ledger_site, &mut findings))?;
    super::say(findings.text());
    Ok(findings.exit())
}

fn volume(settings: &Settings, findings: &mut Findings) {
    match Ledger::open(&settings.ledger_folder()).and_then(|ledger| ledger.try_to_write()) {
        Ok(()) => findings.good(&format!("the ledger can be written below {}", settings.ledger_folder().display())),
        Err(error) => findings.fault(Exit::CannotCreate, &sentence(&error), error.help()),
    }
}

/// Site folders that hold files to import, and the number of files.
fn sites(settings: &Settings, findings: &mut Findings) -> Vec<SiteId> {
    let folder = settings.logs_folder();
    match discover::discover(&folder, &settings.files, SystemTime::now(), settings.settle_time.get(), &|| false) {
        Ok(found) => {
            let files: usize = found.files.values().map(Vec::len).sum();
            findings.good(&format!("{} site folders with {files} files in {}", found.files.len(), folder.display()));
            found.remarks.iter().for_each(|remark| findings.advice(remark));
            for Unlisted { site, path, error } in &found.unreadable {
                let (exit, help) = trouble::of_folder(path, error);
                findings.fault(exit, &format!("site {site}: {} cannot be read: {error}", path.display()), &help);
            }
            if let Some(refusal) = ledger_site_refusal(settings, &found) {
                findings.fault(refusal.exit(), &refusal.to_string(), &refusal.help());
            }
            found.files.keys().for_each(|site| legacy(settings, *site, findings));
            found.files.into_keys().collect()
        }
        Err(error) => {
            let what = format!("cannot list the folder of the logs {}: {error}", folder.display());
            let (exit, help) = trouble::of_logs_folder(&folder, &error);
            findings.fault(exit, &what, &help);
            Vec::new()
        }
    }
}

/// What there is of the shell image, and what becomes of it.
fn legacy(settings: &Settings, site: SiteId, findings: &mut Findings) {
    let folder = settings.legacy_folder();
    let state = match ShellState::read(&folder, site) {
        Ok(None) => return,
        Ok(Some(state)) => state,
        Err(error) => {
            let what = format!("cannot read the state of the shell image in {}: {error}", folder.display());
            let help = "let the container's user read the folder, or set LEGACY_STATE_DIR; until then nothing of the site is imported";
            return findings.fault(Exit::Failed, &what, help);
        }
    };
    let (imported, given_up, days) = (state.imported.len(), state.given_up.len(), state.days.len());
    let holds = format!("{imported} files marked as imported, {given_up} given up, {days} days to invalidate");
    let book = Ledger::look(&settings.ledger_folder()).peek(site).ok();
    let then = match book.and_then(|book| book.tally().takeover) {
        Some(_) => "it was taken over",
        None => "the first pass takes it over",
    };
    findings
        .good(&format!("site {site} has state of the shell image ({holds}): {then}, and its files stay as they are"));
}

async fn server(settings: &Settings, matomo: &Matomo, create_ledger_site: bool, findings: &mut Findings) {
    let sites = sites(settings, findings);
    match matomo.version().await {
        Ok(version) => findings.good(&format!("Matomo {version} answers at {} and knows the token", matomo.url())),
        Err(error) => {
            let refusal = matomo.refusal_of(&error);
            findings.fault(refusal.exit(), &refusal.to_string(), &refusal.help());
            return;
        }
    }
    for site in sites {
        match matomo.preflight(site).await {
            Ok(()) => findings.good(&format!("site {site} takes hits")),
            Err(refusal) => findings.fault(refusal.exit(), &format!("site {site}: {refusal}"), &refusal.help()),
        }
    }
    match matomo.ledger_site() {
        Some(site) => ledger_site(matomo, site, findings).await,
        None if create_ledger_site => create(matomo, findings).await,
        None => findings.advice(
            "MATOMO_LEDGER_SITE is not set: after a crash or a lost answer, lines older than a day may have to wait for a person. \
             Create a site in Matomo for it (or run `log-analytics check --create-ledger-site` with a superuser's token), \
             give the token's user write access, and set MATOMO_LEDGER_SITE to its number",
        ),
    }
}

async fn ledger_site(matomo: &Matomo, site: SiteId, findings: &mut Findings) {
    match matomo.preflight(site).await {
        Ok(()) => findings.good(&format!("the ledger site {site} takes marks")),
        Err(refusal) => {
            let refusal = Refusal::LedgerSite { why: refusal.to_string() };
            findings.fault(refusal.exit(), &refusal.to_string(), &refusal.help());
        }
    }
}

async fn create(matomo: &Matomo, findings: &mut Findings) {
    let known = matomo.all_sites().await.unwrap_or_default();
    // Made by an earlier call whose answer nobody wrote down.
    if let Some((site, _)) = known.iter().find(|(_, url)| url.trim_end_matches('/') == LEDGER_SITE_URL) {
        return findings.good(&format!("the ledger site exists already: set MATOMO_LEDGER_SITE={site}"));
    }
    match matomo.add_site(LEDGER_SITE_NAME, LEDGER_SITE_URL).await {
        Ok(site) => findings.good(&format!("created the ledger site: set MATOMO_LEDGER_SITE={site}")),
        Err(error) => {
            let help =
                "create a site by hand, give the token's user write access, and set MATOMO_LEDGER_SITE to its number";
            findings.fault(Exit::Failed, &format!("the ledger site cannot be created: {}", error.sentence()), help);
        }
    }
}
