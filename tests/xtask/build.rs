//! Builds the sidecar that a chore is about to run.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::images::STATIC;

/// Build `log-analytics` and say where it is.
pub fn log_analytics(release: bool) -> anyhow::Result<PathBuf> {
    sidecar("log-analytics", if release { "release" } else { "dev" })
}

/// Build a sidecar with a profile of Cargo and say where it is. What is to be measured is linked statically, as in its
/// image.
pub fn sidecar(name: &str, profile: &str) -> anyhow::Result<PathBuf> {
    println!("Building {name} ({profile}) ...");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["rustc", "--quiet", "--package", name, "--bin", name, "--profile", profile, "--"]);
    if profile != "dev" {
        command.args(STATIC.split(' '));
    }
    let built = command.current_dir(crate::root()).status().context("cannot start cargo")?;
    ensure!(built.success(), "{name} does not build");
    binary(name, if profile == "dev" { "debug" } else { profile })
}

/// Where Cargo puts what it builds: this program lies there, in the folder of its own profile.
pub fn target() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program lies")?;
    Ok(own.ancestors().nth(2).context("this program lies outside of a target folder")?.to_owned())
}

fn binary(name: &str, folder: &str) -> anyhow::Result<PathBuf> {
    let binary = target()?.join(folder).join(name);
    ensure!(binary.is_file(), "cargo did not put the binary at {}", binary.display());
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use crate::images::STATIC;

    #[test]
    fn the_image_is_built_with_the_flags_that_are_measured() {
        let builder = include_str!("../../docker/builder.sh");
        assert!(builder.contains(&format!("RUSTFLAGS='{STATIC}' cargo build")));
    }
}
