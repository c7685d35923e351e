//! `check`: settings, configuration and, if wanted, the relay; everything at once.

use std::fs;
use std::path::{Path, PathBuf};

use shared::config;
use shared::entry::{Exit, Failure};

use crate::config::Settings;
use crate::main_cf;
use crate::plan::{Plan, Secrets};
use crate::postfix::{Postfix, Shortage, not_installed};
use crate::relay_probe::{self, Finding};
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
    if probe && !relay(settings)? {
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
fn relay(settings: &Settings) -> Result<bool, Failure> {
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
    let ca_files = main_cf::ca_files(settings);
    let findings = relay_probe::probe(&settings.route, token.as_ref(), &ca_files, settings.host.as_str());
    for finding in &findings.0 {
        match finding {
            Finding::Good(what) => super::say(&format!("ok      relay: {what}\n")),
            Finding::Advice(what) => super::say(&format!("advice  relay: {what}\n")),
            Finding::Fault { what, help } => fault(&format!("relay: {what}"), help),
        }
    }
    Ok(!findings.has_fault())
}

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
