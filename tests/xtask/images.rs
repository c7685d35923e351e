//! `cargo xtask images` and `cargo xtask demo-stack`: static binaries, an image for each, their sizes, and the demo.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;

/// Everything we make in an engine carries it, so that it can be told from what is yours.
const LABEL: &str = "org.matomo-sidecars.made-by=xtask";
const BASE: &str = "matomo-sidecars/base";
const DEBIAN: &str = "debian:bookworm-slim";
const DEMO: &str = "compose/demo/compose.yml";
const DEMO_MAX: Duration = Duration::from_secs(240);
const MEGABYTE: f64 = 1e6;

/// An image, its profile, and what it may weigh beyond its base and the packages.
struct Image {
    name: &'static str,
    profile: &'static str,
    megabytes_max: f64,
}

/// In the order of the Dockerfile: an old builder makes every stage before the one it is asked for.
const IMAGES: [Image; 5] = [
    Image { name: "log-analytics", profile: "release", megabytes_max: 12.0 },
    Image { name: "archiver", profile: "small", megabytes_max: 10.0 },
    Image { name: "rsync-client", profile: "small", megabytes_max: 10.0 },
    Image { name: "maintenance", profile: "small", megabytes_max: 10.0 },
    Image { name: "postfix-config", profile: "small", megabytes_max: 10.0 },
];

/// What to build from.
#[derive(Args)]
pub struct Options {
    /// Base of the images. Default: debian:bookworm-slim if the engine has it, else one made by debootstrap.
    #[arg(long)]
    debian_image: Option<String>,
    /// Use the binaries that lie in target/dist, as a build for another machine left them.
    #[arg(long)]
    no_compile: bool,
}

/// Build everything and show the sizes.
pub fn build(options: &Options) -> anyhow::Result<()> {
    engine()?;
    let base = base(options)?;
    if !options.no_compile {
        binaries()?;
    }
    let root = crate::root();
    let revision = said(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(&root)).unwrap_or_default();
    for name in IMAGES.map(|image| image.name).into_iter().chain(["demo"]) {
        println!("== image: matomo-sidecars/{name}");
        let mut command = Command::new("docker");
        command.args(["build", "--quiet", "--label", LABEL, "--file", "docker/Dockerfile", "--target", name]);
        // `latest` is what the demo runs, the version what compose/compose.yml asks for.
        command.args(["--tag", &tag(name), "--tag", &format!("{}:{}", tag(name), env!("CARGO_PKG_VERSION"))]);
        command.args(["--build-arg", &format!("DEBIAN_IMAGE={base}")]);
        // The builder stage compiles nothing here: it only takes what was compiled.
        command.args(["--build-arg", &format!("BUILDER_IMAGE={base}"), "--build-arg", &format!("REVISION={revision}")]);
        done(command.arg(".").current_dir(&root).stdout(Stdio::null()))?;
    }
    sizes(&base)
}

/// Build everything, and run the demo to its end.
pub fn demo_stack(options: &Options) -> anyhow::Result<()> {
    build(options)?;
    // What an interrupted demo left would be compared with a stand-in that knows nothing of it.
    done(compose(&["down", "--volumes"]).stderr(Stdio::null()))?;
    let shown = done(compose(&["up", "--detach"]).stderr(Stdio::null())).and_then(|()| follow());
    done(compose(&["down", "--volumes"]).stderr(Stdio::null()))?;
    shown
}

/// Show what the stand-in says until it says that all is equal.
fn follow() -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut lines = 0;
    while begun.elapsed() < DEMO_MAX {
        let text = said(&mut compose(&["logs", "--no-color", "matomo"]))?;
        let story: Vec<&str> = text.lines().filter_map(|line| line.split_once('|')).map(|(_, rest)| rest).collect();
        for line in story.iter().skip(lines) {
            println!("{line}");
        }
        lines = story.len();
        if story.iter().any(|line| line.contains("EQUAL")) {
            let key = said(&mut compose(&["logs", "--no-color", "rsync-client"]))?;
            ensure!(key.contains("ssh-ed25519 "), "rsync-client did not print its public key:\n{key}");
            return Ok(());
        }
        thread::sleep(Duration::from_secs(1));
    }
    bail!("lines and hits do not become equal; what the stack says:\n{}", said(&mut compose(&["logs", "--no-color"]))?)
}

fn engine() -> anyhow::Result<()> {
    said(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"])).map(|_| ()).context(
        "no Docker engine answers, so no image can be built; on Debian, as root: apt-get install docker.io, then start dockerd",
    )
}

