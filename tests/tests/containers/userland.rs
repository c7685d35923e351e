//! C-134: the static binaries where there is no glibc, no loader and no certificate, only BusyBox.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::acceptance::script;
use tests::console::{Console, Plays, TOKEN, Web};
use tests::engine::{LABEL, Recipe, docker};
use tests::log::{self, Format, Traffic};
use tests::matomo::{Matomo, Setup, TOKEN as TRACKER_TOKEN};

/// An image of BusyBox and the binaries out of the images under test. It is removed when it is dropped.
struct Userland(String);

impl Userland {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        for part in ["etc", "tmp"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        fs::write(folder.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
        let lines = Traffic::seeded(3).lines(50);
        log::write(&folder.path().join("etc/access.log"), &lines, Format::Combined).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for name in ["sh", "cat", "echo", "ls"] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
        }
        for name in ["log-analytics", "archiver", "rsync-client", "maintenance", "postfix-config"] {
            take(name, &bin);
        }
        Self(import(folder.path()))
    }

    fn recipe(&self, program: &str) -> Recipe {
        Recipe::of_image(&self.0).hardened().on_loopback().with(&["--entrypoint", &format!("/bin/{program}")])
    }
}

impl Drop for Userland {
    fn drop(&mut self) {
        let _ = docker(&["image", "rm", &self.0]);
    }
}

/// Copies the binary of a sidecar out of its image.
fn take(name: &str, into: &Path) {
    let from = Recipe::of(name).create(&["--version"]);
    docker(&["cp", &format!("{}:/usr/local/bin/{name}", from.id()), &into.display().to_string()]).unwrap();
}

/// `docker import`, by a pipe from `tar`.
fn import(folder: &Path) -> String {
    let mut tar = Command::new("tar").arg("-C").arg(folder).args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
    let mut import = Command::new("docker");
    import.args(["import", "--change", &format!("LABEL {LABEL}"), "-"]).stdin(tar.stdout.take().unwrap());
    let output = import.output().unwrap();
    assert!(tar.wait().unwrap().success() && output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn c_134_the_binaries_run_where_there_is_nothing_but_busybox() {
    let userland = Userland::new();
    let libraries = userland.recipe("sh").run(&["-c", "ls /lib /lib64 /usr/lib; echo seen"]);
    assert_eq!(libraries.output.matches("No such file").count(), 3, "{}", libraries.output);
    for name in ["log-analytics", "archiver", "rsync-client", "maintenance", "postfix-config"] {
        userland.recipe(name).run(&["--version"]).is(0).says(&[name]);
    }
    let matomo = Matomo::start(Setup::default());
    let importer = userland.recipe("log-analytics").env("MATOMO_URL", &matomo.url()).env("MATOMO_TOKEN", TRACKER_TOKEN);
    importer.run(&["import", "--idsite=4", "--enable-bots", "/etc/access.log"]).is(0);
    assert!(!matomo.hits_of(4).is_empty());
    let web = Web::open(Plays::Well);
    // Names are resolved without the loader that glibc would want for it.
    let url = web.url().replace("127.0.0.1", "localhost");
    let archiver = userland.recipe("archiver").env("ARCHIVE_MODE", "http").env("MATOMO_URL", &url);
    archiver.env("MATOMO_TOKEN", TOKEN).env("STATE_DIR", "/tmp/state").run(&["once"]).is(0).says(&["outcome=ok"]);
}

/// PHP and Matomo's console in one, for a user land without PHP.
const PHP: &str = r#"#!/bin/sh
case "$*" in
*archiving-queue*) echo '[]' ;;
*core:archive*) echo "INFO [10:00:00] 7 Processed 8 archives." ;;
esac
"#;

#[test]
fn c_134_the_same_archiver_runs_a_console_on_busybox_and_on_debian() {
    let userland = Userland::new();
    let folder = tempfile::tempdir().unwrap();
    take("archiver", folder.path());
    let debian = Recipe::of("maintenance").hardened().on_loopback().with(&["--entrypoint", "/bin/archiver"]);
    let debian = debian.bind(&folder.path().join("archiver"), Path::new("/bin/archiver"));
    let console = Console::new("/bin/false");
    script(&console.root().join("php"), PHP, 0o755);
    for recipe in [userland.recipe("archiver"), debian] {
        let recipe =
            recipe.bind(console.folder(), Path::new("/matomo")).env("MATOMO_CONSOLE", "/matomo/matomo/console");
        let recipe = recipe.env("MATOMO_PHP", "/matomo/matomo/php").env("STATE_DIR", "/tmp/state");
        let recipe = recipe.env("MATOMO_URL", "http://matomo").env("RUN_AS_USER", "self");
        recipe.run(&["once"]).is(0).says(&["outcome=ok", "8 archives"]);
    }
}
