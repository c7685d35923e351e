//! A real sshd on a loopback port of its own, with a folder of logs to fetch from it.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::processes;

/// A loaded machine may take its time to start a server.
const START_MAX: Duration = Duration::from_secs(30);
/// Another test may take a free port in the moment between finding and using it.
const TRIES: usize = 5;

/// A server. It and its sessions are killed when it is dropped.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
    /// More lines of its configuration.
    more: String,
}

impl Sshd {
    /// A server with a new host key that trusts nobody yet.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start() -> Self {
        Self::start_with("ed25519", "")
    }

    /// As [`Sshd::start`], with a host key of this kind and more lines in its configuration.
    ///
    /// # Panics
    /// When it cannot be started.
    #[expect(clippy::expect_used, reason = "a test without its server can only fail")]
    pub fn start_with(kind: &str, more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("sshd-").tempdir().expect("a folder for sshd");
        fs::create_dir(folder.path().join("source")).expect("a folder of logs");
        // sshd does not start without it.
        fs::create_dir_all("/run/sshd").expect("sshd's empty folder");
        make_key(&folder.path().join("host_key"), kind);
        let mut sshd = Self { folder, port: 0, child: None, more: more.to_owned() };
        sshd.write("authorized_keys", "");
        for _ in 0..TRIES {
            sshd.port = free_port();
            if sshd.serve() {
                return sshd;
            }
        }
        panic!("sshd does not start: {}", sshd.log());
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with the logs.
    pub fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Replaces the list of those who may connect.
    pub fn trusts(&self, line: &str) {
        self.write("authorized_keys", &format!("{line}\n"));
    }

    /// Its host key as a line of `known_hosts`.
    ///
    /// # Panics
    /// When it has none.
    #[expect(clippy::expect_used, reason = "the key was made at the start")]
    pub fn known_host(&self) -> String {
        let key = fs::read_to_string(self.folder.path().join("host_key.pub")).expect("a host key");
        format!("[127.0.0.1]:{} {}", self.port, key.trim())
    }

    /// Pulls its plug: no session survives and nobody answers any more.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let sessions = descendants(Pid::from_child(&child));
        // The listener first, so that no new session begins meanwhile.
        let _ = child.kill();
        let _ = child.wait();
        for session in sessions {
            let _ = kill_process(session, Signal::KILL);
        }
    }

    /// Serves again after a kill, on the same port.
    ///
    /// # Panics
    /// When it does not.
    pub fn start_again(&mut self) {
        let began = Instant::now();
        while !self.serve() {
            assert!(began.elapsed() < START_MAX, "sshd does not start again: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Installed anew: the same address, another host key.
    pub fn renew_host_key(&mut self) {
        self.kill();
        for file in ["host_key", "host_key.pub"] {
            let _ = fs::remove_file(self.folder.path().join(file));
        }
        make_key(&self.folder.path().join("host_key"), "ed25519");
        self.start_again();
    }

    #[expect(clippy::expect_used, reason = "a test without its server can only fail")]
    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file of sshd");
    }

    /// Starts the process and waits for its greeting; false when it ended instead.
    #[expect(clippy::expect_used, reason = "a test without its server can only fail")]
    fn serve(&mut self) -> bool {
        let folder = self.folder.path().display();
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\n\
             StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n\
             Subsystem sftp internal-sftp\n{}\n",
            self.port, self.more
        );
        self.write("config", &config);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).expect("a log");
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(self.folder.path().join("config"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().expect("sshd is installed");
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return false;
            }
            if greets(self.port) {
                self.child = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes a key pair without a passphrase.
///
/// # Panics
/// When ssh-keygen does not.
#[expect(clippy::expect_used, reason = "a test without its key can only fail")]
pub fn make_key(path: &Path, kind: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-N", "", "-t", kind, "-f"]).arg(path);
    assert!(command.status().expect("ssh-keygen is installed").success(), "no key at {}", path.display());
}

/// A port that nobody uses now.
///
/// # Panics
/// When there is none.
#[expect(clippy::expect_used, reason = "a machine without a free port runs no test")]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}

fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-"
}

/// The processes that came from a process, as the kernel tells now.
pub fn descendants(ancestor: Pid) -> Vec<Pid> {
    let parents: Vec<(i32, i32)> = processes::all().filter_map(|pid| Some((pid, processes::parent(pid)?))).collect();
    let mut found = vec![ancestor.as_raw_pid()];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

/// Processes whose command line holds a text.
pub fn processes_with(text: &str) -> Vec<String> {
    let lines = processes::all().filter(|pid| *pid != std::process::id() as i32).filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(text)).collect()
}
