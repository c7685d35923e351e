//! The program behind `cargo xtask`: see the importer at work, test everything, measure its speed.

mod advisories;
mod backup;
mod bench;
mod build;
mod demo;
mod images;
mod machine;
mod sink;
mod suite;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Watch the importer at work: two sites, two passes, a crash and the recovery. Needs no Matomo.
    Demo {
        /// Build and use the release binary.
        #[arg(long)]
        release: bool,
        /// Use this binary and build nothing.
        #[arg(long)]
        binary: Option<PathBuf>,
    },
    /// Check formatting and lints, build the images, then run all tests.
    Test(suite::Options),
    /// Build the static binaries and all images with the engine of this machine, and show their sizes.
    Images(images::Options),
    /// Build the images, run compose/demo until every line of the log is at the stand-in, and take it away again.
    DemoStack(images::Options),
    /// Measure an import of a generated log against a server that only counts.
    Bench(bench::Options),
    /// Learn which ways an import takes, for the compiler of the release binary, and which functions it runs, for the linker:
    /// writes docker/log-analytics.profdata and docker/log-analytics.order.
    Profile,
    /// Stand in for Matomo, taking every hit and only counting: for measurements by hand. Ends with Ctrl-C.
    Sink {
        /// Milliseconds that a connection waits for every KiB of a batch before it answers.
        #[arg(long, default_value_t = 0.0)]
        ms_per_kib: f64,
    },
    /// Take what is known against our crates into the repository, from a checkout of the public database.
    Advisories(advisories::Options),
    /// Measure a backup of a database against `mariadb-dump | gzip -6`, in turns.
    BenchBackup(backup::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Demo { release, binary } => {
            let binary = binary.map_or_else(|| build::log_analytics(release), Ok)?;
            demo::show(&binary)
        }
        Chore::Test(options) => suite::run(&options),
        Chore::Images(options) => images::build(&options),
        Chore::DemoStack(options) => images::demo_stack(&options),
        Chore::Bench(options) => bench::measure(&options),
        Chore::Profile => bench::profile::learn(),
        Chore::Sink { ms_per_kib } => sink::stay(Duration::from_secs_f64(ms_per_kib / 1000.0)),
        Chore::Advisories(options) => advisories::take(&options),
        Chore::BenchBackup(options) => backup::measure(&options),
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
