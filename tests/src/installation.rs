//! A Matomo as `maintenance` sees it: a folder with configuration, plugins and files, a real database, a web side.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a journey without its Matomo can only fail")]

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::forged::Forged;
use crate::mariadb::{MariaDb, ROOT_PASSWORD};
use crate::web::Web;

/// Matomo's database user, and a password with every letter that a careless program trips over.
pub const USER: &str = "bn_matomo";
/// See [`USER`].
pub const PASSWORD: &str = "p\"w\\#; $x";
/// Name of the database.
pub const DATABASE: &str = "matomo_db";

const RUN_MAX: Duration = Duration::from_secs(150);

/// Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Installation {
    program: PathBuf,
    folder: TempDir,
    /// The database.
    pub database: MariaDb,
    /// The web side.
    pub web: Web,
    variables: Mutex<BTreeMap<String, String>>,
}

/// How a run ended and what it said.
#[derive(Debug, Clone)]
pub struct Done {
    words: String,
    /// The exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { words, code, signal, stdout, stderr } = self;
        write!(f, "maintenance {words} ended with {code:?} {signal:?}\n{stdout}{stderr}")
    }
}

impl Done {
    /// This exit code.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Some line holds all of these words.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let output = format!("{}{}", self.stdout, self.stderr);
        assert!(
            output.lines().any(|line| words.iter().all(|word| line.contains(word))),
            "no line says {words:?}\n{self}"
        );
        self
    }

    /// No line holds this text.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "some line says {text:?}\n{self}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl Installation {
    /// A healthy one, with about so many megabytes of database; without a server for 0.
    pub fn new(program: &str, megabytes: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("installation-").tempdir().expect("a folder");
        // Other users (a program that is not root) must be able to pass.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let database = if megabytes == 0 { MariaDb::absent() } else { MariaDb::start() };
        if megabytes > 0 {
            database.fill(DATABASE, USER, PASSWORD, megabytes);
        }
        let matomo = folder.path().join("matomo");
        write_matomo(&matomo, database.port());
        let web = Web::start(matomo.join("config/config.ini.php"));
        let installation = Self { program: program.into(), database, web, variables: Mutex::default(), folder };
        for (name, value) in [
            ("MAINTENANCE_DIR", installation.backups().display().to_string()),
            ("MATOMO_DIR", matomo.display().to_string()),
            ("MATOMO_URL", installation.web.url()),
            ("MARIADB_ROOT_PASSWORD", ROOT_PASSWORD.to_owned()),
            ("MAINTENANCE_SETTLE_TIME", "3s".to_owned()),
            ("NO_COLOR", "1".to_owned()),
            ("TZ", "UTC".to_owned()),
        ] {
            installation.set(name, &value);
        }
        installation
    }

    /// Set a variable for the next start.
    pub fn set(&self, name: &str, value: &str) -> &Self {
        self.variables.lock().unwrap().insert(name.to_owned(), value.to_owned());
        self
    }

    /// Take a variable away for the next start.
    pub fn unset(&self, name: &str) -> &Self {
        self.variables.lock().unwrap().remove(name);
        self
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder for sets.
    pub fn backups(&self) -> PathBuf {
        self.folder().join("backups")
    }

    /// Matomo's folder.
    pub fn matomo(&self) -> PathBuf {
        self.folder().join("matomo")
    }

    /// The configuration's path.
    pub fn config_path(&self) -> PathBuf {
        self.matomo().join("config/config.ini.php")
    }

    /// The configuration.
    pub fn config(&self) -> String {
        fs::read_to_string(self.config_path()).unwrap()
    }

    /// The database was started again: tell the configuration its new port.
    pub fn follow_database(&self) {
        let config = self.config();
        let line = config.lines().find(|line| line.starts_with("port = ")).unwrap().to_owned();
        fs::write(self.config_path(), config.replace(&line, &format!("port = {}", self.database.port()))).unwrap();
    }

    /// A file below Matomo's folder.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.matomo().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A file below Matomo's folder, if it is there.
    pub fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.matomo().join(path)).ok()
    }

    /// The command, ready to be started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(self.folder()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
            .envs(&*self.variables.lock().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Start it with these words.
    pub fn start(&self, words: &[&str]) -> Run {
        Run { words: words.join(" "), child: Some(self.command(words).spawn().expect("maintenance")) }
    }

    /// Run it to its end.
    pub fn run(&self, words: &[&str]) -> Done {
        self.start(words).wait()
    }

    /// Run it as another user.
    pub fn run_as(&self, user: u32, words: &[&str]) -> Done {
        let child = self.command(words).uid(user).gid(user).spawn().expect("maintenance");
        Run { words: words.join(" "), child: Some(child) }.wait()
    }

    /// Take a backup and give its name.
    #[track_caller]
    pub fn backup(&self) -> String {
        let done = self.run(&["backup", "--json"]).ends_with(0);
        done.json()["set"].as_str().unwrap().to_owned()
    }

    /// Names of the sets that `history` lists, in order.
    pub fn sets(&self) -> Vec<String> {
        let json = self.run(&["history", "--json"]).ends_with(0).json();
        json["sets"].as_array().unwrap().iter().map(|set| set["name"].as_str().unwrap().to_owned()).collect()
    }

    /// A set's manifest.
    pub fn manifest(&self, set: &str) -> Json {
        serde_json::from_slice(&fs::read(self.backups().join(set).join("manifest.json")).unwrap()).unwrap()
    }

    /// A set, to be forged.
    pub fn forge(&self, set: &str) -> Forged {
        Forged::at(self.backups().join(set))
    }

    /// Give Matomo's folder and everything in it to a user.
    pub fn belongs_to(&self, user: u32) {
        let given = Command::new("chown").arg("-R").arg(format!("{user}:{user}")).arg(self.matomo()).status();
        assert!(given.unwrap().success(), "Matomo's files can be given away");
    }

    /// Names of hidden things among the sets, but for the state folder.
    pub fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.backups()).into_iter().flatten().filter_map(Result::ok);
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with('.') && name != ".state").collect()
    }
}

