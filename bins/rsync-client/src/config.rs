//! Every environment variable of rsync-client, declared once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use shared::config::{Count, Family, Kin, Neighbours, Span, Value};
use shared::health_http::ListenOptions;
use shared::job::JobOptions;
use shared::logging::LogOptions;
use shared::notify::NotifyOptions;
use shared::retry::Policy;
use shared::schedule::Schedule;

use crate::script::Script;
use crate::ssh::{AuthorizedKeys, ClientOptions, KeyType};
use crate::task::{self, Task};

/// Longest pause between two attempts; the first is RSYNC_RETRY_DELAY.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

shared::settings! {
    /// What rsync-client reads from its environment.
    pub struct Settings {
        /// What to fetch: shell commands, separated by `;` or on lines of their own. Each is tried, timed and reported on its own.
        pub commands: Option<Script> = optional("RSYNC_COMMANDS").example("rsync -e 'ssh -p 2222' -avz --delete --max-delete=1000 root@web1.example.org:/var/log/apache2/ /analytics/logs/4/"),
        /// When to fetch: a cron expression of five fields, or six with seconds first.
        pub cron: Schedule = default("MATOMO_RSYNC_LOGS_CRON", "0 0 * * * *"),
        /// Jobs of their own, in the words of cron: five fields (or @daily and the like), then a shell command.
        pub tasks: Family<Task>,
        /// Longest time for one attempt of one command; then it is stopped.
        pub timeout: Span = default("RSYNC_TIMEOUT", "50m"),
        /// Further attempts at a command that failed for a reason which may pass.
        pub retries: Count<0, 100> = default("RSYNC_RETRIES", "2"),
        /// Pause before the second attempt; later ones are longer, a minute at most.
        pub retry_delay: Span = default("RSYNC_RETRY_DELAY", "10s"),
        /// `never` runs RSYNC_COMMANDS as one command, as `sh -c` did; `auto` cuts it where that is sure to be safe.
        pub split: SplitMode = default("RSYNC_SPLIT", "auto"),
        /// Folder with `logs/<SITE_ID>/` below it; our state lies beside `logs`, in `rsync`.
        pub analytics_dir: PathBuf = default("ANALYTICS_DIR", "/analytics"),
        /// The keys and known hosts.
        pub ssh: SshSettings,
        /// Time zone of the schedules.
        pub zone: TimeZone = default("TZ", "UTC").example("Europe/Copenhagen"),
        /// How passes are timed and stopped. A task keeps to its own times: it is never made up for.
        pub job: JobOptions,
        /// Where health is answered.
        pub listen: ListenOptions,
        /// Who is told about passes.
        pub notify: NotifyOptions,
        /// Where the health of `run` is written. Default: `rsync/health.json` below ANALYTICS_DIR.
        pub health_file: Option<PathBuf> = optional("HEALTH_FILE").example("/tmp/health.json"),
        /// Level and format of the log.
        pub log: LogOptions,
    }
}

shared::settings! {
    /// Keys, known hosts, and how patient ssh is.
    pub struct SshSettings {
        /// Folder with the key pair and the known hosts; mount a volume there. Default: `.ssh` in HOME.
        pub folder: Option<PathBuf> = optional("SSH_DIR").example("/ssh"),
        /// Type of the key pair. When not set, any key that is there is kept, and a new one is ed25519.
        pub key_type: Option<KeyType> = optional("SSH_KEY_TYPE").example("rsa"),
        /// Lines of a known_hosts file. With it, only these hosts and keys are trusted; without it, a host's key is remembered at the first contact.
        pub known_hosts: Option<String> = optional("SSH_KNOWN_HOSTS").example("[web1.example.org]:2222 ssh-ed25519 AAAA…"),
        /// Longest wait for a server's first answer.
        pub connect_timeout: Span = default("SSH_CONNECT_TIMEOUT", "15s"),
        /// A connection on which nothing is heard for so long is given up.
        pub stall_timeout: Span = default("SSH_STALL_TIMEOUT", "60s"),
    }
}

