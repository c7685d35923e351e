//! `cargo xtask images` and `cargo xtask demo-stack`: static binaries, an image for each, their sizes, and the demo.

mod base;
mod binaries;
mod peers;
mod size;
pub mod stamp;

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use tests::engine::{self, TAG, compose, said};

#[cfg(test)]
pub use binaries::{LINKED_BY_LLD, ORDER_USE, PROFILE_USE};
pub use binaries::{ORDER, PROFDATA, STATIC, compile, compile_with, host, learned};

/// Everything that this program makes in an engine carries it, so that it can be told from what is yours.
const LABEL: &str = "org.matomo-sidecars.made-by=xtask";
const DEMO: &str = "compose/demo/compose.yml";
const DEMO_MAX: Duration = Duration::from_secs(240);

/// An image, its profile, and what it may weigh beyond its base and the packages.
pub struct Image {
    /// Also the sidecar's.
    pub name: &'static str,
    profile: &'static str,
    megabytes_max: f64,
}

/// In the order of the Dockerfile: an old builder makes every stage before the one it is asked for.
pub const IMAGES: [Image; 5] = [
    Image { name: "log-analytics", profile: "release", megabytes_max: 12.0 },
    Image { name: "archiver", profile: "small", megabytes_max: 6.0 },
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
    /// What the container tests run: tagged `test`, with quickly compiled binaries.
    #[arg(long, conflicts_with = "no_compile")]
    for_tests: bool,
}

/// Build everything and show the sizes.
pub fn build(options: &Options) -> anyhow::Result<()> {
    if options.for_tests {
        return for_tests(options.debian_image.as_deref());
    }
    engine::answers()?;
    let base = base::image(options.debian_image.as_deref())?;
    if !options.no_compile {
        binaries::for_operators()?;
    }
    // `latest` is what the demo runs, the version what compose/compose.yml asks for.
    all(&base, binaries::DIST, &["latest", env!("CARGO_PKG_VERSION")])?;
    size::show(&base)
}

/// Build what the container tests run.
pub fn for_tests(debian_image: Option<&str>) -> anyhow::Result<()> {
    engine::answers()?;
    // One waits for the network, the other for the processor.
    let base = thread::scope(|scope| {
        let base = scope.spawn(|| {
            let base = base::image(debian_image)?;
            peers::packages(&base)?;
            anyhow::Ok(base)
        });
        binaries::for_tests()?;
        base.join().map_err(|_| anyhow::anyhow!("making the base image panicked"))?
    })?;
    all(&base, binaries::TEST_DIST, &[TAG])?;
    peers::matomo(&base)
}

/// Build every image from the binaries in this folder.
fn all(base: &str, dist: &str, tags: &[&str]) -> anyhow::Result<()> {
    let mut names = IMAGES.map(|image| image.name).into_iter().chain(["demo"]);
    names.try_for_each(|name| ours(name, tags, base, dist, &[]))
}

/// Build an image of ours. Its builder stage compiles nothing here: it only takes what was compiled.
fn ours(name: &str, tags: &[&str], base: &str, dist: &str, more: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut git = Command::new("git");
    let head = said(git.args(["show", "--no-patch", "--format=%H %cI", "HEAD"]).current_dir(crate::root()));
    let head = head.unwrap_or_default();
    let (revision, created) = head.split_once(' ').unwrap_or(("unknown", "unknown"));
    let arguments =
        [("DEBIAN_IMAGE", base), ("BUILDER_IMAGE", base), ("DIST", dist), ("REVISION", revision), ("CREATED", created)];
    docker_build("docker/Dockerfile", ".", name, tags, &[&arguments, more].concat())
}

fn docker_build(file: &str, context: &str, name: &str, tags: &[&str], more: &[(&str, &str)]) -> anyhow::Result<()> {
    println!("== image: {}:{}", repository(name), tags.join(", "));
    let mut command = Command::new("docker");
    command.args(["build", "--quiet", "--label", LABEL, "--file", file, "--target", name]);
    for tag in tags {
        command.args(["--tag", &format!("{}:{tag}", repository(name))]);
    }
    for (argument, value) in more {
        command.args(["--build-arg", &format!("{argument}={value}")]);
    }
    // It says nothing but what went wrong.
    said(command.arg(context).current_dir(crate::root())).with_context(|| format!("cannot build {name}"))?;
    Ok(())
}

fn repository(name: &str) -> String {
    format!("matomo-sidecars/{name}")
}

/// Build everything, and run the demo to its end.
pub fn demo_stack(options: &Options) -> anyhow::Result<()> {
    build(options)?;
    // What an interrupted demo left would be compared with a stand-in that knows nothing of it.
    done(demo(&["down", "--volumes"], options).stderr(Stdio::null()))?;
    let shown = done(demo(&["up", "--detach"], options).stderr(Stdio::null())).and_then(|()| follow(options));
    done(demo(&["down", "--volumes"], options).stderr(Stdio::null()))?;
    shown
}

fn demo(words: &[&str], options: &Options) -> Command {
    let mut command = compose(&[DEMO], words);
    command.env("TAG", if options.for_tests { TAG } else { "latest" });
    command
}

/// Show what the stand-in says until it says that all is equal.
fn follow(options: &Options) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut lines = 0;
    while begun.elapsed() < DEMO_MAX {
        let text = said(&mut demo(&["logs", "--no-color", "matomo"], options))?;
        let story: Vec<&str> = text.lines().filter_map(|line| line.split_once('|')).map(|(_, rest)| rest).collect();
        for line in story.iter().skip(lines) {
            println!("{line}");
        }
        lines = story.len();
        if story.iter().any(|line| line.contains("EQUAL")) {
            let key = said(&mut demo(&["logs", "--no-color", "rsync-client"], options))?;
            ensure!(key.contains("ssh-ed25519 "), "rsync-client did not print its public key:\n{key}");
            return Ok(());
        }
        thread::sleep(Duration::from_secs(1));
    }
    let all = said(&mut demo(&["logs", "--no-color"], options))?;
    bail!("lines and hits do not become equal; what the stack says:\n{all}")
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command.status().with_context(|| format!("cannot start {name}"))?;
    ensure!(ended.success(), "{name} ended with {ended}");
    Ok(())
}
