//! `server`: sshd for the keys in `SSH_AUTH_KEY*`, each with rsync in a folder of its own and nothing else.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shared::config;
use shared::entry::{Exit, Failure};
use shared::files;
use shared::health::{Health, Outcome};
use shared::process::{Limits, Program, find_program};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use super::start::surroundings;
use crate::config::{ServerSettings, neighbours, server_folder, server_health_file};
use crate::server::parameters::parameters;
use crate::server::share::{Share, shares};
use crate::ssh::{AuthorizedKey, AuthorizedKeys, HostKeys};

/// Where sshd drops its rights; it does not start without.
const EMPTY_FOLDER: &str = "/run/sshd";
/// Begins the line with which sshd says that it is ready.
const LISTENING: &str = "Server listening on";
/// Only we and sshd read what we write for it.
const MODE: u32 = 0o600;

/// Serves until asked to stop.
pub fn server() -> Result<Exit, Failure> {
    let settings = config::from_env::<ServerSettings>(&neighbours())?.settings;
    shared::logging::start(&settings.log);
    info!(version = env!("CARGO_PKG_VERSION"), "rsync-client starts as a server");
    let ssh_folder = settings.ssh.folder(&surroundings()?);
    let keys = keys(&settings, &ssh_folder)?;
    if keys.is_empty() {
        let what = "No SSH_AUTH_KEY provided, you'll not be able to connect to this container.";
        return Err(Failure::new(Exit::Failed, what)
            .help("set SSH_AUTH_KEY (or SSH_AUTH_KEY_1, …) to the public keys that may connect"));
    }
    let shutdown = super::listen()?;
    super::block_on(async { Served::prepare(&settings, &ssh_folder, &keys).await?.serve(&shutdown).await })?
}

/// Those in the variables, and those that lie on the volume.
fn keys(settings: &ServerSettings, ssh_folder: &Path) -> Result<Vec<AuthorizedKey>, Failure> {
    let given = settings
        .server
        .key
        .iter()
        .chain(settings.server.keys.iter().map(|(_, keys)| keys))
        .flat_map(|keys| keys.0.clone());
    let file = ssh_folder.join("authorized_keys");
    let lying = AuthorizedKeys::of(&fs::read_to_string(&file).unwrap_or_default()).map_err(|why| {
        Failure::new(Exit::Config, format!("{} cannot be used: {why}", file.display()))
            .help("correct or remove that line; docs/rsync-client.md says what may stand in front of a key")
    })?;
    Ok(given.chain(lying.0).collect())
}

/// What sshd serves, ready for it.
struct Served<'a> {
    settings: &'a ServerSettings,
    health_file: PathBuf,
    config: PathBuf,
    parameters: Vec<String>,
    shares: Vec<Share>,
}

