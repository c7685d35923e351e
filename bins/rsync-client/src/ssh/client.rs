//! The configuration that every ssh of ours reads, so that none waits for a person, a silent server or a question.
//!
//! Commands stay as operators wrote them: a small `ssh` that comes first in their search path adds our configuration
//! file, and options in the command still win over it. `scp` and `sftp` stand beside it, which start an ssh by its path,
//! and an `rsync` that ends a silent daemon and tells how it ended (see [`crate::tally`]).

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::files::{self, FileError};
use shared::process::{Limits, Program};
use shared::shutdown::Shutdown;
use tracing::warn;

use super::workplace::workplace;

/// ssh gives up after this many unanswered signs of life.
const SIGNS_OF_LIFE: u64 = 4;

/// What our rsync does, behind a line with its own values.
const RSYNC: &str = include_str!("rsync.sh");

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Folder with keys and known hosts.
    pub folder: PathBuf,
    /// Longest wait for a server's first answer.
    pub connect_timeout: Duration,
    /// A line that is silent for so long is dead.
    pub stall_timeout: Duration,
    /// Lines of `known_hosts` that are the only ones to trust.
    pub pinned_hosts: Option<String>,
    /// Private keys to offer.
    pub keys: Vec<PathBuf>,
    /// Folders in which programs are searched.
    pub search_path: String,
}

/// The client, ready for commands.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The folder that must come first in the search path of commands.
    pub folder: PathBuf,
    /// The search path with it.
    pub search_path: String,
    /// The known hosts in force.
    pub known_hosts: PathBuf,
}

/// The client cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// There is no ssh.
    #[error("ssh is not installed")]
    Missing,
    /// A folder cannot be made.
    #[error("cannot make the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SshError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            SshError::Missing => "use an image that holds openssh-client and rsync",
            SshError::Folder { .. } => "mount a volume at SSH_DIR that the user of this container may write",
            SshError::File(error) => error.help(),
        }
    }
}

/// Our ssh.
#[derive(Clone, Debug)]
pub struct Client {
    options: ClientOptions,
}

impl Client {
    /// An ssh with these options.
    pub fn new(options: ClientOptions) -> Self {
        Self { options }
    }

