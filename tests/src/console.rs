//! A Matomo beside the sidecar: its folder with a stand-in for the console, run by a real PHP, and a port that greets as
//! a database does; and the sidecar itself, started, listened to and stopped.

mod database;
mod door;
mod sidecar;
mod web;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

pub use database::Database;
pub use door::Door;
pub use sidecar::{Ended, Sidecar};
pub use web::{Plays, TOKEN, Web};

const SCRIPT: &str = include_str!("console/console.php");

/// A folder of Matomo, a database that greets, and the settings of a sidecar. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Console {
    program: PathBuf,
    folder: TempDir,
    door: RefCell<Option<Door>>,
    variables: RefCell<BTreeMap<String, String>>,
}

impl Console {
    /// A Matomo for the binary at `program`.
    ///
    /// # Panics
    /// When its folder cannot be made.
    #[expect(clippy::expect_used, reason = "a journey without a folder can only fail")]
    pub fn new(program: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("console-").tempdir().expect("a folder for the journey");
        let console = Self {
            program: PathBuf::from(program),
            folder,
            door: RefCell::new(Some(Door::open(0))),
            variables: RefCell::default(),
        };
        fs::create_dir_all(console.root().join("config")).expect("a folder for the configuration");
        fs::create_dir(console.root().join("tmp")).expect("a folder for temporary files");
        fs::write(console.root().join("console"), SCRIPT).expect("a console");
        console.configure(console.door.borrow().as_ref().map_or(0, Door::port));
        console.set("MATOMO_CONSOLE", &console.root().join("console").to_string_lossy());
        console.set("STATE_DIR", &console.state().to_string_lossy());
        console.set("SHUTDOWN_GRACE", "30s").set("WAIT_FOR_MATOMO", "30s").set("NO_COLOR", "1");
        // The files are root's, so there is no owner to become.
        console.set("RUN_AS_USER", "self");
        console
    }

    /// The folder of Matomo.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("matomo")
    }

    /// The folder of the sidecar's state.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The folder above both.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Write a configuration whose database listens on this port.
    ///
    /// # Panics
    /// When it cannot be written.
    #[expect(clippy::expect_used, reason = "a journey without a configuration can only fail")]
    pub fn configure(&self, port: u16) {
        let text =
            format!("; <?php exit; ?> DO NOT REMOVE THIS LINE\n[database]\nhost = \"127.0.0.1\"\nport = {port}\n");
        fs::write(self.root().join("config/config.ini.php"), text).expect("a configuration");
    }

    /// Take the configuration away.
    ///
    /// # Panics
    /// When it cannot be removed.
    #[expect(clippy::expect_used, reason = "a journey without a configuration can only fail")]
    pub fn unconfigure(&self) {
        fs::remove_file(self.root().join("config/config.ini.php")).expect("a configuration to remove");
    }

    /// Stop the database; answers with its port, which is free now.
    pub fn stop_database(&self) -> u16 {
        self.door.take().map_or(0, |door| door.port())
    }

    /// Start the database again on this port.
    pub fn start_database(&self, port: u16) {
        self.door.replace(Some(Door::open(port)));
    }

    /// What the console plays from now on; see `console.php`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn plays(&self, scenario: &str) -> &Self {
        self.write("scenario", scenario)
    }

    /// What the archiving queue holds, as JSON.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn queue(&self, json: &str) -> &Self {
        self.write("queue.json", json)
    }

    #[expect(clippy::expect_used, reason = "a journey that cannot set its stage can only fail")]
    fn write(&self, name: &str, text: &str) -> &Self {
        fs::write(self.root().join(name), text).expect("a file beside the console");
        self
    }

    /// Set a variable for the next start.
    pub fn set(&self, name: &str, value: &str) -> &Self {
        self.variables.borrow_mut().insert(name.to_owned(), value.to_owned());
        self
    }

    /// Take a variable away for the next start.
    pub fn unset(&self, name: &str) -> &Self {
        self.variables.borrow_mut().remove(name);
        self
    }

    /// Run the sidecar to its end.
    ///
    /// # Panics
    /// When it does not start or end.
    pub fn run(&self, words: &[&str]) -> Ended {
        self.start(words).wait()
    }

    /// Start the sidecar.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self, words: &[&str]) -> Sidecar {
        Sidecar::start(&self.program, words, &self.variables.borrow())
    }

    /// Start the sidecar, and everything that it starts, in a world whose clock shows this moment.
    ///
    /// # Panics
    /// When it does not start, or libfaketime is not here.
    pub fn start_at(&self, moment: Timestamp, words: &[&str]) -> Sidecar {
        let mut variables = self.variables.borrow().clone();
        let offset = moment.as_second() - Timestamp::now().as_second();
        // The program `faketime` would stand between us and the sidecar, and signals would not pass it.
        variables.insert("LD_PRELOAD".to_owned(), libfaketime());
        variables.insert("FAKETIME".to_owned(), format!("{offset:+}s"));
        Sidecar::start(&self.program, words, &variables)
    }

    /// What the console was called with, in order: `words`, `uid`, `archivers`, …
    pub fn calls(&self) -> Vec<Value> {
        let notes = fs::read_to_string(self.root().join("calls.jsonl")).unwrap_or_default();
        let notes = notes.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        notes.filter(|note| note["words"].is_array()).collect()
    }

    /// The calls of one command.
    pub fn calls_of(&self, command: &str) -> Vec<Value> {
        self.calls().into_iter().filter(|call| call["words"][0] == command).collect()
    }
}

/// Where the distribution puts it depends on the processor.
#[expect(clippy::expect_used, reason = "a journey through time without its machine can only fail")]
fn libfaketime() -> String {
    let folders = fs::read_dir("/usr/lib").expect("a folder of libraries").filter_map(Result::ok);
    let mut files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let found = files.find(|file| file.exists()).expect("libfaketime; install the package faketime");
    found.to_string_lossy().into_owned()
}
