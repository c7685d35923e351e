//! Containers on the engine of this machine, by the `docker` command alone. Everything made here carries [`LABEL`] and is
//! taken away by its own number when its value is dropped, also when a test fails.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test without its engine can only fail")]

mod compose;
mod container;
mod volume;

use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};

pub use compose::{Project, compose};
pub use container::{Container, End, HARDENED, Recipe};
pub use volume::Volume;

/// What containers, networks and volumes of tests can be told by, should a killed test leave one behind.
pub const LABEL: &str = "org.matomo-sidecars.made-by=tests";
/// The tag of the images that tests run, so that they are never taken for those that operators run.
pub const TAG: &str = "test";
/// Runs a command to its end without showing what it says.
///
/// # Errors
/// When it cannot be started or fails, with what it said about it.
pub fn said(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{name} ended with {status}: {}", String::from_utf8_lossy(&stderr).trim());
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}

/// Asks `docker` something.
///
/// # Errors
/// When it fails, with its own words.
pub fn docker(words: &[&str]) -> anyhow::Result<String> {
    said(Command::new("docker").args(words)).with_context(|| format!("docker {}", words.join(" ")))
}

/// Does an engine answer?
///
/// # Errors
/// When none does, with what to do.
pub fn answers() -> anyhow::Result<()> {
    let version = docker(&["version", "--format", "{{.Server.Version}}"]);
    version.map(drop).context(
        "no Docker engine answers, so no image can be built or run; on Debian, as root: \
         apt-get install docker.io debootstrap, then start dockerd",
    )
}

/// The full name of an image under test.
///
/// # Panics
/// When it was not built.
#[track_caller]
pub fn image(name: &str) -> String {
    let image = format!("matomo-sidecars/{name}:{TAG}");
    let found = docker(&["image", "inspect", "--format", "{{.Id}}", &image]);
    found.unwrap_or_else(|why| {
        panic!(
            "{why:#}; `cargo xtask test` builds the images of the tests, and so does `cargo xtask images --for-tests`"
        )
    });
    image
}

/// A name that nothing else has at this time.
fn own_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("tests-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A network of its own, on which containers reach this machine at [`Network::gateway`].
#[derive(Debug)]
pub struct Network {
    id: String,
    name: String,
}

impl Network {
    /// A new one.
    ///
    /// # Panics
    /// When the engine makes none.
    #[expect(clippy::new_without_default, reason = "it makes something outside of this program")]
    pub fn new() -> Self {
        let name = own_name();
        Self { id: docker(&["network", "create", "--label", LABEL, &name]).unwrap(), name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// This machine, as containers on this network see it.
    ///
    /// # Panics
    /// When it has none.
    pub fn gateway(&self) -> Ipv4Addr {
        let format = "{{(index .IPAM.Config 0).Gateway}}";
        docker(&["network", "inspect", "--format", format, &self.id]).unwrap().parse().expect("an address")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A container that is still on it is dropped later, and says so itself.
        let _ = docker(&["network", "rm", &self.id]);
    }
}
