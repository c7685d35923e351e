//! Builds the sidecar that a chore is about to run.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

/// Build `log-analytics` and say where it is.
pub fn log_analytics(release: bool) -> anyhow::Result<PathBuf> {
    sidecar("log-analytics", if release { "release" } else { "dev" })
}

/// Build a sidecar with a profile of Cargo and say where it is. What is to be measured is built as in its image.
pub fn sidecar(name: &str, profile: &str) -> anyhow::Result<PathBuf> {
    if profile != "dev" {
        return existing(crate::images::compile(profile, &[name])?.join(name));
    }
    println!("Building {name} ...");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", name, "--bin", name]);
    let built = command.current_dir(crate::root()).status().context("cannot start cargo")?;
    ensure!(built.success(), "{name} does not build");
    existing(target()?.join("debug").join(name))
}

/// Where Cargo puts what it builds: this program lies there, in the folder of its own profile.
pub fn target() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program lies")?;
    Ok(own.ancestors().nth(2).context("this program lies outside of a target folder")?.to_owned())
}

fn existing(binary: PathBuf) -> anyhow::Result<PathBuf> {
    ensure!(binary.is_file(), "cargo did not put the binary at {}", binary.display());
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use crate::images::{IMAGES, LINKED_BY_LLD, ORDER, ORDER_USE, PROFDATA, PROFILE_USE, STATIC};

    #[test]
    fn the_image_is_built_with_the_flags_that_are_measured() {
        let (builder, dockerfile) = (include_str!("../../docker/builder.sh"), include_str!("../../docker/Dockerfile"));
        let brought = |file: &str| file.replace("docker/", "/brought/");
        assert!(builder.contains(&format!("flags='{STATIC}'")));
        assert!(builder.contains(&format!("flags=\"$flags {PROFILE_USE}{}\"", brought(PROFDATA))));
        assert!(builder.contains(&format!("flags=\"$flags {ORDER_USE}{}\"", brought(ORDER))));
        assert!(builder.contains(&format!("\"$target\" = {LINKED_BY_LLD} ]")));
        assert!(dockerfile.contains(&format!("COPY docker/builder.sh {PROFDATA} {ORDER} ")));
    }

    #[test]
    fn no_sidecar_loses_its_strip_by_a_level_of_its_own() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains("\nstrip = true\n"));
        for image in IMAGES {
            let forms = [format!("package.{}]", image.name), format!("\n{}.opt-level", image.name)];
            assert!(!forms.iter().any(|form| manifest.contains(form)), "{}", image.name);
        }
    }
}
