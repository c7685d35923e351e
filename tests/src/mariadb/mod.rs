//! A real MariaDB server of a journey's own, with a database like Matomo's in it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a journey without its database can only fail")]

mod sample;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const START_MAX: Duration = Duration::from_secs(60);
/// Root's password of each server.
pub const ROOT_PASSWORD: &str = "root-secret";
/// Small files for small machines.
const OPTIONS: [&str; 11] = [
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--performance-schema=off",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-fast-shutdown=2",
    "--max-allowed-packet=64M",
    "--character-set-server=utf8mb4",
];

/// A server. It is killed and its folder removed when it is dropped.
#[derive(Debug)]
pub struct MariaDb {
    folder: TempDir,
    port: u16,
    server: Server,
}

/// The process; it is killed when this is dropped, also when a journey fails.
#[derive(Debug)]
struct Server(Option<Child>);

impl Server {
    fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let Some(child) = &mut self.server.0 else { return };
        // A journey that fails shows what the server said meanwhile, and whether it was still there.
        if thread::panicking() {
            let state = match child.try_wait() {
                Ok(Some(status)) => format!("ended by itself with {status}"),
                _ => "still runs".to_owned(),
            };
            println!("the database server {state}; its log:\n{}", log_of(self.folder.path()));
        }
    }
}

impl MariaDb {
    /// A server with nothing in it.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("mariadb-").tempdir().expect("a folder for the server");
        let copied = Command::new("cp")
            .args(["--archive", "--reflink=auto"])
            .arg(template().join("data"))
            .arg(folder.path())
            .status();
        assert!(copied.unwrap().success(), "the server's files cannot be copied");
        give_to_server(folder.path());
        let (port, server) = start_server(folder.path());
        Self { folder, port, server }
    }

    /// No server, for journeys that need none: nobody answers at its port.
    pub fn absent() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), port: 1, server: Server(None) }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kill it as a power cut would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Start it again, on the same port if that is free.
    pub fn start_again(&mut self) {
        self.kill();
        (self.port, self.server) = start_server(self.folder.path());
    }

    /// Start it again so that whoever wants may come encrypted, with this certificate.
    pub fn speak_tls(&mut self, certificate: &str, key: &str) {
        fs::write(self.folder.path().join("tls.crt"), certificate).unwrap();
        fs::write(self.folder.path().join("tls.key"), key).unwrap();
        give_to_server(self.folder.path());
        self.start_again();
    }

    fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command.args([
            "--no-defaults",
            "--protocol=tcp",
            "--host=127.0.0.1",
            "--user=root",
            "--batch",
            "--skip-column-names",
        ]);
        command
            .arg("--default-character-set=utf8mb4")
            .arg(format!("--port={}", self.port))
            .env("MYSQL_PWD", ROOT_PASSWORD);
        command
    }

    /// Run statements as root, or say why not.
    pub fn try_ask(&self, statements: &str) -> Result<String, String> {
        let mut child =
            self.client().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mariadb");
        let _ = child.stdin.take().unwrap().write_all(statements.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if status.success() { Ok(text(stdout).trim_end().to_owned()) } else { Err(text(stderr)) }
    }

    /// Run statements as root.
    #[track_caller]
    pub fn ask(&self, statements: &str) -> String {
        self.try_ask(statements).unwrap_or_else(|why| panic!("the database refuses: {why}"))
    }

    /// `CHECKSUM TABLE` of every table of a database.
    pub fn checksums(&self, database: &str) -> BTreeMap<String, String> {
        let tables =
            self.ask(&format!("SELECT table_name FROM information_schema.tables WHERE table_schema='{database}'"));
        let statements: String =
            tables.lines().map(|table| format!("CHECKSUM TABLE `{database}`.`{table}` EXTENDED;\n")).collect();
        let sums = self.ask(&statements);
        sums.lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(table, sum)| (table.to_owned(), sum.to_owned()))
            .collect()
    }

    /// Names of all databases but the server's own.
    pub fn databases(&self) -> Vec<String> {
        let own = ["information_schema", "mysql", "performance_schema", "sys"];
        let all = self.ask("SHOW DATABASES");
        all.lines().filter(|name| !own.contains(name)).map(str::to_owned).collect()
    }

    /// Insert a visit with its three actions, again and again, until told to stop; how many, and the longest wait.
    pub fn longest_write(&self, database: &str, stop: &AtomicBool) -> (u64, Duration) {
        const WRITE: &str = "START TRANSACTION; INSERT INTO matomo_log_visit (idsite, user_id) VALUES (9, 'w'); \
             INSERT INTO matomo_log_link_visit_action (idsite, idvisit) VALUES (9, LAST_INSERT_ID()), (9, LAST_INSERT_ID()), (9, LAST_INSERT_ID()); \
             COMMIT; SELECT 'done';\n";
        let mut client = self.client();
        client.args(["--unbuffered", database]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = client.spawn().expect("mariadb");
        let mut stdin = client.stdin.take().unwrap();
        let mut stdout = BufReader::new(client.stdout.take().unwrap());
        let (mut written, mut longest) = (0, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let begin = Instant::now();
            stdin.write_all(WRITE.as_bytes()).unwrap();
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            assert_eq!(line, "done\n");
            longest = longest.max(begin.elapsed());
            written += 1;
        }
        drop(stdin);
        client.wait().unwrap();
        (written, longest)
    }

    /// A database like Matomo's, about `megabytes` of dump, and a user with all rights on it and nothing else.
    pub fn fill(&self, database: &str, user: &str, password: &str, megabytes: u64) {
        let literal = password.replace('\\', "\\\\").replace('\'', "''");
        self.ask(&format!(
            "CREATE DATABASE {database} CHARACTER SET utf8mb4; USE {database};\n\
             CREATE USER '{user}'@'%' IDENTIFIED BY '{literal}'; GRANT ALL ON {database}.* TO '{user}'@'%';\n{}",
            sample::statements(megabytes)
        ));
    }
}

