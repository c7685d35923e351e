//! Compose, as the plugin of current engines or as the old program.

use std::process::Command;

use super::{Container, TAG, docker, own_name, said};
use crate::repository::root;

/// A compose command on files of the repository.
pub fn compose(files: &[&str], words: &[&str]) -> Command {
    let plugin = docker(&["compose", "version"]).is_ok();
    let mut command = Command::new(if plugin { "docker" } else { "docker-compose" });
    if plugin {
        command.arg("compose");
    }
    for file in files {
        command.args(["--file", file]);
    }
    command.args(words).current_dir(root());
    command
}

/// A stack of containers under a name of its own. It is taken down, with its volumes, when it is dropped.
#[derive(Debug)]
pub struct Project {
    files: Vec<String>,
    name: String,
    answers: Vec<(String, String)>,
}

impl Project {
    /// A stack of the images of the tests, which has not been started yet.
    pub fn of(files: &[&str]) -> Self {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        Self { files, name: own_name(), answers: Vec::new() }.answer("TAG", TAG)
    }

    /// The answer to a question of the files, as in `.env`.
    #[must_use]
    pub fn answer(mut self, name: &str, answer: &str) -> Self {
        self.answers.push((name.to_owned(), answer.to_owned()));
        self
    }

    /// One more file, for what is started from now on.
    pub fn add(&mut self, file: &str) {
        self.files.push(file.to_owned());
    }

    /// Brings these services up, or all.
    ///
    /// # Panics
    /// When they do not come up.
    #[track_caller]
    pub fn up(&self, services: &[&str]) {
        self.says(&[&["up", "--detach"], services].concat());
    }

    /// `compose stop`: everything, each in the grace that the files give it.
    #[track_caller]
    pub fn stop(&self) {
        self.says(&["stop"]);
    }

    /// What a service said so far.
    #[track_caller]
    pub fn logs(&self, service: &str) -> String {
        self.says(&["logs", "--no-color", service])
    }

    /// The container of a service. It is removed when this is dropped.
    #[track_caller]
    pub fn container(&self, service: &str) -> Container {
        Container { id: self.says(&["ps", "--quiet", service]) }
    }

    #[track_caller]
    fn says(&self, words: &[&str]) -> String {
        self.try_say(words).unwrap_or_else(|why| panic!("{why:#}"))
    }

    fn try_say(&self, words: &[&str]) -> anyhow::Result<String> {
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        let words = [&["--project-name", &self.name], words].concat();
        said(compose(&files, &words).envs(self.answers.iter().map(|(name, answer)| (name, answer))))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.try_say(&["down", "--volumes"]);
    }
}
