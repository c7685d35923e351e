//! `check`: settings, configuration and, if wanted, the relay; everything at once.

use std::fs;
use std::path::{Path, PathBuf};

use shared::config;
use shared::entry::{Exit, Failure};
use shared::words::sentence;

use crate::config::Settings;
use crate::gate::Gate;
use crate::plan::{Plan, Secrets};
use crate::postfix::{Postfix, RECIPIENT, Shortage, not_installed, trial};
use crate::relay_probe::{self, Client, Finding};
use crate::token::Tokens;

/// Reports on everything that a start needs.
pub fn check(probe: bool) -> Result<Exit, Failure> {
    let reading = config::from_env::<Settings>(&crate::config::neighbours())?;
    let settings = &reading.settings;
    super::say("ok      settings can be used\n");
    for notice in reading.notices.iter().chain(&settings.notices()) {
        super::say(&format!("advice  {notice}\n"));
    }
    let mut exit = configuration(settings)?;
    super::say(&format!("ok      mail would leave {}\n", settings.route.in_words()));
    // A configuration that Postfix refuses cannot be tried.
    let tries = exit != Some(Exit::Config);
    if probe && !relay(settings, tries)? {
        exit = exit.or(Some(Exit::Unavailable));
    }
    Ok(exit.unwrap_or(Exit::Done))
}

/// Writes the configuration aside and asks Postfix about it.
fn configuration(settings: &Settings) -> Result<Option<Exit>, Failure> {
    let aside = Aside::below(settings.place.config_dir.as_path());
    Plan::of(settings, &aside.0, Secrets::Written).write()?;
    let postfix = Postfix::at(&aside.0, settings.zone.as_ref());
    let refusals = super::block_on(postfix.validate(settings))?.map_err(not_installed)?;
    for refusal in &refusals {
        fault(&refusal.to_string(), refusal.help());
    }
    match refusals.is_empty() {
        true => super::say("ok      Postfix accepts the configuration\n"),
        false => return Ok(Some(Exit::Config)),
    }
    let shortage = super::block_on(postfix.shortage(settings.place.queue_dir.as_path()))??;
    Ok(shortage.map(|shortage| {
        fault(&shortage.to_string(), Shortage::HELP);
        Exit::CannotCreate
    }))
}

/// Whether mail would be taken.
fn relay(settings: &Settings, tries: bool) -> Result<bool, Failure> {
    let token = match Tokens::of(settings) {
        Some(mut tokens) => match super::block_on(tokens.next())? {
            Ok(granted) => Some(granted.token),
            Err(error) => {
                let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
                fault(&format!("token: {error}{why}"), error.help());
                return Ok(false);
            }
        },
        None => None,
    };
    let aside = Aside::below(settings.place.config_dir.as_path());
    let client = client(settings, &aside.0)?;
    let findings = relay_probe::probe(&settings.route, token.as_ref(), &client);
    for finding in &findings.0 {
        match finding {
            Finding::Good(what) => super::say(&format!("ok      relay: {what}\n")),
            Finding::Advice(what) => super::say(&format!("advice  relay: {what}\n")),
            Finding::Fault { what, help } => fault(&format!("relay: {what}"), help),
        }
    }
    let Some(relay) = settings.route.relay.as_ref().filter(|_| tries && !findings.has_fault()) else {
        return Ok(!findings.has_fault());
    };
    let mut settings = settings.clone();
    if let Some(token) = &token {
        settings.gate_port = Gate::open_for(&settings, relay, token)?;
    }
    Ok(postfix_itself(&settings, &aside.0))
}

/// How Postfix would go about the talk.
fn client(settings: &Settings, folder: &Path) -> Result<Client, Failure> {
    Plan::of(settings, folder, Secrets::Written).write()?;
    let patience = super::block_on(Postfix::at(folder, None).patience())?.map_err(not_installed)?;
    Ok(Client { patience, ..Client::of(settings) })
}

/// Has Postfix try it, and says whether mail would be taken.
fn postfix_itself(settings: &Settings, folder: &Path) -> bool {
    let sender = settings.own_sender();
    match super::block_on(trial(settings, folder)).and_then(|tried| tried) {
        Ok(verdict) if verdict.is_yes() => {
            super::say(&format!("ok      relay: Postfix itself: mail from {sender} is taken: {}\n", verdict.text));
            true
        }
        Ok(verdict) if verdict.is_about_recipient() => {
            super::say(&format!(
                "advice  relay: Postfix itself: the relay listens to us, but refuses {RECIPIENT}, who is made up: {}\n",
                verdict.text
            ));
            true
        }
        Ok(verdict) => {
            fault(
                &format!("relay: Postfix itself: mail from {sender} would not be taken: {}", verdict.text),
                LOOK_AT_US,
            );
            false
        }
        Err(failure) => {
            let why = sentence(failure.error.as_ref());
            let help = failure.help.as_deref().unwrap_or("so nobody knows whether mail would be taken");
            fault(&format!("relay: Postfix itself could not be tried: {why}"), help);
            false
        }
    }
}

/// What may be wrong when all steps worked and mail would not leave.
const LOOK_AT_US: &str = "the relay's own words say why: look at the login, at the sender (MTP_SENDER), and at POSTFIX_smtp_… and POSTFIXMASTER_…";

fn fault(what: &str, help: &str) {
    super::say(&format!("FAULT   {what}\n        {help}\n"));
}

/// A folder for a configuration that nobody runs; it goes with the value.
struct Aside(PathBuf);

impl Aside {
    fn below(folder: &Path) -> Self {
        Self(folder.join(format!("check-{}", std::process::id())))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // It holds a password that only root can read; what cannot be removed is found by its name.
        let _ = fs::remove_dir_all(&self.0);
    }
}
