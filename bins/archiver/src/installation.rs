//! Where PHP and Matomo's console are, and whose files they are.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use shared::process::{NoUser, Program, RunAs, StartError, User, find_program};

use crate::config::Settings;

/// The official image, Bitnami's, and those who unpack it elsewhere.
const CONSOLES: [&str; 4] =
    ["/var/www/html/console", "/opt/bitnami/matomo/console", "/bitnami/matomo/console", "/var/www/matomo/console"];
/// Bitnami keeps PHP out of the search path.
const PHPS: [&str; 3] = ["/usr/local/bin/php", "/usr/bin/php", "/opt/bitnami/php/bin/php"];
/// Matomo's own name for what its command must contain, so that it is counted as one archiver.
pub const CONSOLE: &str = "console";

/// A Matomo that can be run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The PHP interpreter.
    pub php: PathBuf,
    /// The script `console`.
    pub console: PathBuf,
    /// Whom to run it as; none to run it as ourselves.
    pub user: Option<User>,
}

/// Console mode is not possible here.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// No console.
    #[error("there is no Matomo here: no file {}", looked_at.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Console {
        /// Where it was looked for.
        looked_at: Vec<PathBuf>,
    },
    /// No PHP.
    #[error("there is no PHP here")]
    Php {
        /// Why not.
        #[source]
        error: StartError,
    },
    /// No such user.
    #[error(transparent)]
    User(#[from] NoUser),
}

impl Missing {
    /// What to do now.
    pub fn help(&self) -> &'static str {
        match self {
            Missing::Console { .. } => {
                "put this program into a Matomo image, or name the file in MATOMO_CONSOLE; without PHP in the container set MATOMO_URL and MATOMO_TOKEN (HTTP mode)"
            }
            Missing::Php { .. } => "install the PHP command line, or name the file in MATOMO_PHP",
            Missing::User(user) => user.help(),
        }
    }
}

impl Installation {
    /// Looks for PHP, the console and its owner.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn find(settings: &Settings) -> Result<Self, Missing> {
        let console = find_console(settings.console.as_deref())?;
        let php = find_php(settings.php.as_deref())?;
        let user = user(&settings.run_as, &console, we_are_root())?;
        Ok(Self { php, console, user })
    }

    /// The folder of Matomo.
    pub fn root(&self) -> &Path {
        self.console.parent().unwrap_or(Path::new("/"))
    }

    /// A run of PHP in Matomo's folder as the right user; its lines are ours to read, not the log's.
    pub fn php(&self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Program {
        let program = Program::new(self.php.to_string_lossy()).args(arguments).folder(self.root()).quiet();
        match self.user {
            Some(user) => program.user(user),
            None => program,
        }
    }
}

fn find_console(named: Option<&Path>) -> Result<PathBuf, Missing> {
    let looked_at: Vec<PathBuf> = named.map_or_else(
        || CONSOLES.iter().map(PathBuf::from).collect(),
        |path| {
            // The folder of Matomo is as good as the file in it.
            vec![if path.is_dir() { path.join(CONSOLE) } else { path.to_owned() }]
        },
    );
    looked_at.iter().find(|path| path.is_file()).cloned().ok_or(Missing::Console { looked_at })
}

fn find_php(named: Option<&Path>) -> Result<PathBuf, Missing> {
    let missing = |error| Missing::Php { error };
    if let Some(path) = named {
        return find_program(&path.to_string_lossy()).map_err(missing);
    }
    let in_path = find_program("php");
    let known = || PHPS.iter().find_map(|path| find_program(path).ok());
    in_path.or_else(|error| known().ok_or(error)).map_err(missing)
}

fn we_are_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

/// Whom to run Matomo as, so that every file it writes belongs to the user of the web server.
fn user(run_as: &RunAs, console: &Path, root: bool) -> Result<Option<User>, Missing> {
    if !root {
        return Ok(None);
    }
    // What the web server writes: the configuration, else the temporary files.
    let root = console.parent().unwrap_or(Path::new("/"));
    Ok(run_as.user(&["config/config.ini.php", "tmp", "config"].map(|name| root.join(name)))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn the_console_is_a_file_or_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find_console(Some(folder.path())).unwrap_err().to_string().contains("console"));
        let file = folder.path().join("console");
        fs::write(&file, "").unwrap();
        assert_eq!(find_console(Some(folder.path())).unwrap(), file);
        assert_eq!(find_console(Some(&file)).unwrap(), file);
    }

    #[test]
    fn root_becomes_the_owner_of_what_the_web_server_writes() {
        let folder = tempfile::tempdir().unwrap();
        let console = folder.path().join("console");
        let config = folder.path().join("config");
        fs::create_dir(&config).unwrap();
        fs::write(config.join("config.ini.php"), "").unwrap();
        let named = |user: &str| user_of(&RunAs::Name(user.to_owned()), &console);
        assert_eq!(user(&RunAs::Owner, &console, false).unwrap(), None, "only root can become somebody else");
        assert_eq!(user_of(&RunAs::Ourselves, &console), Ok(None));
        assert_eq!(named("root"), Ok(Some(User { uid: 0, gid: 0 })));
        assert!(named("nobody here").unwrap_err().contains("no user nobody here"));
        if we_are_root() {
            chown(config.join("config.ini.php"), Some(4711), Some(4712)).unwrap();
            assert_eq!(user_of(&RunAs::Owner, &console), Ok(Some(User { uid: 4711, gid: 4712 })));
        }
    }

    fn user_of(run_as: &RunAs, console: &Path) -> Result<Option<User>, String> {
        user(run_as, console, true).map_err(|error| error.to_string())
    }
}
