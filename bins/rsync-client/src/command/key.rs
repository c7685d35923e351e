//! `key`: the public key, for scripts and for people.

use shared::config;
use shared::entry::{Exit, Failure};

use super::start::surroundings;
use crate::config::KeySettings;
use crate::ssh::{KeyType, Keys};

/// Prints the public key on a line of its own; a pair is made when there is none.
pub fn key(kind: Option<KeyType>) -> Result<Exit, Failure> {
    let settings = config::from_env::<KeySettings>(&config::Neighbours::default())?.settings;
    let keys = Keys::in_folder(&settings.ssh.folder(&surroundings()?));
    let public = super::block_on(keys.ensure(kind.or(settings.ssh.key_type)))??;
    super::say(&format!("{}\n", public.line));
    Ok(Exit::Done)
}
