//! What the tests talk to that no Rust package brings: real peers from the distribution, installed when they are missing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// A program that tests start, and the Debian package that brings it.
struct Peer {
    program: &'static str,
    package: &'static str,
}

/// In alphabetical order; a sidecar adds its peers here.
const PEERS: &[Peer] = &[
    Peer { program: "/usr/share/doc/busybox-static", package: "busybox-static" },
    Peer { program: "/usr/share/doc/libsasl2-modules/copyright", package: "libsasl2-modules" },
    Peer { program: "/usr/share/doc/php-mysql", package: "php-mysql" },
    Peer { program: "bash", package: "bash" },
    Peer { program: "debootstrap", package: "debootstrap" },
    Peer { program: "docker-compose", package: "docker-compose" },
    Peer { program: "faketime", package: "faketime" },
    Peer { program: "mariadb", package: "mariadb-client" },
    Peer { program: "mariadb-dump", package: "mariadb-client" },
    Peer { program: "mariadbd", package: "mariadb-server" },
    Peer { program: "mount", package: "mount" },
    Peer { program: "php", package: "php-cli" },
    Peer { program: "postfix", package: "postfix" },
    Peer { program: "ps", package: "procps" },
    Peer { program: "python3", package: "python3" },
    Peer { program: "rrsync", package: "rsync" },
    Peer { program: "rsync", package: "rsync" },
    Peer { program: "script", package: "bsdutils" },
    Peer { program: "setpriv", package: "util-linux" },
    Peer { program: "ssh", package: "openssh-client" },
    Peer { program: "sshd", package: "openssh-server" },
    Peer { program: "unshare", package: "util-linux" },
    Peer { program: "update-ca-certificates", package: "ca-certificates" },
];

/// Programs of the administrator are not in everybody's search path.
const MORE_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/postfix/sbin"];
/// Its answer 101 keeps a package's service from being started; tests start their own, on ports of their own.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// Make sure that every peer is here.
///
/// # Errors
/// Which packages are missing, and how to install them, where that cannot be done from here.
pub fn prepare() -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let command = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if !rustix::process::geteuid().is_root() || find("apt-get").is_none() {
        bail!("the tests talk to real programs that are not installed; as root: {command}");
    }
    println!("== packages: {command}");
    let _quiet = Quiet::begin()?;
    apt(&["update", "--quiet=2"])?;
    let mut words = vec!["install", "--yes", "--quiet=2", "--no-install-recommends"];
    words.extend(&missing);
    apt(&words)?;
    let still = self::missing();
    ensure!(still.is_empty(), "apt-get did not bring {}; install them by hand", still.join(", "));
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let mut packages: Vec<_> =
        PEERS.iter().filter(|peer| find(peer.program).is_none()).map(|peer| peer.package).collect();
    packages.dedup();
    packages
}

fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn apt(words: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=300"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
    let ended = command.status().context("cannot start apt-get")?;
    ensure!(ended.success(), "apt-get {} ended with {ended}", words.join(" "));
    Ok(())
}

/// While it lives, installing a package starts no service.
struct Quiet {
    ours: bool,
}

impl Quiet {
    fn begin() -> anyhow::Result<Self> {
        let policy = Path::new(SERVICE_POLICY);
        // An administrator's own policy stays.
        let ours = !policy.exists();
        if ours {
            fs::write(policy, "#!/bin/sh\nexit 101\n").context("cannot keep services from being started")?;
            fs::set_permissions(policy, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.ours {
            // Nothing is left to do about a file that cannot be removed.
            let _ = fs::remove_file(SERVICE_POLICY);
        }
    }
}