fn base(options: &Options) -> anyhow::Result<String> {
    if let Some(image) = &options.debian_image {
        return Ok(image.clone());
    }
    for image in [DEBIAN, BASE] {
        if said(Command::new("docker").args(["image", "inspect", image])).is_ok() {
            return Ok(image.to_owned());
        }
    }
    println!("== base: {DEBIAN} is not here (docker pull {DEBIAN} where that is possible), so debootstrap makes one");
    let folder = tempfile::Builder::new().prefix("base-").tempdir()?;
    let system = folder.path().join("system");
    done(Command::new("debootstrap").args(["--variant=minbase", "bookworm"]).arg(&system).stdout(Stdio::null()))
        .context("as root: apt-get install debootstrap")?;
    for waste in ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"] {
        let _ = fs::remove_dir_all(system.join(waste));
    }
    let mut tar = Command::new("tar").arg("-C").arg(&system).args(["-c", "."]).stdout(Stdio::piped()).spawn()?;
    let archive = tar.stdout.take().context("no pipe")?;
    let mut import = Command::new("docker");
    import.args(["import", "--change", &format!("LABEL {LABEL}"), "-", BASE]).stdin(archive).stdout(Stdio::null());
    done(&mut import)?;
    ensure!(tar.wait()?.success(), "the new system cannot be packed");
    Ok(BASE.to_owned())
}

/// Compile what is not up to date, and lay it where the builder stage looks.
fn binaries() -> anyhow::Result<()> {
    const STATIC: &str = "-C target-feature=+crt-static";
    let root = crate::root();
    let version = said(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let dist = root.join("target/dist").join(architecture()?);
    fs::create_dir_all(&dist)?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for Image { name, profile, .. } in &IMAGES {
        println!("== binary: {name}, static, profile {profile}");
        let mut command = Command::new(&cargo);
        command.args(["build", "--quiet", "--locked", "--package", name, "--profile", profile, "--target", host]);
        done(command.env("RUSTFLAGS", STATIC).current_dir(&root))?;
        lay(&root.join("target").join(host).join(profile).join(name), &dist)?;
    }
    println!("== binary: demo");
    let mut command = Command::new(&cargo);
    // Only the last step differs from what tests are built of.
    command.args(["rustc", "--quiet", "--package", "tests", "--bin", "demo", "--"]).args(STATIC.split(' '));
    done(command.args(["-C", "strip=symbols"]).current_dir(&root))?;
    lay(&root.join("target/debug/demo"), &dist)
}

fn lay(binary: &Path, dist: &Path) -> anyhow::Result<()> {
    let to: PathBuf = dist.join(binary.file_name().context("a binary without a name")?);
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

/// The table, and whether every image keeps to its bound.
fn sizes(base: &str) -> anyhow::Result<()> {
    let base_bytes = size(base)?;
    println!("\n{:<18}{:>10}{:>10}{:>12}{:>10}   MB", "", "in all", "base", "packages", "ours");
    let mut heavy = Vec::new();
    for Image { name, megabytes_max, .. } in &IMAGES {
        let all = size(&tag(name))?;
        let packages = packages(&tag(name))?;
        let base = if packages > 0.0 { base_bytes } else { 0.0 };
        let ours = all - base - packages;
        println!("{name:<18}{all:>10.1}{base:>10.1}{packages:>12.1}{ours:>10.1}");
        if ours > *megabytes_max {
            heavy.push(format!("{name}: {ours:.1} MB, at most {megabytes_max} are allowed"));
        }
    }
    ensure!(heavy.is_empty(), "images are too large: {}", heavy.join("; "));
    Ok(())
}

fn size(image: &str) -> anyhow::Result<f64> {
    let text = said(Command::new("docker").args(["image", "inspect", "--format", "{{.Size}}", image]))?;
    Ok(text.trim().parse::<f64>()? / MEGABYTE)
}

/// The layer that apt-get made.
fn packages(image: &str) -> anyhow::Result<f64> {
    let format = "{{.Size}} {{.CreatedBy}}";
    let text =
        said(Command::new("docker").args(["history", "--human=false", "--no-trunc", "--format", format, image]))?;
    let layers = text.lines().filter(|line| line.contains("apt-get install"));
    let bytes = layers.filter_map(|line| line.split(' ').next()?.parse::<f64>().ok());
    Ok(bytes.fold(0.0, |sum, layer: f64| sum + layer) / MEGABYTE)
}

fn tag(name: &str) -> String {
    format!("matomo-sidecars/{name}")
}

/// The plugin of current engines, else the old program.
fn compose(words: &[&str]) -> Command {
    let plugin = said(Command::new("docker").args(["compose", "version"])).is_ok();
    let mut command = Command::new(if plugin { "docker" } else { "docker-compose" });
    if plugin {
        command.arg("compose");
    }
    command.args(["--file", DEMO]).args(words).current_dir(crate::root());
    command
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command.status().with_context(|| format!("cannot start {name}"))?;
    ensure!(ended.success(), "{name} ended with {ended}");
    Ok(())
}

fn said(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command.stderr(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    ensure!(ended.status.success(), "{name} ended with {}", ended.status);
    Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned())
}
