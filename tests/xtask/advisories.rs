//! Takes what the public database of security advisories says about our crates into the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tests::dependencies::{ADVISORIES, Advisories, Advisory, crates};
use toml_edit::DocumentMut;

/// What to take.
#[derive(clap::Args)]
pub struct Options {
    /// A checkout of the database (RustSec/advisory-db) of today.
    database: PathBuf,
    /// The day of its last change, if that is not today, such as 2026-08-21.
    #[arg(long)]
    of: Option<jiff::civil::Date>,
}

/// Writes the advisories about all crates of `Cargo.lock`, whatever their version, and when they were taken.
pub fn take(options: &Options) -> anyhow::Result<()> {
    let names: BTreeSet<String> = crates()?.into_iter().map(|known| known.name).collect();
    let mut advisories = Vec::new();
    for name in names {
        let Ok(entries) = fs::read_dir(options.database.join("crates").join(&name)) else { continue };
        let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        paths.sort();
        for path in paths {
            advisories.extend(read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    if advisories.is_empty() {
        bail!("{} holds no advisory about any crate of ours: is it the database?", options.database.display());
    }
    let taken = options.of.unwrap_or_else(|| Timestamp::now().to_zoned(TimeZone::UTC).date());
    let text = serde_json::to_string_pretty(&Advisories { taken, advisories })?;
    let path = super::root().join(ADVISORIES);
    fs::write(&path, text + "\n")?;
    println!("written: {}", path.display());
    Ok(())
}

/// An advisory is a page that begins with a block of TOML. `None` of one that was withdrawn.
fn read(path: &Path) -> anyhow::Result<Option<Advisory>> {
    let page = fs::read_to_string(path)?;
    let (facts, text) = page
        .strip_prefix("```toml\n")
        .and_then(|page| page.split_once("\n```"))
        .context("it does not begin with a block of TOML")?;
    let facts: DocumentMut = facts.parse()?;
    let advisory = &facts["advisory"];
    if advisory.get("withdrawn").is_some() {
        return Ok(None);
    }
    let word = |key: &str| advisory[key].as_str().with_context(|| format!("it has no {key}")).map(str::to_owned);
    let versions = |key: &str| -> Vec<String> {
        let listed = facts.get("versions").and_then(|versions| versions.get(key)?.as_array());
        listed.into_iter().flatten().filter_map(|version| Some(version.as_str()?.to_owned())).collect()
    };
    let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default().to_owned();
    Ok(Some(Advisory {
        id: word("id")?,
        name: word("package")?,
        title,
        patched: versions("patched"),
        unaffected: versions("unaffected"),
    }))
}