/// A run that is under way. It is killed when it is dropped.
#[derive(Debug)]
pub struct Run {
    words: String,
    child: Option<Child>,
}

impl Run {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Has it ended by itself?
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Kill it as a power cut would, after a while, unless it ends before.
    pub fn kill_after(mut self, delay: Duration) -> Done {
        let at = Instant::now() + delay;
        while Instant::now() < at && !self.has_ended() {
            thread::sleep(Duration::from_millis(1));
        }
        let _ = self.child.as_mut().unwrap().kill();
        self.wait()
    }

    /// Wait for its end.
    pub fn wait(mut self) -> Done {
        let mut child = self.child.take().unwrap();
        let (stdout, stderr) = (listen(child.stdout.take().unwrap()), listen(child.stderr.take().unwrap()));
        let give_up = Instant::now() + RUN_MAX;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > give_up {
                let _ = child.kill();
                let _ = child.wait();
                panic!("maintenance {} did not end\n{}", self.words, stdout.join().unwrap() + &stderr.join().unwrap());
            }
            thread::sleep(Duration::from_millis(2));
        };
        Done {
            words: self.words.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }
}

fn listen(mut stream: impl std::io::Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).into_owned()
    })
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
            // A journey that fails shows what the run said meanwhile.
            if thread::panicking()
                && let Some(stdout) = child.stdout.take()
            {
                println!("maintenance {} said:\n{}", self.words, listen(stdout).join().unwrap_or_default());
            }
        }
    }
}

/// The password as Matomo writes it.
fn encoded(password: &str) -> String {
    password.replace('&', "&amp;").replace('"', "&quot;").replace('$', "&#36;").replace('\\', "\\\\")
}

fn write_matomo(folder: &Path, port: u16) {
    let config = format!(
        "; <?php exit; ?> DO NOT REMOVE THIS LINE\n; file automatically generated or modified by Matomo\n[database]\n\
         host = \"127.0.0.1\"\nport = {port}\nusername = \"{USER}\"\npassword = \"{}\"\ndbname = \"{DATABASE}\"\n\
         tables_prefix = \"matomo_\"\ncharset = \"utf8mb4\"\n\n[General]\nsalt = \"secret-salt\"\ntrusted_hosts[] = \"localhost\"\n\n\
         [PluginsInstalled]\nPluginsInstalled[] = \"Login\"\nPluginsInstalled[] = \"LoginLdap\"\n",
        encoded(PASSWORD)
    );
    let files: [(&str, &str); 8] = [
        ("config/config.ini.php", &config),
        ("config/global.ini.php", "[Plugins]\nPlugins[] = \"Login\"\nPlugins[] = \"API\"\n\n[General]\na = 1\n"),
        ("core/Version.php", "<?php\nfinal class Version\n{\n    const VERSION = '5.0.2';\n}\n"),
        ("plugins/Login/plugin.php", "core"),
        ("plugins/LoginLdap/plugin.json", "{\"name\":\"LoginLdap\",\"version\":\"5.1.0\"}"),
        ("plugins/LoginLdap/LoginLdap.php", "<?php // ldap"),
        ("misc/user/logo.png", "the logo"),
        ("misc/DBIP-City.mmdb", "where everybody is"),
    ];
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::set_permissions(folder.join("config/config.ini.php"), Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(folder.join("plugins/LoginLdap/LoginLdap.php"), Permissions::from_mode(0o751)).unwrap();
}
