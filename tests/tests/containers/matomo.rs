//! archiver and maintenance at their real jobs: a Matomo's web side, configuration and database, from a container.

use std::fs;

use tests::console::{Plays, TOKEN, Web};
use tests::engine::Recipe;
use tests::installation::Installation;

/// A schedule whose time does not come while tests run.
pub const NEVER: &str = "0 0 1 1 *";
/// As compose/compose.yml has them.
const CAPABILITIES: [&str; 3] = ["CHOWN", "DAC_OVERRIDE", "FOWNER"];

/// The archiver over HTTP.
pub fn archiver(url: &str) -> Recipe {
    let recipe = Recipe::of("archiver").hardened().on_loopback();
    recipe.env("ARCHIVE_MODE", "http").env("MATOMO_URL", url).env("MATOMO_TOKEN", TOKEN)
}

/// maintenance beside a Matomo, whose folders it sees under the paths that they have here.
pub fn maintenance(matomo: &Installation) -> Recipe {
    fs::create_dir_all(matomo.backups()).unwrap();
    let recipe = Recipe::of("maintenance").hardened().on_loopback().bind(matomo.folder(), matomo.folder());
    let recipe = CAPABILITIES.iter().fold(recipe, |recipe, capability| recipe.with(&["--cap-add", capability]));
    matomo.command(&[]).get_envs().fold(recipe, |recipe, (name, value)| {
        let (name, value) = (name.to_string_lossy(), value.unwrap_or_default().to_string_lossy());
        if name == "PATH" { recipe } else { recipe.env(&name, &value) }
    })
}

#[test]
fn c_131_archiver_archives_as_any_user_with_no_rights() {
    for user in ["1000:1000", "82:82", "48151:62342"] {
        let web = Web::open(Plays::Well);
        // Without a volume its state has to be somewhere.
        let recipe = archiver(&web.url()).with(&["--user", user, "--tmpfs", "/state:mode=1777"]);
        let end = recipe.env("STATE_DIR", "/state/archiver").run(&["once"]).is(0);
        end.says(&["outcome=ok", "8 archives of 2 sites"]);
    }
}

#[test]
fn c_131_maintenance_checks_backs_up_and_locks_with_few_rights() {
    // The program on this machine has no part in it.
    let matomo = Installation::new("/bin/false", 1);
    let maintenance = maintenance(&matomo);
    maintenance.run(&["check"]).is(0);
    maintenance.run(&["backup"]).is(0);
    maintenance.run(&["verify"]).is(0);
    maintenance.run(&["lock"]).is(0);
    assert!(matomo.config().contains("maintenance_mode = 1"), "{}", matomo.config());
    maintenance.run(&["status"]).is(0).says(&["5.0.2"]);
    maintenance.run(&["unlock"]).is(0);
    assert!(!matomo.config().contains("maintenance_mode = 1"), "{}", matomo.config());
}

#[test]
fn maintenance_finds_matomo_where_each_image_has_it() {
    let matomo = Installation::new("/bin/false", 1);
    matomo.unset("MATOMO_DIR");
    for folder in ["/bitnami/matomo", "/opt/bitnami/matomo", "/var/www/html"] {
        let maintenance = maintenance(&matomo).bind(&matomo.matomo(), folder.as_ref());
        maintenance.run(&["check"]).is(0).says(&[&format!("the configuration at {folder}/config/config.ini.php")]);
        maintenance.run(&["backup"]).is(0);
    }
}

#[test]
fn c_132_an_edit_of_the_configuration_keeps_owner_and_mode_of_a_file_that_is_mounted_alone() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let matomo = Installation::new("/bin/false", 1);
    let config = matomo.config_path();
    chown(&config, Some(33), Some(33)).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::read(&config).unwrap();
    // A file that is a mount of its own cannot be replaced by a rename.
    let maintenance = maintenance(&matomo).bind(&config, &config);
    let kept = || {
        let found = fs::metadata(&config).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (33, 33, 0o640));
    };
    maintenance.run(&["lock"]).is(0);
    assert!(matomo.config().contains("maintenance_mode = 1"), "{}", matomo.config());
    kept();
    maintenance.run(&["unlock"]).is(0);
    assert_eq!(fs::read(&config).unwrap(), before, "to the byte");
    kept();
}

#[test]
fn c_136_maintenance_stops_in_the_middle_of_a_backup() {
    let matomo = Installation::new("/bin/false", 1);
    let dump = matomo.folder().join("mariadb-dump");
    // It is there once the dump itself, and not a question for its version, is deaf to every wish to stop.
    let ready = matomo.folder().join("dumping");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exec /usr/bin/mariadb-dump --version;; esac\n\
         trap '' TERM INT\ntouch {}\nwhile :; do sleep 0.1; done\n",
        ready.display()
    );
    tests::acceptance::script(&dump, &text, 0o755);
    let recipe = maintenance(&matomo).bind(&dump, "/usr/local/bin/mariadb-dump".as_ref());
    let recipe = recipe.env("MAINTENANCE_BACKUP_CRON", NEVER).env("RUN_AT_START", "yes");
    let maintenance = recipe.start(&["run"]);
    tests::acceptance::wait_until("the dump is under way", || {
        assert!(maintenance.runs(), "{}", maintenance.logs());
        ready.exists()
    });
    let end = maintenance.stop().is(0).in_time();
    assert!(end.last_line().contains("killed=\"mariadb-dump after "), "{}", end.output);
    // Nothing half-made is left, and the next backup is whole.
    let again = self::maintenance(&matomo);
    again.run(&["backup"]).is(0);
    assert_eq!(matomo.leftovers(), [""; 0]);
}
