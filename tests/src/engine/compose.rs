//! Compose, as the plugin of current engines or as the old program.

use std::process::Command;

use super::{TAG, docker, own_name, said};
use crate::repository::root;

/// A compose command on a file of the repository.
pub fn compose(file: &str, words: &[&str]) -> Command {
    let plugin = docker(&["compose", "version"]).is_ok();
    let mut command = Command::new(if plugin { "docker" } else { "docker-compose" });
    if plugin {
        command.arg("compose");
    }
    command.args(["--file", file]).args(words).current_dir(root());
    command
}

/// A stack of containers under a name of its own. It is taken down, with its volumes, when it is dropped.
#[derive(Debug)]
pub struct Project {
    file: String,
    name: String,
}

impl Project {
    /// Brings a file up with the images of the tests.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn up(file: &str) -> Self {
        let project = Self { file: file.to_owned(), name: own_name() };
        project.says(&["up", "--detach"]).unwrap_or_else(|why| panic!("{why:#}"));
        project
    }

    /// What a service said so far.
    ///
    /// # Panics
    /// When compose knows no such service.
    #[track_caller]
    pub fn logs(&self, service: &str) -> String {
        self.says(&["logs", "--no-color", service]).unwrap_or_else(|why| panic!("{why:#}"))
    }

    fn says(&self, words: &[&str]) -> anyhow::Result<String> {
        let words = [&["--project-name", &self.name], words].concat();
        said(compose(&self.file, &words).env("TAG", TAG))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.says(&["down", "--volumes"]);
    }
}
