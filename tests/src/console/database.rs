//! A real MariaDB behind a socket of its own, with the two tables of Matomo that the archiver touches.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a journey without its database can only fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const START_MAX: Duration = Duration::from_secs(60);
/// A password with everything that configuration files and shells stumble over.
pub const PASSWORD: &str = "p&\"x;'ä = 1";
const SCHEMA: &str = "CREATE DATABASE matomo;
CREATE TABLE matomo.mt_archive_invalidations (idinvalidation INT AUTO_INCREMENT PRIMARY KEY, idsite INT, status INT DEFAULT 0, ts_started DATETIME);
CREATE TABLE matomo.mt_log_visit (idvisit INT AUTO_INCREMENT PRIMARY KEY, idsite INT, visit_last_action_time DATETIME);";

/// A server. It is killed and its folder removed when it is dropped.
#[derive(Debug)]
pub struct Database {
    folder: TempDir,
    child: Child,
}

impl Database {
    /// A server with Matomo's tables, empty.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("db-").tempdir().expect("a folder for the server");
        let data = folder.path().join("data");
        // Servers that start at the same time would meet in the common folder for temporary files.
        let temporary = format!("--tmpdir={}", folder.path().display());
        let options = ["--no-defaults", &temporary, "--user=root", "--auth-root-authentication-method=normal"];
        let made =
            Command::new("mariadb-install-db").args(options).arg(format!("--datadir={}", data.display())).output();
        let made = made.expect("mariadb-install-db");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let socket = folder.path().join("socket");
        let mut command = Command::new("mariadbd");
        command.args([
            "--no-defaults",
            "--user=root",
            "--skip-networking",
            "--skip-log-bin",
            "--performance-schema=off",
        ]);
        command.args([
            "--innodb-buffer-pool-size=16M",
            "--innodb-fast-shutdown=2",
            "--innodb-flush-log-at-trx-commit=2",
        ]);
        command
            .arg(&temporary)
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", socket.display()));
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("mariadbd");
        let database = Self { folder, child };
        let give_up = Instant::now() + START_MAX;
        while database.try_ask("SELECT 1").is_none() {
            assert!(Instant::now() < give_up, "{}", fs::read_to_string(database.folder.path().join("log")).unwrap());
            thread::sleep(Duration::from_millis(50));
        }
        database.ask(SCHEMA);
        let password = PASSWORD.replace('\'', "''");
        database
            .ask(&format!("CREATE USER m@localhost IDENTIFIED BY '{password}'; GRANT ALL ON matomo.* TO m@localhost"));
        database
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The configuration of a Matomo that uses it, written as Matomo writes it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, root: &Path) {
        let password = PASSWORD.replace('&', "&amp;").replace('"', "&quot;");
        let global = "[database]\nhost =\nport = 3306\ntables_prefix = mt_\n";
        let own = format!(
            "; <?php exit; ?> DO NOT REMOVE THIS LINE\n[database]\nhost = \"localhost\"\nusername = \"m\"\npassword = \"{password}\"\ndbname = \"matomo\"\nunix_socket = \"{}\"\n",
            self.socket().display()
        );
        fs::write(root.join("config/global.ini.php"), global).unwrap();
        fs::write(root.join("config/config.ini.php"), own).unwrap();
    }

    /// The command line of a client that is root.
    pub fn client(&self) -> String {
        format!("mariadb --no-defaults --user=root --socket={} --batch --skip-column-names", self.socket().display())
    }

    fn try_ask(&self, statements: &str) -> Option<String> {
        let client = self.client();
        let mut words = client.split(' ');
        let output = Command::new(words.next()?).args(words).arg("--execute").arg(statements).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Run statements as root.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn ask(&self, statements: &str) -> String {
        self.try_ask(statements).unwrap_or_else(|| panic!("the database refuses {statements}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
