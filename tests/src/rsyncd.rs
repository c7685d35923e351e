//! A real rsync daemon on a loopback port of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::sshd::free_port;

/// A loaded machine may take its time to start a server.
const START_MAX: Duration = Duration::from_secs(30);

/// A daemon with the modules `logs`, `in` (may be written), `closed` (for a user), `denied` (for nobody) and `single`
/// (one connection at a time). Killed when it is dropped.
#[derive(Debug)]
pub struct Rsyncd {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Rsyncd {
    /// A daemon.
    ///
    /// # Panics
    /// When it cannot be started.
    #[expect(clippy::expect_used, reason = "a test without its server can only fail")]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("rsyncd-").tempdir().expect("a folder for rsyncd");
        let port = free_port();
        let at = folder.path().display();
        let module = |name: &str, more: &str| format!("[{name}]\npath = {at}/{name}\n{more}\n");
        let config = [
            format!("use chroot = no\nuid = 0\ngid = 0\nport = {port}\naddress = 127.0.0.1\nlog file = {at}/log\n"),
            module("logs", ""),
            module("in", "read only = no"),
            module("closed", &format!("auth users = me\nsecrets file = {at}/secrets")),
            module("denied", "hosts deny = *"),
            module("single", &format!("max connections = 1\nlock file = {at}/lock")),
        ];
        for name in ["logs", "in", "closed", "denied", "single"] {
            fs::create_dir(folder.path().join(name)).expect("a module");
        }
        fs::write(folder.path().join("secrets"), "me:right\n").expect("a list of passwords");
        fs::write(folder.path().join("config"), config.concat()).expect("a configuration");
        let mut command = Command::new("chmod");
        command.arg("600").arg(folder.path().join("secrets")).status().expect("chmod");
        let mut command = Command::new("rsync");
        command.args(["--daemon", "--no-detach"]).arg(format!("--config={at}/config"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let daemon = Self { port, child: child.expect("rsync is installed"), folder };
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(began.elapsed() < START_MAX, "rsyncd does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of a module.
    pub fn module(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Rsyncd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
