//! `cargo xtask test`: everything that must hold before a change lands, cheapest first, the test runner last.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use clap::Args;
use tests::dependencies::Advisories;
use tests::engine;
use tests::golden::Golden;

/// What to leave out.
#[derive(Args)]
pub struct Options {
    /// Leave out the tests that run containers, on a machine without a Docker engine.
    #[arg(long)]
    without_engine: bool,
}

/// Check, lint, build the images and test. On success this process becomes the test runner, so that its closing line is
/// the last one.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let has_nextest = works(&["nextest", "--version"]);
    for note in notes(has_nextest) {
        println!("note: {note}");
    }
    if options.without_engine {
        ensure!(
            has_nextest,
            "--without-engine needs cargo-nextest, which can leave tests out: cargo install cargo-nextest"
        );
        println!("note: --without-engine: no image is built, and tests/tests/containers are NOT run");
    } else {
        engine::answers()
            .context("the container tests cannot run; `cargo xtask test --without-engine` leaves them out")?;
    }
    crate::machine::prepare()?;
    step("formatting", &["fmt", "--all", "--check"], "run: cargo fmt --all")?;
    let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    step("lints", &lints, "run: cargo clippy --workspace --all-targets")?;
    check_fuzz_targets()?;
    let mut runner = if has_nextest { vec!["nextest", "run"] } else { vec!["test"] };
    // One failure must not hide another.
    runner.extend(["--workspace", "--no-fail-fast"]);
    if options.without_engine {
        runner.extend(["--filterset", "not binary(containers)"]);
    } else {
        crate::images::for_tests(None)?;
    }
    println!("== tests: cargo {}", runner.join(" "));
    let failed = cargo(&runner).exec();
    Err(failed).context("cannot start the test runner")
}

/// The fuzz targets are a workspace of their own, which nothing else would compile.
fn check_fuzz_targets() -> anyhow::Result<()> {
    let folder = crate::root().join("tests/fuzz");
    // With the crates as they are everywhere else.
    std::fs::copy(crate::root().join("Cargo.lock"), folder.join("Cargo.lock")).context("cannot copy Cargo.lock")?;
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| crate::root().join("target").into());
    let words = ["check", "--quiet", "--manifest-path", "tests/fuzz/Cargo.toml"];
    println!("== fuzz targets: cargo {}", words.join(" "));
    let mut check = cargo(&words);
    // The fuzzer itself is C++ and would be compiled for nothing.
    check.env("CUSTOM_LIBFUZZER_PATH", "/nowhere/libfuzzer.a").env("CARGO_TARGET_DIR", target);
    ensure!(check.status().context("cannot start cargo")?.success(), "a fuzz target does not compile");
    Ok(())
}

fn step(name: &str, words: &[&str], advice: &str) -> anyhow::Result<()> {
    println!("== {name}: cargo {}", words.join(" "));
    let ended = cargo(words).status().context("cannot start cargo")?;
    if !ended.success() {
        bail!("{name}: not clean; {advice}");
    }
    Ok(())
}

/// What this machine lacks or what is old, and what that means.
fn notes(has_nextest: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !has_nextest {
        notes.push(
            "cargo-nextest is not installed; using cargo test (same tests, slower): cargo install cargo-nextest"
                .to_owned(),
        );
    }
    for (component, words) in [("rustfmt", ["fmt", "--version"]), ("clippy", ["clippy", "--version"])] {
        if !works(&words) {
            notes.push(format!("{component} is missing and needed: rustup component add {component}"));
        }
    }
    if let Ok(known) = Advisories::read() {
        let (taken, days) = (known.taken, known.age_days());
        notes.push(format!(
            "security advisories are those of {taken}, {days} days ago: cargo xtask advisories takes newer ones"
        ));
    }
    if Golden::find(env::var_os("SHARED_DIR").map(Into::into)).is_none() {
        notes.push("no golden cases (neither $SHARED_DIR/golden nor ../shared/golden): they are NOT run".to_owned());
    }
    notes
}

fn works(words: &[&str]) -> bool {
    let ended = cargo(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ended.is_ok_and(|ended| ended.success())
}

fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(crate::root());
    command
}
