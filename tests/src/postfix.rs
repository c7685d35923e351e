//! A mail relay's world: folders and an address of the loopback of its own, the built binary, and a client that sends.

mod client;
mod relay;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::mail::MailServer;

pub use client::{Answer, greeting, submit, submit_in_tls};
pub use relay::{Ended, Relay, family, no_family};

/// Below the ports that the system gives to clients.
const PORTS: std::ops::Range<u16> = 10_240..32_000;
/// The settings cannot be used.
pub const SETTINGS: i32 = 78;
/// The password of [`World::through`], with every letter that means something to somebody on its way.
pub const PASSWORD: &str = "p$w#:\"\\ ü x";

/// A relay with folders of its own. Everything is gone when it is dropped.
pub struct World {
    program: PathBuf,
    folder: TempDir,
    address: Ipv4Addr,
    port: u16,
    variables: RefCell<BTreeMap<String, String>>,
}

impl World {
    /// A world for the binary at `program`, which a test file knows as `env!("CARGO_BIN_EXE_postfix-config")`.
    ///
    /// # Panics
    /// When no folder can be made.
    #[expect(clippy::expect_used, reason = "a journey without a folder can only fail")]
    pub fn new(program: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("relay-").tempdir().expect("a folder for the relay");
        // The services of Postfix give up the rights of root and must still reach their queue.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("an open folder");
        let address = own_address(folder.path());
        let port = free_port(address);
        let world = Self { program: program.into(), address, port, folder, variables: RefCell::default() };
        for (name, value) in [
            ("MTP_HOST", "relay.example"),
            ("MTP_PROTOCOLS", "ipv4"),
            ("NO_COLOR", "1"),
            // Journeys that wait for the next attempt cannot wait for five minutes.
            ("POSTFIX_queue_run_delay", "1s"),
            ("POSTFIX_minimal_backoff_time", "2s"),
            ("POSTFIX_maximal_backoff_time", "2s"),
        ] {
            world.set(name, value);
        }
        world.set("MTP_INTERFACES", "127.0.0.1").set("MTP_LISTEN_PORT", &world.port.to_string());
        for (name, folder) in [("MTP_CONFIG_DIR", "conf"), ("MTP_QUEUE_DIR", "queue"), ("MTP_DATA_DIR", "data")] {
            world.set(name, &world.path(folder).to_string_lossy());
        }
        world
    }

    /// On the way to this server, with a login.
    pub fn through(self, server: &MailServer) -> Self {
        self.set("MTP_RELAY", &format!("localhost:{}", server.port()))
            .set("MTP_USER", "matomo")
            .set("MTP_PASS", PASSWORD);
        self
    }

    /// Set a variable for the next start.
    pub fn set(&self, name: &str, value: &str) -> &Self {
        self.variables.borrow_mut().insert(name.to_owned(), value.to_owned());
        self
    }

    /// Take a variable away for the next start.
    pub fn unset(&self, name: &str) -> &Self {
        self.variables.borrow_mut().remove(name);
        self
    }

    /// A path in its folder: `conf`, `queue`, `data`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An address of the loopback that no other world has, for servers with a port that is given.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Where it accepts mail.
    pub fn listens_at(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A value of the written `main.cf`.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.path("conf/main.cf")).ok()?;
        let mut pairs = text.lines().filter_map(|line| line.split_once(" ="));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned())
    }

    /// The command line for these words, in a clean environment; `before` runs it, as `setpriv` and `unshare` do.
    pub fn command(&self, before: &[&str], words: &[&str]) -> Command {
        let program = self.program.to_string_lossy();
        let mut all: Vec<&str> = before.to_vec();
        all.push(&program);
        all.extend(words);
        let mut command = Command::new(all[0]);
        command.args(&all[1..]).current_dir(self.folder.path());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(&*self.variables.borrow());
        command
    }

    /// Run these words to their end.
    ///
    /// # Panics
    /// When they cannot be started or do not end.
    pub fn run(&self, words: &[&str]) -> Ended {
        self.run_by(&[], words)
    }

    /// Run these words to their end, by another program.
    ///
    /// # Panics
    /// When they cannot be started or do not end.
    pub fn run_by(&self, before: &[&str], words: &[&str]) -> Ended {
        self.launch(before, words).ends()
    }

    /// Start the relay and wait until it accepts mail.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn start(&self) -> Relay {
        let relay = self.launch(&[], &["run"]);
        relay.says(&["ready to accept mail"]);
        nudge(&self.path("conf"), relay.heard());
        relay
    }

    /// Start these words by another program, without waiting for anything.
    ///
    /// # Panics
    /// When they cannot be started.
    pub fn launch(&self, before: &[&str], words: &[&str]) -> Relay {
        let mut command = self.command(before, words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {words:?}: {error}"));
        Relay::of(child, self.listens_at(), self.path("queue"))
    }
}

/// Ask Postfix again and again to try what waits, as long as somebody listens. A message that it happens to look at
/// while its last attempt is being written down would be left alone for minutes otherwise.
fn nudge(conf: &Path, heard: &Arc<Mutex<String>>) {
    let (conf, heard) = (conf.to_owned(), Arc::downgrade(heard));
    thread::spawn(move || {
        while heard.strong_count() > 0 {
            thread::sleep(Duration::from_secs(1));
            let flush =
                Command::new("/usr/sbin/postqueue").arg("-c").arg(&conf).arg("-f").stderr(Stdio::null()).status();
            // A Postfix that is gone needs no push.
            let _ = flush;
        }
    });
}

/// From the name of a folder that nobody else has.
fn own_address(folder: &Path) -> Ipv4Addr {
    let mix = folder.as_os_str().as_encoded_bytes().iter();
    let mix = mix.fold(std::process::id(), |mix, byte| (mix ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = mix.to_be_bytes();
    Ipv4Addr::new(127, 1 + (a ^ d) % 250, b, 1 + c % 250)
}

/// A port of 127.0.0.1 that nobody has; where the search begins depends on the folder, so that worlds rarely meet.
fn free_port(seed: Ipv4Addr) -> u16 {
    let begin = PORTS.start + (u32::from(seed) % u32::from(PORTS.end - PORTS.start)) as u16;
    let mut ports = (begin..PORTS.end).chain(PORTS.start..begin);
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap_or(begin)
}
