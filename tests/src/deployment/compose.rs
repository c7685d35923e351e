//! Compose files, and the real `docker-compose` that judges them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::form::yaml;
use super::template::Answers;
use crate::repository::{read, root};

/// A compose file.
pub struct Stack(Value);

/// One of its services.
pub struct Service<'a>(&'a Value);

impl Stack {
    /// Of a file, named from the root of the repository.
    pub fn of(file: &str) -> Self {
        Self::parse(&read(Path::new(file)))
    }

    /// Of a text.
    pub fn parse(text: &str) -> Self {
        Self(yaml(text))
    }

    /// All services by name.
    pub fn services(&self) -> BTreeMap<&str, Service<'_>> {
        let services = self.0["services"].as_object().into_iter().flatten();
        services.map(|(name, service)| (name.as_str(), Service(service))).collect()
    }

    /// Those that are our sidecars, with the name of the sidecar.
    pub fn sidecars(&self) -> Vec<(String, Service<'_>)> {
        let services = self.services().into_iter();
        services.filter_map(|(name, service)| Some((service.sidecar(name)?, service))).collect()
    }
}

impl<'a> Service<'a> {
    /// A key of the service.
    pub fn get(&self, key: &str) -> &'a Value {
        &self.0[key]
    }

    /// The list below a key; empty when it is not there.
    pub fn list(&self, key: &str) -> Vec<&'a str> {
        self.0[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// What is passed to it, in the words of the file.
    pub fn environment(&self) -> BTreeMap<&'a str, String> {
        let all = self.0["environment"].as_object().into_iter().flatten();
        all.map(|(name, value)| (name.as_str(), text(value))).collect()
    }

    /// Labels, in the words of the file.
    pub fn labels(&self) -> BTreeMap<&'a str, String> {
        let all = self.0["labels"].as_object().into_iter().flatten();
        all.map(|(name, value)| (name.as_str(), text(value))).collect()
    }

    /// Which sidecar it is; an archiver may come in an image of Matomo.
    fn sidecar(&self, service: &str) -> Option<String> {
        if service.starts_with("archiver") {
            return Some("archiver".to_owned());
        }
        let image = self.0["image"].as_str()?;
        let (_, name) = image.strip_prefix("${REGISTRY")?.split_once("}/")?;
        Some(name.split(':').next().unwrap_or(name).to_owned())
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What `${NAME:-default}` gives when nothing is set; other text is itself.
pub fn when_unset(value: &str) -> String {
    when_answered(value, &Answers::new())
}

/// A value with the answers in it; an empty answer leaves the default.
pub fn when_answered(value: &str, answers: &Answers) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let Some((asked, after)) = rest.split_once('}') else { return value.to_owned() };
    let (name, default) = asked.split_once(":-").unwrap_or((asked, ""));
    let answer = answers.get(name).map_or("", String::as_str);
    let answer = if answer.is_empty() { default } else { answer };
    before.to_owned() + answer + &when_answered(after, answers)
}

/// What the real `docker-compose config` says of these files; its answer, or its complaints.
///
/// # Errors
/// Whatever it wrote to standard error, a mere warning too.
///
/// # Panics
/// When it cannot be started.
pub fn judged(files: &[&Path], more: &[&str], answers: &Answers) -> Result<String, String> {
    let mut command = Command::new("docker-compose");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent");
    command.envs(answers).current_dir(root());
    for file in files {
        command.arg("--file").arg(file);
    }
    let told = command.args(more).arg("config").output();
    let told = told.unwrap_or_else(|error| panic!("docker-compose cannot be started: {error}"));
    let complaints = String::from_utf8_lossy(&told.stderr).into_owned();
    if told.status.success() && complaints.is_empty() {
        return Ok(String::from_utf8_lossy(&told.stdout).into_owned());
    }
    Err(format!("{} {complaints}", told.status))
}
