//! A world for journeys of rsync-client: a server with logs, volumes for keys and logs, and the binary between them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::matomo::Setup;
use crate::sshd::Sshd;
use crate::stack::{Outcome, Running, Stack};

/// Far beyond what a healthy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server and a client. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Fetch {
    /// The client's folder, environment and runs; its Matomo is used by journeys that import as well.
    pub stack: Stack,
    /// The server.
    pub sshd: Sshd,
}

impl Fetch {
    /// A world in which the server trusts nobody yet, and nothing is waited for longer than needed.
    pub fn new(program: &str) -> Self {
        Self::with(program, Setup::default())
    }

    /// As [`Fetch::new`], with a Matomo of this kind.
    pub fn with(program: &str, setup: Setup) -> Self {
        let fetch = Self { stack: Stack::new(program, setup), sshd: Sshd::start() };
        fetch.stack.set("SSH_DIR", &fetch.keys().to_string_lossy());
        fetch.stack.set("RSYNC_RETRY_DELAY", "10ms").set("SSH_CONNECT_TIMEOUT", "30s");
        fetch
    }

    /// As [`Fetch::new`], and the server trusts the client's key.
    ///
    /// # Panics
    /// When there is no key.
    pub fn trusted(program: &str) -> Self {
        let fetch = Self::new(program);
        fetch.trust();
        fetch
    }

    /// Lets the client print its key and the server trust it.
    ///
    /// # Panics
    /// When there is no key.
    pub fn trust(&self) -> String {
        let key = self.stack.run(&["key"]).succeeds().stdout.trim().to_owned();
        self.sshd.trusts(&key);
        key
    }

    /// The folder of the keys.
    pub fn keys(&self) -> PathBuf {
        self.stack.folder().join("ssh")
    }

    /// The command of the documentation, for this server and a site.
    pub fn command(&self, site: u64) -> String {
        self.command_with(site, self.sshd.port(), "-avz --delete")
    }

    /// A command with another port and other options.
    pub fn command_with(&self, site: u64, port: u16, options: &str) -> String {
        let (source, target) = (self.sshd.source(), self.stack.logs_of(site));
        format!("rsync -e \"ssh -p {port}\" {options} root@127.0.0.1:{}/ {}/", source.display(), target.display())
    }

    /// Sets RSYNC_COMMANDS.
    pub fn commands(&self, commands: &str) -> &Self {
        self.stack.set("RSYNC_COMMANDS", commands);
        self
    }

    /// Writes a file at the source.
    ///
    /// # Panics
    /// When it cannot be written.
    #[expect(clippy::expect_used, reason = "a journey without logs can only fail")]
    pub fn writes(&self, name: &str, text: &str) -> &Self {
        fs::write(self.sshd.source().join(name), text).expect("a log at the source");
        self
    }

    /// A file that rsync cannot shrink: it looks random.
    pub fn writes_much(&self, name: &str, bytes: usize) -> &Self {
        let mut random = crate::random::Random::seeded(bytes as u64);
        let text: String = std::iter::repeat_with(|| format!("{:016x}\n", random.number())).take(bytes / 17).collect();
        self.writes(name, &text)
    }

    /// One pass.
    pub fn once(&self) -> Outcome {
        self.stack.run(&["once"])
    }

    /// The daemon.
    pub fn run(&self) -> Running {
        self.stack.start(&["run"])
    }

    /// The state file.
    ///
    /// # Panics
    /// When there is none.
    #[expect(clippy::expect_used, reason = "the journey expects it there")]
    pub fn state(&self) -> Json {
        let text = fs::read(self.stack.folder().join("rsync/state.json")).expect("a state file");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// The names in a site's folder, hidden ones included.
    pub fn fetched(&self, site: u64) -> Vec<String> {
        names(&self.stack.logs_of(site))
    }
}

/// The names in a folder, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Waits for a fact.
///
/// # Panics
/// When it does not come true.
#[track_caller]
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