shared::settings! {
    /// What `server` reads and the other commands do not.
    pub struct ServerOptions {
        /// `server`: keys that may connect, one or several in it. Each runs rsync in a folder of its own and nothing else: the one of its comment, or of `folder="NAME"` in front of it. It only reads, unless `rw` stands in front of it.
        pub key: Option<AuthorizedKeys> = optional("SSH_AUTH_KEY").example("ssh-ed25519 AAAA… backup@example.org"),
        /// More keys.
        pub keys: Family<AuthorizedKeys>,
        /// `server`: folder with the folders of the keys. No key reaches anything outside of its own.
        pub folder: PathBuf = default("SSH_SERVER_DIR", "/data"),
        /// `server`: port to listen on.
        pub port: Count<1, 65_535> = default("SSH_PORT", "22"),
        /// `server`: more arguments for sshd: where and how it listens, and its algorithms. What could open more than rsync is refused.
        pub parameters: Option<String> = optional("SSH_PARAMS").example("-o ListenAddress=10.0.0.1"),
        /// `server`: folder with the host keys; mount a volume there.
        pub host_keys: PathBuf = default("SSH_HOST_KEYS_DIR", "/ssh_host_keys"),
    }
}

shared::settings! {
    /// What `server` reads.
    pub struct ServerSettings {
        /// Its own settings.
        pub server: ServerOptions,
        /// Where an `authorized_keys` of an operator may lie.
        pub ssh: SshSettings,
        /// How long sshd may take to end after a wish to stop.
        pub grace: Span = shared::shutdown::GRACE,
        /// As for `run`; by itself `rsync-client/server/health.json` below SSH_DIR.
        pub health_file: Option<PathBuf> = optional("HEALTH_FILE").example("/tmp/health.json"),
        /// Level and format of the log.
        pub log: LogOptions,
    }
}

shared::settings! {
    /// The few settings that `health` and `history` need: they must answer when others are wrong.
    pub struct StateSettings {
        /// As for `run`.
        pub analytics_dir: PathBuf = default("ANALYTICS_DIR", "/analytics"),
        /// As for `run`.
        pub health_file: Option<PathBuf> = optional("HEALTH_FILE").example("/tmp/health.json"),
    }
}

shared::settings! {
    /// What `health` needs to know which jobs there are.
    pub struct HealthSettings {
        /// Where the state lies.
        pub state: StateSettings,
        /// As for `run`.
        pub commands: Option<IsSet> = optional("RSYNC_COMMANDS"),
        /// As for `run`.
        pub tasks: Family<IsSet>,
        /// As for `run`.
        pub ssh_folder: Option<PathBuf> = optional("SSH_DIR").example("/ssh"),
    }
}

shared::settings! {
    /// What `key` and `exec` need.
    pub struct KeySettings {
        /// As for `run`.
        pub ssh: SshSettings,
        /// As for `run`.
        pub commands: Option<Script> = optional("RSYNC_COMMANDS"),
        /// As for `run`.
        pub log: LogOptions,
    }
}

shared::settings! {
    /// What every Unix program is given.
    pub struct Surroundings {
        /// Folder of the user.
        pub home: Option<PathBuf> = optional("HOME"),
        /// Folders of programs.
        pub path: String = default("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        /// What a client of our `server` asks for.
        pub original_command: Option<String> = optional("SSH_ORIGINAL_COMMAND"),
    }
}

/// A variable of which only matters that it is set: its text may be wrong, and is nobody's business.
#[derive(Clone, Copy, Debug)]
pub struct IsSet;

impl Value for IsSet {
    fn rule() -> String {
        "text".to_owned()
    }

    fn parse(_: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn shown(_: &str) -> String {
        shared::secret::HIDDEN.to_owned()
    }
}

impl Kin for IsSet {
    const NAMES: &'static str = Task::NAMES;
    const ABOUT: &'static str = Task::ABOUT;
    const EXAMPLE: &'static str = Task::EXAMPLE;
}

/// Whether RSYNC_COMMANDS is cut into its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitMode {
    /// Where that is sure to be safe.
    Auto,
    /// Not at all.
    Never,
}

impl Value for SplitMode {
    fn rule() -> String {
        "auto or never".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(SplitMode::Auto),
            "never" => Ok(SplitMode::Never),
            _ => Err(String::new()),
        }
    }
}

impl Settings {
    /// Folder with one folder per site.
    pub fn logs_folder(&self) -> PathBuf {
        self.analytics_dir.join("logs")
    }

    /// Folder of our own state, where no `--delete` of a site's folder reaches.
    pub fn state_folder(&self) -> PathBuf {
        self.analytics_dir.join("rsync")
    }

    /// How often and how far apart a command is tried.
    pub fn policy(&self) -> Policy {
        Policy {
            attempts: 1 + self.retries.get() as u32,
            first_wait: self.retry_delay.get(),
            wait_max: RETRY_DELAY_MAX.max(self.retry_delay.get()),
            seed: u64::from(std::process::id()),
        }
    }