    /// Writes the files that it needs.
    ///
    /// # Errors
    /// When they cannot be written, or ssh is not there.
    pub fn prepare(&self) -> Result<Prepared, SshError> {
        let ours = workplace(&self.options.folder).map_err(|(path, source)| SshError::Folder { path, source })?;
        let folder = ours.join("bin");
        let failed = |source| SshError::Folder { path: folder.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let real = self.find("ssh", &folder).ok_or(SshError::Missing)?;
        let known_hosts = self.known_hosts(&ours)?;
        let config = ours.join("config");
        files::replace(&config, self.config(&known_hosts).as_bytes())?;
        write_program(&folder.join("ssh"), &with_config(&real, &config))?;
        // They start ssh by its path, and hand our file on to it.
        for name in ["scp", "sftp"] {
            if let Some(real) = self.find(name, &folder) {
                write_program(&folder.join(name), &with_config(&real, &config))?;
            }
        }
        if let Some(real) = self.find("rsync", &folder) {
            write_program(&folder.join("rsync"), &self.rsync(&real))?;
        }
        let search_path = format!("{}:{}", folder.display(), self.options.search_path);
        let [known_hosts, ..] = known_hosts;
        Ok(Prepared { folder, search_path, known_hosts })
    }

    /// The files of known hosts; a new host is remembered in the first.
    fn known_hosts(&self, ours: &Path) -> Result<[PathBuf; 2], SshError> {
        let theirs = self.options.folder.join("known_hosts");
        if let Some(lines) = &self.options.pinned_hosts {
            let file = ours.join("pinned_hosts");
            files::replace(&file, format!("{}\n", lines.trim()).as_bytes())?;
            return Ok([file.clone(), file]);
        }
        let is_elsewhere = !ours.starts_with(&self.options.folder);
        Ok(if is_elsewhere { [ours.join("known_hosts"), theirs] } else { [theirs.clone(), theirs] })
    }

    /// The first program of a name in the search path that is not the one we write, which a command of ours may have put
    /// in there.
    fn find(&self, name: &str, ours: &Path) -> Option<PathBuf> {
        let is_program = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let folders = self.options.search_path.split(':').map(Path::new).filter(|folder| *folder != ours);
        folders.map(|folder| folder.join(name)).find(is_program)
    }

    /// Our rsync.
    fn rsync(&self, real: &Path) -> String {
        let ClientOptions { connect_timeout, stall_timeout, .. } = &self.options;
        // Without our own program, a connection is rsync's own.
        let ourselves = std::env::current_exe().unwrap_or_default();
        format!(
            "#!/bin/sh\nreal={} dial={} connect={} stall={}\n{RSYNC}",
            shell_quoted(real),
            shell_quoted(Path::new(&format!("{} dial", shell_quoted(&ourselves)).replace('%', "%%"))),
            connect_timeout.as_secs().max(1),
            stall_timeout.as_secs().max(1),
        )
    }

    /// The configuration file. A value that is set twice keeps the first, so the operator's own file comes before ours.
    fn config(&self, known_hosts: &[PathBuf; 2]) -> String {
        let ClientOptions { folder, connect_timeout, stall_timeout, pinned_hosts, keys, .. } = &self.options;
        let [first, second] = known_hosts;
        let hosts = if first == second { quoted(first) } else { format!("{} {}", quoted(first), quoted(second)) };
        let interval = (stall_timeout.as_secs() / SIGNS_OF_LIFE).max(1);
        let signs = (stall_timeout.as_secs() / interval).clamp(1, SIGNS_OF_LIFE);
        let strict = if pinned_hosts.is_some() { "yes" } else { "accept-new" };
        let keys: String = keys.iter().map(|key| format!("    IdentityFile {}\n", quoted(key))).collect();
        format!(
            "# Written by rsync-client at every start. Your own settings go into {own}, and win.\n\
             Include {own}\n\
             Host *\n    \
             BatchMode yes\n    \
             ConnectTimeout {connect}\n    \
             ServerAliveInterval {interval}\n    \
             ServerAliveCountMax {signs}\n    \
             StrictHostKeyChecking {strict}\n    \
             UserKnownHostsFile {hosts}\n    \
             HashKnownHosts no\n\
             {keys}\
             Include /etc/ssh/ssh_config\n",
            own = quoted(&folder.join("config")),
            connect = connect_timeout.as_secs().max(1),
        )
    }
}

impl Prepared {
    /// Finds out whether commands really meet our ssh: a volume that forbids programs (`noexec`) would hide it without a
    /// word, because the shell then takes the next one.
    pub async fn try_out(&self) {
        let limits = Limits { hard: Some(Duration::from_secs(20)), ..Limits::default() };
        let program = Program::new(self.folder.join("ssh").to_string_lossy()).arg("-V").quiet();
        let why = match program.run(&limits, &Shutdown::never()).await {
            Ok(ended) if ended.succeeded() => return,
            Ok(ended) => format!("{}: {}", ended.sentence(), ended.tail),
            Err(error) => error.to_string(),
        };
        warn!(
            why,
            help = "mount the volume of SSH_DIR writable and without noexec; a key that is a secret of the engine may be mounted there as a single file",
            "Commands run without our ssh settings: a silent server can hold them up until RSYNC_TIMEOUT"
        );
    }
}

fn with_config(program: &Path, config: &Path) -> String {
    format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", shell_quoted(program), shell_quoted(config))
}

fn write_program(path: &Path, script: &str) -> Result<(), FileError> {
    files::replace_with_mode(path, script.as_bytes(), 0o755)
}

/// A path as ssh's configuration takes it: blanks are quoted, a percent sign begins a token.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(folder: &Path) -> ClientOptions {
        ClientOptions {
            folder: folder.to_owned(),
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            pinned_hosts: None,
            keys: vec![folder.join("id_rsa")],
            search_path: "/usr/bin:/bin".to_owned(),
        }
    }

    #[test]
    fn nothing_waits_for_a_question_and_strangers_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let prepared = Client::new(options(folder.path())).prepare().unwrap();
        let config = fs::read_to_string(folder.path().join("rsync-client/config")).unwrap();
        for line in [
            "BatchMode yes",
            "ConnectTimeout 15",
            "ServerAliveInterval 15",
            "ServerAliveCountMax 4",
            "StrictHostKeyChecking accept-new",
        ] {
            assert!(config.contains(line), "{config}");
        }
        assert!(prepared.search_path.ends_with("rsync-client/bin:/usr/bin:/bin"));
        assert_eq!(prepared.known_hosts, folder.path().join("known_hosts"));
    }

    #[test]
    fn pinned_hosts_are_the_only_ones() {
        let folder = tempfile::tempdir().unwrap();
        let pinned = ClientOptions { pinned_hosts: Some("web ssh-ed25519 AAAA".to_owned()), ..options(folder.path()) };
        let prepared = Client::new(pinned).prepare().unwrap();
        assert_eq!(fs::read_to_string(&prepared.known_hosts).unwrap(), "web ssh-ed25519 AAAA\n");
        let config = fs::read_to_string(folder.path().join("rsync-client/config")).unwrap();
        assert!(config.contains("StrictHostKeyChecking yes"));
    }

    #[test]
    fn our_own_ssh_is_never_taken_for_the_real_one() {
        let folder = tempfile::tempdir().unwrap();
        let first = Client::new(options(folder.path())).prepare().unwrap();
        let again = ClientOptions { search_path: first.search_path, ..options(folder.path()) };
        Client::new(again).prepare().unwrap();
        let script = fs::read_to_string(folder.path().join("rsync-client/bin/ssh")).unwrap();
        assert!(script.contains("exec '/usr/bin/ssh' -F"), "{script}");
    }

    #[test]
    fn a_short_patience_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let short = ClientOptions { stall_timeout: Duration::from_secs(3), ..options(folder.path()) };
        let config = Client::new(short).config(&[PathBuf::from("/k"), PathBuf::from("/k")]);
        assert!(config.contains("ServerAliveInterval 1\n") && config.contains("ServerAliveCountMax 3\n"), "{config}");
    }
}
