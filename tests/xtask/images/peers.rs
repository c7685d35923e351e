//! Images of other makers that the whole stack runs, played by stand-ins where the tests run: tests/peers.

use tests::engine::TAG;

use super::{binaries, docker_build, ours, repository};

const FILE: &str = "tests/peers/Dockerfile";

/// MariaDB, which waits for no binary of ours.
pub fn database(base: &str) -> anyhow::Result<()> {
    docker_build(FILE, "tests", "mariadb", &[TAG], &[("DEBIAN_IMAGE", base)])
}

/// Matomo, and the archiver inside of that Matomo.
pub fn matomo(base: &str) -> anyhow::Result<()> {
    let demo = format!("{}:{TAG}", repository("demo"));
    docker_build(FILE, "tests", "matomo", &[TAG], &[("DEBIAN_IMAGE", base), ("DEMO_IMAGE", &demo)])?;
    let matomo = format!("{}:{TAG}", repository("matomo"));
    ours("archiver-console", &[TAG], base, binaries::TEST_DIST, &[("MATOMO_IMAGE", &matomo)])
}
