//! The Debian that images stand on: pulled by the operator, or made here.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tests::engine::docker;

use super::{LABEL, done};

const DEBIAN: &str = "debian:bookworm-slim";
const MADE_HERE: &str = "matomo-sidecars/base";

/// The one that was asked for, else what the engine has, else a new one by debootstrap.
pub fn image(asked_for: Option<&str>) -> anyhow::Result<String> {
    if let Some(image) = asked_for {
        return Ok(image.to_owned());
    }
    for image in [DEBIAN, MADE_HERE] {
        if docker(&["image", "inspect", image]).is_ok() {
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
    import.args(["import", "--change", &format!("LABEL {LABEL}"), "-", MADE_HERE]).stdin(archive).stdout(Stdio::null());
    done(&mut import)?;
    ensure!(tar.wait()?.success(), "the new system cannot be packed");
    Ok(MADE_HERE.to_owned())
}