/// The number of a user, by its name.
pub fn user_number(name: &str) -> Option<u32> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// The server refuses to run as root.
fn server_user() -> Option<u32> {
    if rustix::process::geteuid().is_root() { user_number("mysql") } else { None }
}

fn give_to_server(folder: &Path) {
    let Some(user) = server_user() else { return };
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    chown(folder, Some(user), None).unwrap();
    let given = Command::new("chown").arg("-R").arg("mysql:").arg(folder).status();
    assert!(given.unwrap().success(), "the server's files cannot be given to it");
}

fn user_option(command: &mut Command) {
    if server_user().is_some() {
        command.arg("--user=mysql");
    }
}

/// The files of a fresh server, made once for all journeys of this build.
fn template() -> PathBuf {
    let place = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tmp/mariadb-template"));
    fs::create_dir_all(&place).unwrap();
    let lock = File::create(place.join("lock")).unwrap();
    lock.lock().unwrap();
    if place.join("ready").exists() {
        return place;
    }
    let _ = fs::remove_dir_all(place.join("data"));
    let fresh = tempfile::Builder::new().prefix("mariadb-").tempdir().unwrap();
    fs::create_dir(fresh.path().join("data")).unwrap();
    give_to_server(fresh.path());
    let mut install = Command::new("mariadb-install-db");
    install.arg("--no-defaults").arg(format!("--datadir={}", fresh.path().join("data").display()));
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=16M"]);
    install.arg(temporary(fresh.path()));
    user_option(&mut install);
    let output = install.output().expect("mariadb-install-db, from the package mariadb-server");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (port, mut server) = start_server_as(fresh.path(), "");
    let password = format!(
        "ALTER USER root@localhost IDENTIFIED BY '{ROOT_PASSWORD}'; CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '{ROOT_PASSWORD}'; GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION; SHUTDOWN"
    );
    let mut client = Command::new("mariadb");
    client
        .args(["--no-defaults", "--protocol=socket", "--user=root"])
        .arg(format!("--socket={}", fresh.path().join("s").display()));
    let output = client.arg("--execute").arg(password).output().unwrap();
    assert!(output.status.success(), "port {port}: {}", String::from_utf8_lossy(&output.stderr));
    server.0.take().unwrap().wait().unwrap();
    let moved = Command::new("cp").args(["--archive"]).arg(fresh.path().join("data")).arg(&place).status();
    assert!(moved.unwrap().success());
    File::create(place.join("ready")).unwrap();
    place
}

fn start_server(folder: &Path) -> (u16, Server) {
    start_server_as(folder, ROOT_PASSWORD)
}

/// Another program may take the free port first; then another one is tried.
fn start_server_as(folder: &Path, password: &str) -> (u16, Server) {
    let give_up = Instant::now() + START_MAX;
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new("mariadbd");
        server.args(OPTIONS).arg(format!("--datadir={}", folder.join("data").display()));
        server.arg(format!("--socket={}", folder.join("s").display())).arg(format!("--port={port}"));
        server.arg(format!("--pid-file={}", folder.join("pid").display())).arg(temporary(folder));
        if folder.join("tls.crt").exists() {
            server.arg(format!("--ssl-cert={}", folder.join("tls.crt").display()));
            server.arg(format!("--ssl-key={}", folder.join("tls.key").display()));
        }
        user_option(&mut server);
        // What a server said before it was killed and started again is kept.
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let mut server = Server(Some(child.expect("mariadbd, from the package mariadb-server")));
        loop {
            let mut ping = Command::new("mariadb-admin");
            ping.args(["--no-defaults", "--protocol=socket", "--user=root", "--silent", "ping"]);
            ping.arg(format!("--socket={}", folder.join("s").display())).env("MYSQL_PWD", password);
            if ping.stderr(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
                return (port, server);
            }
            if server.0.as_mut().unwrap().try_wait().unwrap().is_some() {
                break;
            }
            assert!(Instant::now() < give_up, "the server does not start: {}", log_of(folder));
            thread::sleep(Duration::from_millis(50));
        }
        assert!(Instant::now() < give_up, "the server does not start: {}", log_of(folder));
    }
}

/// A server that starts removes temporary tables from its folder for them, those of other servers too. The other server
/// then dies of a signal 11 at its next `SHOW EVENTS` or the like (10.11), so each has a folder of its own.
fn temporary(folder: &Path) -> String {
    format!("--tmpdir={}", folder.display())
}

fn log_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_starts_takes_no_temporary_table_from_another() {
        let table = tempfile::Builder::new().prefix("#sql-temptable-").suffix(".MAI").tempfile().unwrap();
        chown(table.path(), server_user(), None).unwrap();
        let server = MariaDb::start();
        assert!(table.path().exists());
        assert!(Path::new(&server.ask("SELECT @@tmpdir")).starts_with(server.folder.path()));
    }
}
