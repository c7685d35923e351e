//! `server`: sshd for the keys in `SSH_AUTH_KEY*`, with nothing but rsync for them.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use shared::config;
use shared::entry::{Exit, Failure};
use shared::files;
use shared::process::{Limits, Program, find_program};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use super::start::surroundings;
use crate::config::{ServerSettings, neighbours};
use crate::ssh::{AuthorizedKey, AuthorizedKeys, HostKeys};

/// Where sshd drops its rights; it does not start without.
const EMPTY_FOLDER: &str = "/run/sshd";

/// Serves until asked to stop.
pub fn server() -> Result<Exit, Failure> {
    let settings = config::from_env::<ServerSettings>(&neighbours())?.settings;
    shared::logging::start(&settings.log);
    info!(version = env!("CARGO_PKG_VERSION"), "rsync-client starts as a server");
    let ssh_folder = settings.ssh.folder(&surroundings()?);
    let keys = keys(&settings, &ssh_folder);
    if keys.is_empty() {
        let what = "No SSH_AUTH_KEY provided, you'll not be able to connect to this container.";
        return Err(Failure::new(Exit::Failed, what)
            .help("set SSH_AUTH_KEY (or SSH_AUTH_KEY_1, …) to the public keys that may connect"));
    }
    let shutdown = super::listen()?;
    super::block_on(serve(&settings, &ssh_folder, &keys, &shutdown))?
}

/// Those in the variables, and those that lie on the volume.
fn keys(settings: &ServerSettings, ssh_folder: &Path) -> Vec<AuthorizedKey> {
    let given = settings
        .server
        .key
        .iter()
        .chain(settings.server.keys.iter().map(|(_, keys)| keys))
        .flat_map(|keys| keys.0.clone());
    let lying = fs::read_to_string(ssh_folder.join("authorized_keys")).unwrap_or_default();
    let mut keys: Vec<AuthorizedKey> = given.chain(AuthorizedKeys::of(&lying).0).collect();
    keys.dedup();
    keys
}

async fn serve(
    settings: &ServerSettings,
    ssh_folder: &Path,
    keys: &[AuthorizedKey],
    shutdown: &Shutdown,
) -> Result<Exit, Failure> {
    let sshd = find_program("sshd").or_else(|_| find_program("/usr/sbin/sshd"))?;
    let host_keys = HostKeys::in_folder(&settings.server.host_keys).ensure().await?;
    let config = write_config(settings, ssh_folder, &host_keys, keys)?;
    if let Err(error) = fs::create_dir_all(EMPTY_FOLDER) {
        warn!(folder = EMPTY_FOLDER, why = error.to_string(), "Folder that sshd needs cannot be made");
    }
    let more = settings.server.parameters.as_deref().unwrap_or_default();
    let more = crate::script::words(more).ok_or_else(|| {
        Failure::new(Exit::Config, "SSH_PARAMS cannot be read")
            .help("write arguments of sshd, separated by blanks, such as: -o ListenAddress=10.0.0.1")
    })?;
    info!(
        port = settings.server.port.get(),
        keys = keys.len(),
        host_keys = settings.server.host_keys.display().to_string(),
        "Serving rsync over ssh"
    );
    let program = Program::new(sshd.to_string_lossy()).args(["-D", "-e", "-f"]).arg(&config).args(more);
    let limits = Limits { grace: settings.grace.get(), ..Limits::default() };
    let ended = program.run(&limits, shutdown).await?;
    if shutdown.requested() {
        shutdown.say_stopped("rsync-client");
        return Ok(Exit::Done);
    }
    Err(Failure::new(Exit::Failed, ended.sentence())
        .help("sshd's own words above say why; a port that is taken, or an option in SSH_PARAMS that it does not know"))
}

fn write_config(
    settings: &ServerSettings,
    ssh_folder: &Path,
    host_keys: &[PathBuf],
    keys: &[AuthorizedKey],
) -> Result<PathBuf, Failure> {
    let folder = ssh_folder.join("rsync-client").join("server");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
        Failure::new(Exit::CannotCreate, format!("cannot make the folder {}: {error}", folder.display()))
            .help("mount a volume at SSH_DIR that the user of this container may write")
    })?;
    let ourselves = std::env::current_exe().map_err(|error| Failure::new(Exit::Software, error))?;
    let command = format!("'{}' rrsync", ourselves.display());
    let lines: String = keys.iter().map(|key| key.line(&command) + "\n").collect();
    let authorized = folder.join("authorized_keys");
    files::replace(&authorized, lines.as_bytes())?;
    let host_keys: String = host_keys.iter().map(|key| format!("HostKey \"{}\"\n", key.display())).collect();
    let port = settings.server.port.get();
    // The list of keys is ours and new at every start, wherever its folder lies: hence no StrictModes.
    let text = format!(
        "# Written by rsync-client at every start; SSH_PARAMS wins over it.\n\
         Port {port}\n{host_keys}\
         AuthorizedKeysFile \"{authorized}\"\n\
         StrictModes no\nUsePAM no\nPidFile none\n\
         PermitRootLogin forced-commands-only\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         DisableForwarding yes\nPermitTTY no\nPermitUserRC no\n",
        authorized = authorized.display(),
    );
    let config = folder.join("sshd_config");
    files::replace(&config, text.as_bytes())?;
    Ok(config)
}
