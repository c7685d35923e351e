//! A journey's world: a folder of its own, a stand-in for Matomo, and the built binary between the two.
//!
//! ```ignore
//! let stack = Stack::new(env!("CARGO_BIN_EXE_log-analytics"), Setup::default());
//! let lines = stack.writes(4, 1_000);
//! stack.once().succeeds();
//! stack.holds_exactly(4, &lines);
//! ```

mod diary;
mod outcome;
mod running;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub use outcome::{ALL_IN, CANNOT_WRITE_STATE, FAILED, Outcome, SETTINGS, TRY_AGAIN, UNREACHABLE};
pub use running::Running;

use diary::Diary;

use crate::arrival::Arrival;
use crate::log::{self, Format, Line, Traffic};
use crate::matomo::{Matomo, Setup};

/// The options that EEA imports with: every valid line becomes a hit.
pub const EVERYTHING: &str = "--enable-http-errors --enable-http-redirects --enable-static --enable-bots";

/// What every journey sets, unless it sets something else: no waiting, small batches, all lines are hits.
const VARIABLES: [(&str, &str); 12] = [
    ("IMPORT_ATTEMPTS", "50"),
    ("LOG_LEVEL", "debug"),
    ("MATOMO_BATCH_SIZE", "25"),
    ("MATOMO_IMPORT_LOGS_CRON", "* * * * * *"),
    ("MATOMO_IMPORT_OPTIONS", EVERYTHING),
    ("MATOMO_IN_DOUBT_WAIT", "500ms"),
    ("MATOMO_RECORDERS", "2"),
    ("MATOMO_REQUEST_TIMEOUT", "1s"),
    ("MATOMO_RETRY_DELAY", "10ms"),
    ("NO_COLOR", "1"),
    ("SETTLE_TIME", "0s"),
    ("TZ", "UTC"),
];

/// A folder, a stand-in and a binary. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Stack {
    program: PathBuf,
    folder: TempDir,
    matomo: Matomo,
    variables: RefCell<BTreeMap<String, String>>,
    traffic: RefCell<Traffic>,
    starts: Cell<usize>,
    diary: Diary,
}

impl Stack {
    /// A stack for the binary at `program`, which a test file knows as `env!("CARGO_BIN_EXE_log-analytics")`.
    ///
    /// # Panics
    /// When no folder or no stand-in can be made.
    #[expect(clippy::expect_used, reason = "a journey without a folder can only fail")]
    pub fn new(program: &str, setup: Setup) -> Self {
        let ledger_site = setup.ledger_site;
        let stack = Self {
            program: PathBuf::from(program),
            folder: tempfile::Builder::new().prefix("journey-").tempdir().expect("a folder for the journey"),
            matomo: Matomo::start(setup),
            variables: RefCell::default(),
            traffic: RefCell::new(Traffic::seeded(26)),
            starts: Cell::new(0),
            diary: Diary::default(),
        };
        for (name, value) in VARIABLES {
            stack.set(name, value);
        }
        stack.set("ANALYTICS_DIR", &stack.folder().to_string_lossy());
        stack.set("MATOMO_URL", &stack.matomo.url());
        stack.set("MATOMO_TOKEN", stack.matomo.token());
        if let Some(site) = ledger_site {
            stack.set("MATOMO_LEDGER_SITE", &site.to_string());
        }
        stack
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

    /// The stand-in.
    pub fn matomo(&self) -> &Matomo {
        &self.matomo
    }

    /// The folder that the binary knows as `ANALYTICS_DIR`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of a site's logs.
    pub fn logs_of(&self, site: u64) -> PathBuf {
        self.folder().join("logs").join(site.to_string())
    }

    /// The next lines, unique among all lines of this stack and later than all before, on no disk yet.
    pub fn lines(&self, count: usize) -> Vec<Line> {
        self.traffic.borrow_mut().lines(count)
    }

    /// Let at most this many seconds pass from one line to the next, so that they fill more or fewer hours.
    pub fn gaps_of(&self, seconds: u64) -> &Self {
        self.traffic.replace_with(|traffic| traffic.clone().with_gaps_of(seconds));
        self
    }

    /// Write the next lines as hourly files of a site.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn writes(&self, site: u64, count: usize) -> Vec<Line> {
        let lines = self.lines(count);
        let folder = self.logs_of(site).join(format!("from-{}", lines.first().map_or(0, |line| line.number)));
        #[expect(clippy::expect_used, reason = "a journey without logs can only fail")]
        log::hourly(&folder, &lines, Format::Combined).expect("the logs of the journey");
        lines
    }

