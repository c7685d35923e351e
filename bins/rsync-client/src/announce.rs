//! Tells the operator which public key to add to which server, at every start and whenever a server refuses it.

use std::io::Write;

use shared::logging::Format;
use tracing::info;

use crate::plan::Unit;
use crate::ssh::{PublicKey, restricted};

const RULER: &str = "================================================================================";

/// The public key, and where it belongs.
#[derive(Clone, Debug)]
pub struct Announcement {
    key: PublicKey,
    /// Servers and folders, as the commands name them.
    sources: Vec<(String, String)>,
    format: Format,
}

impl Announcement {
    /// For these commands.
    pub fn new(key: PublicKey, units: &[Unit], format: Format) -> Self {
        let rsyncs = units.iter().flat_map(|unit| &unit.rsyncs);
        let sources = rsyncs.filter_map(|rsync| rsync.remote_source());
        let mut sources: Vec<(String, String)> =
            sources.map(|(host, path)| (host.to_owned(), path.to_owned())).collect();
        sources.dedup();
        Self { key, sources, format }
    }

    /// Writes it to standard output: the key alone on its line, to be copied with a double click. A log for machines
    /// gets the same as one event.
    pub fn show(&self) {
        match self.format {
            Format::Json => info!(
                public_key = self.key.line,
                fingerprint = self.key.fingerprint,
                servers = self.servers(),
                restricted = self.restricted(),
                "Please add this ssh key to your server"
            ),
            Format::Text => {
                // What was said before comes first.
                shared::logging::finish();
                let mut out = std::io::stdout().lock();
                // A reader that went away is no reason to stop.
                let _ = out.write_all(self.text().as_bytes()).and_then(|()| out.flush());
            }
        }
    }

    fn servers(&self) -> String {
        let mut hosts: Vec<&str> = self.sources.iter().map(|(host, _)| host.as_str()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        if hosts.is_empty() { "the servers with the logs".to_owned() } else { hosts.join(", ") }
    }

    fn restricted(&self) -> String {
        restricted(&self.key.line, self.sources.first().map(|(_, folder)| folder.as_str()).unwrap_or_default())
    }

    fn text(&self) -> String {
        format!(
            "Please add this ssh key to your server /home/user/.ssh/authorized_keys\n\
             {RULER}\n{key}\n{RULER}\n\
             fingerprint: {fingerprint}\n\
             next step: add the line between the rulers to ~/.ssh/authorized_keys of {servers}\n\
             or, to let the key do nothing but read that folder, this line (the source in RSYNC_COMMANDS is then HOST:/):\n\
             {restricted}\n",
            key = self.key.line,
            fingerprint = self.key.fingerprint,
            servers = self.servers(),
            restricted = self.restricted(),
        )
    }
}