    /// The file that `health` reads.
    pub fn health_file(&self) -> PathBuf {
        StateSettings { analytics_dir: self.analytics_dir.clone(), health_file: self.health_file.clone() }.health_file()
    }
}

impl StateSettings {
    /// The file that `health` reads.
    pub fn health_file(&self) -> PathBuf {
        self.health_file.clone().unwrap_or_else(|| self.analytics_dir.join("rsync/health.json"))
    }
}

impl HealthSettings {
    /// The jobs and the files in which their health is written. Where nothing is fetched, that is `server`.
    pub fn jobs(&self, around: &Surroundings) -> Vec<(String, PathBuf)> {
        let passes = ("rsync".to_owned(), self.state.health_file());
        let server = server_health_file(&around.ssh_folder(self.ssh_folder.as_ref()));
        let state = self.state.analytics_dir.join("rsync");
        let tasks = self.tasks.iter().map(|(name, _)| task::label(name)).map(|label| {
            let file = task::health_file(&state, &label);
            (label, file)
        });
        let jobs: Vec<_> = self.commands.iter().map(|_| passes.clone()).chain(tasks).collect();
        let nothing_runs = jobs.iter().all(|(_, file)| !file.exists());
        match &self.state.health_file {
            _ if !nothing_runs => jobs,
            None if server.exists() => vec![("server".to_owned(), server)],
            _ if jobs.is_empty() => vec![passes],
            _ => jobs,
        }
    }
}

/// What we write for sshd and for our sessions lies here, out of reach of all keys.
pub fn server_folder(ssh_folder: &Path) -> PathBuf {
    ssh_folder.join("rsync-client").join("server")
}

/// The file in which `server` writes its health by itself.
pub fn server_health_file(ssh_folder: &Path) -> PathBuf {
    server_folder(ssh_folder).join("health.json")
}

impl Surroundings {
    /// Folder with keys and known hosts, as SSH_DIR says or by itself.
    pub fn ssh_folder(&self, given: Option<&PathBuf>) -> PathBuf {
        let home = || self.home.clone().unwrap_or_else(|| PathBuf::from("/root"));
        given.cloned().unwrap_or_else(|| home().join(".ssh"))
    }
}

impl SshSettings {
    /// Folder with keys and known hosts.
    pub fn folder(&self, around: &Surroundings) -> PathBuf {
        around.ssh_folder(self.folder.as_ref())
    }

    /// The configuration for our ssh.
    pub fn client(&self, around: &Surroundings, keys: Vec<PathBuf>) -> ClientOptions {
        ClientOptions {
            folder: self.folder(around),
            connect_timeout: self.connect_timeout.get(),
            stall_timeout: self.stall_timeout.get(),
            pinned_hosts: self.known_hosts.clone(),
            keys,
            search_path: around.path.clone(),
        }
    }
}

shared::settings! {
    /// All of them, for the reference page.
    struct Everything {
        /// Of the client.
        client: Settings,
        /// Of the server.
        server: ServerOptions,
    }
}

/// The rows of this program in `docs/reference/environment.md`.
pub fn reference() -> String {
    shared::config::reference::<Everything>()
}

/// Which unknown variables are worth a warning: those that look like ours.
pub fn neighbours() -> Neighbours {
    Neighbours {
        ours: &["RSYNC_", "MATOMO_RSYNC_"],
        // Read by rsync and ssh themselves, and by the server mode.
        theirs: &[
            "RSYNC_RSH",
            "RSYNC_PASSWORD",
            "RSYNC_PROXY",
            "RSYNC_CONNECT_PROG",
            "RSYNC_PARTIAL_DIR",
            "RSYNC_PROTECT_ARGS",
            "RSYNC_OLD_ARGS",
            "RSYNC_ICONV",
            "RSYNC_CHECKSUM_LIST",
            "RSYNC_COMPRESS_LIST",
            "RSYNC_MAX_ALLOC",
            "SSH_AUTH_*",
            "SSH_AGENT_PID",
            "SSH_ASKPASS",
            "SSH_CONNECTION",
            "SSH_CLIENT",
            "SSH_TTY",
            "SSH_PORT",
            "SSH_PARAMS",
            "SSH_SERVER_DIR",
            "SSH_HOST_KEYS_DIR",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_can_be_read() {
        assert_eq!(shared::config::faults_in_declaration::<Everything>(), Vec::<String>::new());
    }
}
