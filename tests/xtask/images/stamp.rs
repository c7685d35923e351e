//! What a profile of the release binary was made for. The compiler finds a function in it by a name that depends on the
//! compiler, on the features and on the versions of everything it is built of; of a name it does not find it says nothing.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::process::Command;

use anyhow::Context;
use tests::engine::said;

const STAMP: &str = "docker/log-analytics.profdata.for";
const MANIFESTS: [&str; 4] = ["Cargo.toml", "Cargo.lock", "shared/Cargo.toml", "bins/log-analytics/Cargo.toml"];

/// Say so if the profile may be of no use.
pub fn look() -> anyhow::Result<()> {
    let kept = fs::read_to_string(crate::root().join(STAMP)).unwrap_or_default();
    if kept != of_today()? {
        println!(
            "note: the profile of log-analytics was made with another compiler or other dependencies: it may gain \
             nothing. To make it again: cargo xtask profile"
        );
    }
    Ok(())
}

/// Write down what the profile is for.
pub fn put() -> anyhow::Result<()> {
    fs::write(crate::root().join(STAMP), of_today()?).with_context(|| format!("cannot write {STAMP}"))
}

fn of_today() -> anyhow::Result<String> {
    let compiler = said(Command::new("rustc").arg("-V"))?;
    let mut hasher = DefaultHasher::new();
    for manifest in MANIFESTS {
        let text = fs::read(crate::root().join(manifest)).with_context(|| format!("cannot read {manifest}"))?;
        hasher.write(&text);
    }
    Ok(format!("{}\nmanifests {:016x}\n", compiler.trim(), hasher.finish()))
}
