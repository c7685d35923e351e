//! Static binaries, laid where the builder stage of the Dockerfile looks for them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use tests::engine::said;

use super::{IMAGES, done, stamp};
use crate::build;

/// Where the binaries for operators lie, by architecture.
pub const DIST: &str = "target/dist";
/// Where those for the tests lie; apart, so that they never end up in an operator's image.
pub const TEST_DIST: &str = "target/test-dist";
/// As `docker/builder.sh` has it.
pub const STATIC: &str = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";
/// What was changed since the profile was made is compiled without it, and nobody needs to be told.
pub const PROFILE_USE: &str = "-C llvm-args=-no-pgo-warn-mismatch -C profile-use=";

/// Where the compiler reads which ways an import takes; also for `docker/builder.sh`. `cargo xtask profile` writes it.
pub const PROFDATA: &str = "docker/log-analytics.profdata";
/// Where the linker reads which functions an import runs, to lay them side by side: pages of others stay on the disk. Names
/// that are gone do not matter.
pub const ORDER_USE: &str = "-C link-arg=-Wl,--no-warn-symbol-ordering -C link-arg=-Wl,--symbol-ordering-file=";
/// Also for `docker/builder.sh`, and written by `cargo xtask profile`.
pub const ORDER: &str = "docker/log-analytics.order";
/// Elsewhere Rust does not link with lld by default, and other linkers know no such file.
pub const LINKED_BY_LLD: &str = "x86_64-unknown-linux-gnu";

/// Compile what is not up to date, small and fast.
pub fn for_operators() -> anyhow::Result<()> {
    for profile in ["release", "small"] {
        let names: Vec<&str> = IMAGES.iter().filter(|image| image.profile == profile).map(|image| image.name).collect();
        let folder = compile(profile, &names)?;
        for name in names {
            lay(&folder.join(name), DIST)?;
        }
    }
    relink("demo", DIST)
}

/// Compile sidecars as they are in the images, and say in which folder they lie.
pub fn compile(profile: &str, names: &[&str]) -> anyhow::Result<PathBuf> {
    let flags = if profile == "release" {
        stamp::look()?;
        learned()?
    } else {
        STATIC.to_owned()
    };
    compile_with(&flags, &build::target()?, profile, names)
}

/// The flags of a binary that is compiled by what `cargo xtask profile` wrote down.
pub fn learned() -> anyhow::Result<String> {
    let file = |name: &str| Ok::<_, anyhow::Error>(crate::root().join(name).canonicalize()?.display().to_string());
    let mut flags = format!("{STATIC} {PROFILE_USE}{}", file(PROFDATA)?);
    if host()? == LINKED_BY_LLD {
        flags += &format!(" {ORDER_USE}{}", file(ORDER)?);
    }
    Ok(flags)
}

/// The same with flags of one's own, below another target folder.
pub fn compile_with(flags: &str, target: &Path, profile: &str, names: &[&str]) -> anyhow::Result<PathBuf> {
    println!("== binaries: {}, static, profile {profile}", names.join(", "));
    let host = host()?;
    let mut command = cargo();
    command.args(["build", "--quiet", "--locked", "--profile", profile, "--target", &host]);
    // Together they compile what they share once; what one of them does not use, the linker leaves out.
    command.args(names.iter().flat_map(|name| ["--package", name]));
    done(command.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", target))?;
    Ok(target.join(host).join(profile))
}

/// What the compiler calls this machine.
pub fn host() -> anyhow::Result<String> {
    let version = said(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}

/// Link once more, statically, what `cargo xtask` and the tests are made of: nothing else is compiled.
pub fn for_tests() -> anyhow::Result<()> {
    for name in IMAGES.map(|image| image.name).into_iter().chain(["demo"]) {
        relink(name, TEST_DIST)?;
    }
    Ok(())
}

fn relink(name: &str, dist: &str) -> anyhow::Result<()> {
    println!("== binary: {name}, static, profile dev");
    let mut command = cargo();
    // Only the last step differs from what the tests are built of.
    command.args(["rustc", "--quiet", "--package", "tests", "--bin", name, "--"]).args(STATIC.split(' '));
    done(command.args(["-C", "strip=symbols"]))?;
    lay(&build::target()?.join("debug").join(name), dist)
}

fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::root());
    command
}

fn lay(binary: &Path, dist: &str) -> anyhow::Result<()> {
    let folder = crate::root().join(dist).join(architecture()?);
    fs::create_dir_all(&folder)?;
    let to: PathBuf = folder.join(binary.file_name().context("a binary without a name")?);
    fs::copy(binary, &to).with_context(|| format!("cannot copy {} to {}", binary.display(), to.display()))?;
    Ok(())
}

/// As Debian and the engines name it.
fn architecture() -> anyhow::Result<&'static str> {
    match env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("images are built for amd64 and arm64, not for {other}"),
    }
}
