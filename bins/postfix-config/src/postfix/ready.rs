//! Everything that must be right before Postfix starts, in the order in which it can be wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use shared::entry::{Exit, Failure};
use tracing::{error, info, warn};

use super::ownership::{Owner, OwnershipError, give_data_folder, give_queue};
use super::{Postfix, Refusal, Shortage, is_running, not_installed};
use crate::config::Settings;
use crate::plan::{Plan, Secrets};
use crate::value::Interface;

/// Whether the written configuration is checked before the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// As always.
    Made,
    /// An operator is in a hurry.
    Skipped,
}

/// Writes the configuration and checks it together with its surroundings.
///
/// # Errors
/// The first step that fails, with everything that is wrong in it.
pub async fn make_ready(settings: &Settings, checks: Checks) -> Result<Postfix, Failure> {
    let place = &settings.place;
    be_root()?;
    be_alone(place.queue_dir.as_path())?;
    find_port(settings)?;
    let owner = Owner::of_image()?;
    own_folders(settings, owner)?;
    let changes = Plan::of(settings, place.config_dir.as_path(), Secrets::Written).write()?;
    info!(folder = %place.config_dir, written = changes.written.join(" "), removed = changes.removed.join(" "), "configuration is in place");
    let postfix = Postfix::at(place.config_dir.as_path(), settings.zone.as_ref());
    if checks == Checks::Skipped {
        warn!("nothing was checked, as asked by --without-checks");
        return Ok(postfix);
    }
    // Side by side, because each is a program or more; what the first says explains the second best.
    let queue = place.queue_dir.as_path();
    let (refusals, check, room) = tokio::join!(postfix.validate(settings), postfix.check(), find_room(&postfix, queue));
    room?;
    let mut refusals = refusals.map_err(not_installed)?;
    if refusals.is_empty() {
        refusals.extend(check.map_err(not_installed)?);
    }
    if !refusals.is_empty() {
        return Err(Refusal::failure(refusals));
    }
    Ok(postfix)
}

/// A queue with too little room is started all the same: what waits in it may leave and make room.
async fn find_room(postfix: &Postfix, queue: &Path) -> Result<(), Failure> {
    match postfix.shortage(queue).await? {
        Some(shortage) if shortage.is_total() => Err(shortage.into()),
        Some(shortage) => {
            let why = shortage.to_string();
            error!(why, help = Shortage::HELP, "there is no room for mail: clients are told to come back later");
            Ok(())
        }
        None => Ok(()),
    }
}

pub(super) fn be_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let uid = rustix::process::geteuid().as_raw();
    Err(Failure::new(Exit::Config, format!("this container runs as user {uid}, but Postfix starts as root only"))
        .help("run the container as root (no `user:`); Postfix gives up its rights itself, one service at a time"))
}

fn be_alone(queue: &Path) -> Result<(), Failure> {
    match is_running(queue) {
        Ok(Some(true)) => Err(Failure::new(
            Exit::TryAgain,
            format!("another Postfix is running on the queue {}", queue.display()),
        )
        .help("one queue, one Postfix: stop the other one, or give this one a volume of its own; nothing was changed")),
        Ok(Some(false) | None) => Ok(()),
        Err(error) => {
            Err(Failure::new(Exit::CannotCreate, format!("cannot look at the queue {}: {error}", queue.display())))
        }
    }
}

/// Postfix would end without a word when somebody else listens there.
fn find_port(settings: &Settings) -> Result<(), Failure> {
    let port = settings.listen_port.get();
    for address in addresses(settings) {
        let address = SocketAddr::new(address, port);
        if let Err(error) = TcpListener::bind(address) {
            let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
            // An address that is not there yet, or no IPv6 at all: Postfix knows better.
            if !in_use && error.kind() != std::io::ErrorKind::PermissionDenied {
                continue;
            }
            let help = match in_use {
                true => "stop the other program, or set MTP_LISTEN_PORT or MTP_INTERFACES",
                false => {
                    "let the container keep the capability NET_BIND_SERVICE, or set MTP_LISTEN_PORT to a port from 1024 on"
                }
            };
            return Err(Failure::new(Exit::Unavailable, format!("cannot listen on {address}: {error}")).help(help));
        }
    }
    Ok(())
}

fn addresses(settings: &Settings) -> Vec<IpAddr> {
    let allows = |address: &IpAddr| settings.protocols.iter().any(|protocol| protocol.has(*address));
    let listed = settings.interfaces.iter().flat_map(|interface| match interface {
        Interface::All => vec![IpAddr::from(Ipv4Addr::UNSPECIFIED)],
        Interface::Loopback => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Interface::Address(address) => vec![*address],
        Interface::Name(_) => Vec::new(),
    });
    listed.filter(allows).collect()
}

/// Where a client in this container reaches Postfix.
pub fn listening_at(settings: &Settings) -> IpAddr {
    let listed = addresses(settings);
    let loopback = listed.iter().find(|address| address.is_loopback() || address.is_unspecified());
    match loopback.or(listed.first()) {
        Some(address) if !address.is_unspecified() => *address,
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

pub(super) fn own_folders(settings: &Settings, owner: Owner) -> Result<(), OwnershipError> {
    let (queue, data) = (&settings.place.queue_dir, &settings.place.data_dir);
    let strangers = give_queue(queue.as_path(), owner)?;
    if !strangers.is_empty() {
        warn!(folder = %queue, owners = ?strangers, "queue belonged to somebody else and was given back to postfix");
    }
    if give_data_folder(data.as_path(), owner)? {
        info!(folder = %data, "data folder was given to postfix");
    }
    Ok(())
}

impl From<OwnershipError> for Failure {
    fn from(error: OwnershipError) -> Self {
        let help = match &error {
            OwnershipError::Unknown { .. } => "the image must have Debian's package postfix",
            OwnershipError::Refused { .. } => {
                "mount writable volumes at MTP_QUEUE_DIR and MTP_DATA_DIR, and let the container keep the capabilities CHOWN, DAC_OVERRIDE and FOWNER"
            }
        };
        Failure::new(Exit::CannotCreate, error).help(help)
    }
}
