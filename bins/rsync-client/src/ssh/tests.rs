//! Our rsync, run by a real shell in front of a program that tells what it was given.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::client::{Client, ClientOptions};

/// In place of the real one: its words, and the connection that it is told to use; ends as `ENDS` says.
const STUB: &str = "#!/bin/sh\nprintf '[%s]' \"$@\"\nprintf '|%s' \"${RSYNC_CONNECT_PROG##* dial}\"\nexit ${ENDS:-0}\n";

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stub = folder.path().join("stub");
        fs::create_dir(&stub).unwrap();
        for name in ["ssh", "rsync"] {
            fs::write(stub.join(name), STUB).unwrap();
            fs::set_permissions(stub.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let options = ClientOptions {
            folder: folder.path().join("ssh dir"),
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            pinned_hosts: None,
            keys: Vec::new(),
            search_path: stub.display().to_string(),
        };
        Client::new(options).prepare().unwrap();
        Self(folder)
    }

    fn command(&self) -> Command {
        Command::new(self.0.path().join("ssh dir/rsync-client/bin/rsync"))
    }

    /// The words that rsync gets, and where it connects.
    fn given(&self, words: &[&str]) -> String {
        String::from_utf8(self.command().args(words).output().unwrap().stdout).unwrap()
    }

    fn code(&self, ends: &str, tally: &Path) -> Option<i32> {
        self.command()
            .args(["-a", "b", "c"])
            .env("ENDS", ends)
            .env("RSYNC_CLIENT_TALLY", tally)
            .status()
            .unwrap()
            .code()
    }
}

#[test]
fn a_daemon_is_reached_by_our_connection_and_all_else_as_it_was() {
    let world = World::new();
    let longer = "[--timeout=60]";
    for (words, given) in [
        (&["-a", "rsync://h/m/", "x y"][..], format!("{longer}[-a][rsync://h/m/][x y]| 15 60 873 '%H'")),
        (&["rsync://me@h:8730/m/", "x"], format!("{longer}[rsync://me@h:8730/m/][x]| 15 60 8730 '%H'")),
        (&["rsync://[::1]:8731/m/", "x"], format!("{longer}[rsync://[::1]:8731/m/][x]| 15 60 8731 '%H'")),
        (&["rsync://[::1]/m/", "x"], format!("{longer}[rsync://[::1]/m/][x]| 15 60 873 '%H'")),
        (&["--port=99", "me@h::m", "x"], format!("{longer}[--port=99][me@h::m][x]| 15 60 99 '%H'")),
        (&["--port", "99", "h::m", "x"], format!("{longer}[--port][99][h::m][x]| 15 60 99 '%H'")),
        (&["--timeout=90", "h::m", "x"], format!("{longer}[--timeout=90][h::m][x]| 15 90 873 '%H'")),
        (&["--timeout", "9", "h::m", "x"], format!("{longer}[--timeout][9][h::m][x]| 15 60 873 '%H'")),
        (&["--timeout=0", "h::m", "x"], "[--timeout=0][h::m][x]|".to_owned()),
        (&["-e", "ssh", "h::m", "x"], "[-e][ssh][h::m][x]|".to_owned()),
        (&["-ave", "ssh", "h::m", "x"], "[-ave][ssh][h::m][x]|".to_owned()),
        (&["--address=1", "h::m", "x"], "[--address=1][h::m][x]|".to_owned()),
        (&["-a", "h:/m::n", "x"], "[-a][h:/m::n][x]|".to_owned()),
        (&["-a", "/m::n", "x"], "[-a][/m::n][x]|".to_owned()),
        (&["-a", "h:/m", "x"], "[-a][h:/m][x]|".to_owned()),
    ] {
        assert_eq!(world.given(words), given, "{words:?}");
    }
    let own = world.command().args(["h::m", "x"]).env("RSYNC_PROXY", "p:1").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&own.stdout), "[h::m][x]|");
}

#[test]
fn how_it_ended_is_noted_and_vanished_files_are_no_failure() {
    let world = World::new();
    let tally = world.0.path().join("tally");
    assert_eq!(
        (world.code("0", &tally), world.code("24", &tally), world.code("23", &tally)),
        (Some(0), Some(0), Some(23))
    );
    let text = fs::read_to_string(&tally).unwrap();
    let notes: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(notes.iter().map(|note| note[0]).collect::<Vec<_>>(), ["0", "24", "23"]);
    assert!(notes.iter().all(|note| note.len() == 3 && note[1..] == notes[0][1..] && note[1] != note[2]), "{text}");
    // Alone it ends as rsync does.
    assert_eq!(world.command().env("ENDS", "24").status().unwrap().code(), Some(24));
}