impl<'a> Served<'a> {
    async fn prepare(settings: &'a ServerSettings, ssh_folder: &Path, keys: &[AuthorizedKey]) -> Result<Self, Failure> {
        let parameters = parameters(settings.server.parameters.as_deref().unwrap_or_default()).map_err(|why| {
            Failure::new(Exit::Config, format!("SSH_PARAMS cannot be used: {why}")).help(
                "write where and how sshd listens, such as: -o ListenAddress=10.0.0.1; what could open more than rsync is not taken",
            )
        })?;
        let folder = server_folder(ssh_folder);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
            Failure::new(Exit::CannotCreate, format!("cannot make the folder {}: {error}", folder.display()))
                .help("mount a volume at SSH_DIR that the user of this container may write")
        })?;
        let host_keys = HostKeys::in_folder(&settings.server.host_keys).ensure().await?;
        let ourselves = std::env::current_exe().map_err(|error| Failure::new(Exit::Software, error))?;
        let ours = [ssh_folder.to_owned(), settings.server.host_keys.clone(), ourselves.clone()];
        if !settings.server.folder.exists() {
            warn!(folder = %settings.server.folder.display(), "SSH_SERVER_DIR is not there and is made: is its volume mounted?");
        }
        let shares = shares(&settings.server.folder, keys, &ours)?;
        let authorized = write_keys(&folder, &ourselves, &shares)?;
        let config = folder.join("sshd_config");
        files::replace_with_mode(&config, sshd_config(settings, &host_keys, &authorized).as_bytes(), MODE)?;
        let health_file = settings.health_file.clone().unwrap_or_else(|| server_health_file(ssh_folder));
        Ok(Self { settings, health_file, config, parameters, shares })
    }

    async fn serve(self, shutdown: &Shutdown) -> Result<Exit, Failure> {
        let sshd = find_program("sshd").or_else(|_| find_program("/usr/sbin/sshd"))?;
        if let Err(error) = fs::create_dir_all(EMPTY_FOLDER) {
            warn!(folder = EMPTY_FOLDER, why = error.to_string(), "Folder that sshd needs cannot be made");
        }
        for share in &self.shares {
            let (folder, access) = (share.module.folder.display(), if share.module.may_write { "rw" } else { "ro" });
            info!(key = share.key.name(), %folder, access, "A key has a folder");
        }
        let (port, keys) = (self.settings.server.port.get(), self.shares.len());
        info!(port, keys, host_keys = %self.settings.server.host_keys.display(), "Serving rsync over ssh");
        let mut health = Health::start(self.health_file, Timestamp::now(), None)?;
        let program = Program::new(sshd.to_string_lossy()).args(["-D", "-e", "-f"]).arg(&self.config);
        let limits = Limits { grace: self.settings.grace.get(), ..Limits::default() };
        let ended = program.args(self.parameters).run_with(&limits, shutdown, |line| {
            if line.text().starts_with(LISTENING) {
                let sentence = format!("serves rsync over ssh for {keys} keys");
                if let Err(error) = health.run_ended(Timestamp::now(), Outcome::Success, sentence, None) {
                    warn!(why = error.to_string(), help = error.help(), "Health cannot be written");
                }
            }
        });
        let ended = ended.await?;
        if shutdown.requested() {
            shutdown.say_stopped("rsync-client");
            return Ok(Exit::Done);
        }
        Err(Failure::new(Exit::Failed, ended.sentence()).help(
            "sshd's own words above say why; a port that is taken, or an option in SSH_PARAMS that it does not know",
        ))
    }
}

/// The list of keys, and what each may reach.
fn write_keys(folder: &Path, ourselves: &Path, shares: &[Share]) -> Result<PathBuf, Failure> {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let is_root = fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0);
    let mut lines = String::new();
    for (at, share) in shares.iter().enumerate() {
        let module = folder.join(format!("rsyncd-{}.conf", at + 1));
        share.module.write(&module, is_root)?;
        lines += &share.key.line(&format!("{} rrsync {}", quoted(ourselves), quoted(&module)));
        lines.push('\n');
    }
    let authorized = folder.join("authorized_keys");
    files::replace_with_mode(&authorized, lines.as_bytes(), MODE)?;
    Ok(authorized)
}

/// sshd as strict as can be: keys of our list, their forced command, and nothing beside it.
fn sshd_config(settings: &ServerSettings, host_keys: &[PathBuf], authorized: &Path) -> String {
    let host_keys: String = host_keys.iter().map(|key| format!("HostKey \"{}\"\n", key.display())).collect();
    // The list of keys is ours and new at every start, wherever its folder lies: hence no StrictModes.
    format!(
        "# Written by rsync-client at every start.\n\
         Port {port}\n{host_keys}\
         AuthorizedKeysFile \"{authorized}\"\n\
         AuthorizedKeysCommand none\n\
         AuthenticationMethods publickey\n\
         StrictModes no\nUsePAM no\nPidFile none\n\
         PermitRootLogin forced-commands-only\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nHostbasedAuthentication no\n\
         PermitUserEnvironment no\nPermitTTY no\nPermitUserRC no\nPermitTunnel no\n\
         DisableForwarding yes\n",
        port = settings.server.port.get(),
        authorized = authorized.display(),
    )
}
