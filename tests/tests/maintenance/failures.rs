//! Backups that cannot be whole: they say why, leave no set, and give the switches back.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use tests::installation::{DATABASE, Installation};
use tests::mariadb::{MariaDb, user_number};

use crate::{PROGRAM, connections_that_dump, healthy, is_dumping, terminate, until};

#[test]
fn c_147_a_wrong_password_and_an_absent_server_are_said_and_nothing_is_left() {
    let mut matomo = healthy();
    let set = matomo.backup();
    let nothing_new = |matomo: &Installation| {
        assert_eq!(matomo.sets(), std::slice::from_ref(&set));
        assert_eq!(matomo.leftovers(), [""; 0]);
        assert!(!matomo.config().contains("maintenance_mode"), "the switches are back");
    };
    matomo.set("MATOMO_DATABASE_PASSWORD", "wrong-password");
    let done =
        matomo.run(&["backup", "--lock"]).ends_with(78).says(&["Access denied"]).says(&["MATOMO_DATABASE_PASSWORD"]);
    assert!(!done.to_string().contains("wrong-password"), "{done}");
    nothing_new(&matomo);
    matomo.unset("MATOMO_DATABASE_PASSWORD");
    matomo.database.kill();
    matomo.run(&["backup", "--lock"]).ends_with(69).says(&["is the server up"]);
    matomo.run(&["check"]).says(&["FAULT", "cannot ask the database"]);
    nothing_new(&matomo);
    matomo.database.start_again();
    matomo.follow_database();
    matomo.run(&["backup"]).ends_with(0);
}

#[test]
fn a_backup_with_a_lock_is_kept_whatever_matomo_answers_afterwards() {
    let matomo = healthy();
    let config = matomo.config();
    matomo.set("MAINTENANCE_SETTLE_TIME", "1s").set("MATOMO_URL", "http://127.0.0.1:1");
    matomo.run(&["backup", "--lock"]).ends_with(0).says(&["WARN", "nobody is there"]);
    // It answers that it is locked, and goes on to do so.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    matomo.set("MATOMO_URL", &format!("http://{}", listener.local_addr().unwrap()));
    thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let answer = "HTTP/1.1 503 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    matomo.run(&["backup", "--lock"]).ends_with(1).says(&["is whole and the lock is undone, but", "answers otherwise"]);
    assert_eq!((matomo.sets().len(), matomo.config()), (2, config));
}

/// Kills the connections that dump, or says that there are none.
pub fn kill_dumps(database: &MariaDb) -> bool {
    let dumping = connections_that_dump(database);
    dumping.iter().filter(|id| database.try_ask(&format!("KILL {id}")).is_ok()).count() > 0
}

#[test]
fn c7_07_a_dump_whose_connection_is_killed_is_no_set_and_the_switches_come_back() {
    let matomo = Installation::new(PROGRAM, 60);
    let config = matomo.config();
    let run = matomo.start(&["backup", "--lock"]);
    until("a dump under way", || kill_dumps(&matomo.database));
    let done = run.wait();
    assert_eq!(done.code.map(|code| code != 0), Some(true), "{done}");
    done.says(&["database.sql.zst", "failed"]);
    assert_eq!((matomo.sets().len(), matomo.leftovers().len()), (0, 0));
    assert_eq!(matomo.config(), config);
    matomo.run(&["history"]).ends_with(0).says(&["FAILED", "backup"]);
}

#[test]
fn c7_07_a_server_that_dies_in_the_middle_leaves_no_set() {
    let mut matomo = Installation::new(PROGRAM, 60);
    let run = matomo.start(&["backup"]);
    until("a dump under way", || is_dumping(&matomo.database));
    matomo.database.kill();
    let done = run.wait();
    let done = done.ends_with(69).says(&["is the server up"]);
    assert_eq!((matomo.sets().len(), matomo.leftovers().len()), (0, 0), "{done}");
}

struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(place: &Path, kilobytes: u64) -> Self {
        fs::create_dir_all(place).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])
            .arg(place)
            .status();
        assert!(status.unwrap().success(), "a small disk can be mounted");
        Self(place.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn c7_07_a_full_disk_leaves_earlier_sets_and_no_new_one() {
    if !rustix::process::geteuid().is_root() {
        println!("only root may mount a small disk");
        return;
    }
    let matomo = healthy();
    let small = matomo.backup();
    let bytes: u64 = fs::read_dir(matomo.backups().join(&small))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    // Room for two of them and a half, by the estimate; then the database grows.
    let disk = matomo.folder().join("small");
    let _disk = Tmpfs::mount(&disk, bytes * 5 / 2 / 1024 + 64);
    matomo.set("MAINTENANCE_DIR", &disk.display().to_string());
    matomo.run(&["backup"]).ends_with(0);
    matomo.database.ask(&format!(
        "USE {DATABASE}; INSERT INTO matomo_archive_blob_2026_01 SELECT seq + 1000000, 'x', 1, NULL, NULL, 1, NULL, RANDOM_BYTES(1000) FROM seq_1_to_{}",
        bytes / 400
    ));
    let config = matomo.config();
    let done = matomo.run(&["backup", "--lock"]);
    assert_eq!(done.code, Some(73), "{done}");
    let done = done.says(&["No space left"]);
    assert_eq!(matomo.config(), config, "{done}");
    let json = matomo.run(&["history", "--json"]).ends_with(0).json();
    assert_eq!(json["sets"].as_array().unwrap().len(), 1, "{json}");
    let hidden = fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(hidden.filter(|name| name.starts_with(".partial")).count(), 0);
    matomo.run(&["verify"]).ends_with(0);
    // Where even the estimate says no, nothing is tried.
    let filler = fs::File::create(disk.join("filler")).unwrap();
    let _ = std::io::copy(&mut std::io::Read::take(std::io::repeat(1), u64::MAX), &mut &filler);
    matomo.run(&["backup"]).ends_with(73).says(&["MB free"]);
}

#[test]
fn c7_07_a_plugin_file_that_cannot_be_read_fails_the_backup() {
    let matomo = healthy();
    let path = matomo.matomo().join("plugins/LoginLdap/secret.php");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(matomo.config_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let done = if rustix::process::geteuid().is_root() {
        fs::create_dir_all(matomo.backups()).unwrap();
        let nobody = user_number("nobody").unwrap();
        std::os::unix::fs::chown(matomo.backups(), Some(nobody), Some(nobody)).unwrap();
        matomo.run_as(nobody, &["backup"])
    } else {
        matomo.run(&["backup"])
    };
    assert!(done.code.is_some_and(|code| code != 0), "{done}");
    done.says(&["plugins.tar.zst", "failed"]).says(&["secret.php"]);
    assert_eq!(matomo.leftovers(), [""; 0]);
    assert_eq!(matomo.sets(), [""; 0]);
}

#[test]
fn c_147_a_stop_in_the_middle_of_a_backup_gives_the_switches_back() {
    let matomo = Installation::new(PROGRAM, 60);
    let config = matomo.config();
    let run = matomo.start(&["backup", "--lock"]);
    until("the lock", || matomo.config() != config);
    until("a dump under way", || is_dumping(&matomo.database));
    terminate(&run);
    run.wait().ends_with(75).says(&["stopped as asked"]);
    assert_eq!(matomo.config(), config);
    assert_eq!((matomo.sets().len(), matomo.leftovers().len()), (0, 0));
}

#[test]
fn a_dump_cut_by_the_wire_is_never_good() {
    let matomo = Installation::new(PROGRAM, 30);
    // Between the programs and the server stands a wire that breaks after so many bytes.
    for bytes in [20_000, 3_000_000, 12_000_000] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = matomo.database.port();
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                thread::spawn(move || relay(&client, server, bytes));
            }
        });
        matomo.set("MARIADB_HOST", "127.0.0.1").set("MARIADB_PORT_NUMBER", &port.to_string());
        let done = matomo.run(&["backup"]);
        assert!(done.code.is_some_and(|code| code != 0), "after {bytes} bytes: {done}");
        assert_eq!((matomo.sets().len(), matomo.leftovers().len()), (0, 0));
    }
}

fn relay(client: &TcpStream, server: u16, bytes: u64) {
    use std::io::{Read as _, copy};
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = copy(&mut &*client, &mut &server);
            let _ = server.shutdown(std::net::Shutdown::Both);
        });
        let _ = copy(&mut (&server).take(bytes), &mut &*client);
        let _ = client.shutdown(std::net::Shutdown::Both);
        let _ = server.shutdown(std::net::Shutdown::Both);
    });
}
