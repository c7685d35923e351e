//! A named volume, as operators have them.

use std::path::Path;

use super::{Container, LABEL, Recipe, docker};

/// A volume. It is removed when it is dropped, so declare it before the containers that mount it.
#[derive(Debug)]
pub struct Volume(String);

impl Volume {
    /// A new one: it takes the owner of the folder that it first covers.
    ///
    /// # Panics
    /// When the engine makes none.
    #[expect(clippy::new_without_default, reason = "it makes something outside of this program")]
    pub fn new() -> Self {
        Self(docker(&["volume", "create", "--label", LABEL]).unwrap())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// A shell command as root in a container that sees nothing but the volume, at `/volume`; answers what it said.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn sh(&self, command: &str) -> String {
        self.desk().run(&["-c", command]).is(0).output
    }

    /// Copies a folder of this machine into the volume.
    ///
    /// # Panics
    /// When it cannot.
    #[track_caller]
    pub fn take(&self, from: &Path, to: &str) {
        let desk: Container = self.desk().create(&["-c", "exit 0"]);
        docker(&["cp", &from.display().to_string(), &format!("{}:/volume/{to}", desk.id())]).unwrap();
    }

    fn desk(&self) -> Recipe {
        let words = ["--entrypoint", "/bin/sh", "--user", "0:0", "--network", "none"];
        Recipe::of("rsync-client").with(&words).mount(self, "/volume")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Nothing can be done about a volume that stays; its label tells where it is from.
        let _ = docker(&["volume", "rm", "--force", &self.0]);
    }
}
