//! The crates that the programs are built from, and what is known against them.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, bail};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::repository::root;

/// Where the advisories lie, from the root of the repository.
pub const ADVISORIES: &str = "tests/advisories.json";

/// A crate of `Cargo.lock` that is built for the machines we ship to.
#[derive(Debug, Clone, Deserialize)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, an expression of SPDX.
    #[serde(default)]
    pub license: Option<String>,
}

/// Every crate of this workspace and all that they are built from. Nothing is fetched.
///
/// # Errors
/// When cargo cannot tell, as where not all of them were fetched before.
pub fn crates() -> anyhow::Result<Vec<Crate>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--format-version=1", "--locked", "--offline"]);
    let output = cargo.arg("--filter-platform=x86_64-unknown-linux-gnu").current_dir(root()).output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    Ok(serde_json::from_value(metadata["packages"].clone())?)
}

/// An extract of the public database of security advisories, for the crates we know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Advisories {
    /// When it was taken.
    pub taken: Date,
    /// All about our crates, whatever their version.
    pub advisories: Vec<Advisory>,
}

/// What is known against some versions of a crate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Advisory {
    /// Its number, such as `RUSTSEC-2026-0190`.
    pub id: String,
    /// The crate.
    #[serde(rename = "crate")]
    pub name: String,
    /// What is wrong, in a line.
    pub title: String,
    /// Versions in which it is mended; none of a crate that nobody maintains.
    pub patched: Vec<String>,
    /// Versions that never had it.
    pub unaffected: Vec<String>,
}

impl Advisories {
    /// Those of the repository.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read() -> anyhow::Result<Self> {
        let path = root().join(ADVISORIES);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// How many days ago they were taken.
    pub fn age_days(&self) -> i64 {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        today.since(self.taken).map_or(0, |age| i64::from(age.get_days()))
    }
}

impl Advisory {
    /// Whether a crate in use has it.
    ///
    /// # Errors
    /// When a version cannot be read.
    pub fn concerns(&self, used: &Crate) -> anyhow::Result<bool> {
        if self.name != used.name {
            return Ok(false);
        }
        let version: semver::Version = used.version.parse()?;
        for safe in self.patched.iter().chain(&self.unaffected) {
            if semver::VersionReq::parse(safe)?.matches(&version) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