    /// Write the next lines to one file of a site.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn writes_file(&self, site: u64, name: &str, count: usize) -> Vec<Line> {
        let lines = self.lines(count);
        #[expect(clippy::expect_used, reason = "a journey without logs can only fail")]
        log::write(&self.logs_of(site).join(name), &lines, Format::Combined).expect("the log of the journey");
        lines
    }

    /// Start the binary with these words.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, words: &[&str]) -> Running {
        self.start_with_input(words, Vec::new())
    }

    /// Start the binary with these words and this standard input, in a clean environment.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with_input(&self, words: &[&str], input: Vec<u8>) -> Running {
        self.start_other(&self.program, words, input)
    }

    /// Start another sidecar's binary in the same folder and environment.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_other(&self, program: &Path, words: &[&str], input: Vec<u8>) -> Running {
        self.starts.set(self.starts.get() + 1);
        let mut command = Command::new(program);
        command.args(words).current_dir(self.folder());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(&*self.variables.borrow());
        Running::start(command, words.join(" "), input, self.diary.clone())
    }

    /// Run the binary with these words to its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn run(&self, words: &[&str]) -> Outcome {
        self.start(words).wait()
    }

    /// One pass over all logs.
    ///
    /// # Panics
    /// When it does not end.
    pub fn once(&self) -> Outcome {
        self.run(&["once"])
    }

    /// The daemon, importing by its schedule (every second, unless a journey sets another).
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run_in_background(&self) -> Running {
        self.start(&["run"])
    }

    /// Passes until one says that all is in.
    ///
    /// # Panics
    /// When a pass ends with anything but 0, 69, 75 or 78, or when none of `passes_max` is the last.
    pub fn until_all_is_in(&self, passes_max: usize) -> Outcome {
        for pass in 1..=passes_max {
            let outcome = self.once();
            match outcome.code() {
                Some(ALL_IN) => return outcome,
                // A web page or a redirect at the wrong moment looks like an address that is not Matomo's.
                Some(TRY_AGAIN | UNREACHABLE | SETTINGS) => {}
                _ => panic!("pass {pass} of {passes_max} gave up\n{outcome}"),
            }
        }
        panic!("{passes_max} passes were not enough; {:?}\n{}", self.matomo.seen(), self.diary);
    }

    /// How the hits at Matomo compare with lines, once nothing is under way any more.
    ///
    /// # Panics
    /// When the site is unknown or the stand-in never rests.
    #[expect(clippy::expect_used, reason = "an unknown site is a mistake in the journey")]
    pub fn arrival(&self, site: u64, lines: &[Line]) -> Arrival {
        self.matomo.rests();
        let sites = self.matomo.sites();
        Arrival::of(lines, sites.main_url(site).expect("a known site"), &self.matomo.hits_of(site))
    }

    /// Matomo holds a hit of each of these lines, once, and nothing else of this site.
    ///
    /// # Panics
    /// When it does not.
    pub fn holds_in_any_order(&self, site: u64, lines: &[Line]) {
        let arrival = self.arrival(site, lines);
        let is_exact = arrival.missing.is_empty() && arrival.surplus.is_empty();
        assert!(is_exact, "site {site} after {} starts:\n{arrival}\n{}", self.starts.get(), self.diary);
    }

    /// Matomo holds a hit of each of these lines, once, each visitor's in time order, and nothing else of this site.
    ///
    /// # Panics
    /// When it does not.
    pub fn holds_exactly(&self, site: u64, lines: &[Line]) {
        let arrival = self.arrival(site, lines);
        let doubled = self.matomo.marks_doubled();
        assert!(
            arrival.is_exact() && doubled == 0,
            "site {site} after {} starts, {doubled} marks doubled:\n{arrival}\n{}",
            self.starts.get(),
            self.diary
        );
    }
}
