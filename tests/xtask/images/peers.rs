//! Images of other makers that the whole stack runs, played by stand-ins where the tests run: tests/peers.

use tests::engine::TAG;

use super::{binaries, docker_build, ours, repository};

const FILE: &str = "tests/peers/Dockerfile";

/// MariaDB, and the PHP under Matomo: all that waits for the network and for no binary of ours.
pub fn packages(base: &str) -> anyhow::Result<()> {
    ["mariadb", "php"].iter().try_for_each(|name| docker_build(FILE, "tests", name, &[TAG], &[("DEBIAN_IMAGE", base)]))
}

/// Matomo, and the archiver inside of that Matomo.
pub fn matomo(base: &str) -> anyhow::Result<()> {
    let demo = format!("{}:{TAG}", repository("demo"));
    docker_build(FILE, "tests", "matomo", &[TAG], &[("DEBIAN_IMAGE", base), ("DEMO_IMAGE", &demo)])?;
    let matomo = format!("{}:{TAG}", repository("matomo"));
    ours("archiver-console", &[TAG], base, binaries::TEST_DIST, &[("MATOMO_IMAGE", &matomo)])
}
