//! `exec`, and any words that are no sub-command: a program of the operator, with our key and ssh settings.

use std::ffi::OsString;
use std::path::Path;

use shared::config;
use shared::entry::{Exit, Failure};
use shared::process::{Limits, Program, find_program};

use super::start::surroundings;
use crate::announce::Announcement;
use crate::config::KeySettings;
use crate::plan::Unit;
use crate::ssh::{Client, Keys};

/// Runs a program, and ends as it ends.
pub fn exec(words: &[OsString]) -> Result<Exit, Failure> {
    let (name, arguments) =
        words.split_first().ok_or_else(|| Failure::new(Exit::Usage, "there is no program to run"))?;
    let name = name.to_string_lossy();
    find_program(&name)?;
    let shutdown = super::listen()?;
    super::block_on(async {
        let search_path = prepare().await?;
        let program = Program::new(name).args(arguments).env("PATH", search_path).foreground();
        Ok(program.run(&Limits { forward: true, ..Limits::default() }, &shutdown).await?.exit())
    })?
}

/// Words that are no sub-command: a program, or a slip of the pen.
pub fn other(words: &[OsString]) -> Result<Exit, Failure> {
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if let Err(error) = find_program(&name) {
        return Err(Failure::new(
            error.exit(),
            format!("{name} is neither a command of rsync-client nor a program: {error}"),
        )
        .help("`rsync-client --help` lists the commands"));
    }
    exec(words)
}

/// As the old entrypoint: have a key, show it, let the program use it. Answers the search path with our ssh.
async fn prepare() -> Result<String, Failure> {
    let settings = config::from_env::<KeySettings>(&config::Neighbours::default())?.settings;
    shared::logging::start(&settings.log);
    let around = surroundings()?;
    let keys = Keys::in_folder(&settings.ssh.folder(&around));
    let public = keys.ensure(settings.ssh.key_type).await?;
    let text = settings.commands.as_ref().map(|script| script.text()).unwrap_or_default();
    let units = [Unit::new(text, Path::new("/analytics/logs"))];
    Announcement::new(public, &units, settings.log.format).show();
    Ok(Client::new(settings.ssh.client(&around, keys.usable()?)).prepare()?.search_path)
}
