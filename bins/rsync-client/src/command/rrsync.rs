//! `rrsync`: what sshd runs for a client of `server`: the other end of rsync in the key's folder, or nothing.

use std::path::Path;

use shared::config;
use shared::entry::{Exit, Failure};

use crate::config::Surroundings;
use crate::server::module::Module;
use crate::server::request::Request;
use crate::server::session;

/// Serves the folder that `module` says, if a client asks for that.
pub fn rrsync(module: &Path) -> Result<Exit, Failure> {
    let around = config::from_env::<Surroundings>(&config::Neighbours::default())?.settings;
    let refused = |why: String| {
        Failure::new(Exit::Code(126), why).help(
            "this server runs rsync and nothing else for your key, in the key's own folder: HOST:/ is that folder",
        )
    };
    let request = Request::read(around.original_command.as_deref().unwrap_or_default()).map_err(refused)?;
    let served = Module::read(module).map_err(|error| {
        Failure::new(Exit::Failed, error).help("ask who runs the server to start it again, or to look at its volume")
    })?;
    if !served.may_write && !request.only_reads {
        return Err(refused(
            "your key may only read; whoever runs the server lets it write by `rw` in front of it".to_owned(),
        ));
    }
    let shutdown = super::listen()?;
    Ok(super::block_on(session::serve(module, &request, &shutdown))??)
}
