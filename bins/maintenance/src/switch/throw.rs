//! Throws the switches in Matomo's configuration, and back, remembering on disk first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shared::entry::{Exit, Failure};
use shared::files::{self, FileError};

use super::{Effective, Halves, Purpose, State, TRACKING, UI, effective};
use crate::ini::{ConfigFile, Document, FileTrouble, Value};

/// A Matomo that saves its configuration at the same moment can undo ours; more than this is no coincidence.
const ATTEMPTS_MAX: usize = 3;

/// The switches cannot be thrown.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] FileTrouble),
    /// Our memory of the previous values cannot be written.
    #[error("the previous values cannot be remembered, so nothing was changed")]
    State(#[source] FileError),
    /// Our memory of the previous values cannot be read.
    #[error("cannot read what the switches were before, at {}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody keeps writing.
    #[error("another program undid the change of Matomo's configuration {ATTEMPTS_MAX} times")]
    Undone,
}

impl From<SwitchError> for Failure {
    fn from(error: SwitchError) -> Self {
        let (exit, help) = match &error {
            SwitchError::Config(trouble) => (Exit::CannotCreate, trouble.help()),
            SwitchError::State(file) => (Exit::CannotCreate, file.help()),
            SwitchError::Memory { .. } => {
                (Exit::Software, "look at the file; remove it and use `unlock --open` if it is lost")
            }
            SwitchError::Undone => (Exit::TryAgain, "stop what saves Matomo's configuration so often, then try again"),
        };
        Failure::new(exit, error).help(help)
    }
}

/// The switches, and the file in which the previous values are remembered.
#[derive(Debug, Clone)]
pub struct Switches<'c> {
    config: &'c ConfigFile,
    memory: PathBuf,
}

impl<'c> Switches<'c> {
    /// Switches thrown by a person stay in one memory, those of an upgrade and those thrown for the time of a job in others,
    /// so that these give back what the person wanted.
    pub fn new(config: &'c ConfigFile, state_folder: &Path, name: &str) -> Self {
        Self { config, memory: state_folder.join(format!("{name}.json")) }
    }

    /// What is remembered.
    pub fn state(&self) -> Result<Option<State>, SwitchError> {
        let failed = |source| SwitchError::Memory { path: self.memory.clone(), source };
        match fs::read(&self.memory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| failed(error.into())),
        }
    }

    /// Switches off. What is off already stays in the memory as it was first found.
    pub fn lock(&self, purpose: Purpose, halves: Halves, now: Timestamp) -> Result<State, SwitchError> {
        let document = self.config.read()?;
        let mut state = self.state()?.unwrap_or_else(|| State::new(purpose, now));
        state.remember(&document, halves);
        (state.purpose, state.complete) = (purpose, false);
        // On disk before the first byte of the configuration changes.
        self.keep_copy(document.bytes())?;
        self.write(&state)?;
        self.edit_until(|document| state.redo(document), |document| state.holds_in(document))?;
        state.complete = true;
        self.write(&state)?;
        Ok(state)
    }

    /// Gives back what is remembered; nothing when nothing is.
    pub fn unlock(&self) -> Result<Option<State>, SwitchError> {
        let Some(state) = self.state()? else { return Ok(None) };
        let mended = |document: &Document| {
            let mut again = document.clone();
            state.undo(&mut again);
            again == *document
        };
        match self.edit_until(|document| state.undo(document), mended) {
            Err(SwitchError::Config(trouble)) if trouble.is_torn() => self.put_copy_back(trouble)?,
            other => other?,
        }
        self.forget()?;
        Ok(Some(state))
    }

    /// Gives what is remembered to another memory, whose own older values stay: from now on it is that one's to give back.
    pub fn hand_over(&self, to: &Self) -> Result<(), SwitchError> {
        let Some(state) = self.state()? else { return Ok(()) };
        match to.state()? {
            Some(mut kept) => {
                kept.take_over(state);
                to.write(&kept)?;
            }
            None => {
                if let Ok(copy) = fs::read(self.copy()) {
                    to.keep_copy(&copy)?;
                }
                to.write(&state)?;
            }
        }
        self.forget()
    }

    /// Switches on, whatever was before, and forgets what is remembered.
    pub fn open(&self) -> Result<(), SwitchError> {
        let normal = |document: &mut Document| {
            let effective = effective(document);
            if !effective.tracking {
                document.set(TRACKING.0, TRACKING.1, &Value::switch(true));
            }
            if !effective.ui {
                document.set(UI.0, UI.1, &Value::switch(false));
            }
        };
        self.edit_until(normal, |document| effective(document) == Effective { tracking: true, ui: true })?;
        self.forget()
    }

    fn edit_until(&self, edit: impl Fn(&mut Document), holds: impl Fn(&Document) -> bool) -> Result<(), SwitchError> {
        for _ in 0..ATTEMPTS_MAX {
            self.config.edit(&edit)?;
            if holds(&self.config.read()?) {
                return Ok(());
            }
        }
        Err(SwitchError::Undone)
    }

    fn forget(&self) -> Result<(), SwitchError> {
        match fs::remove_file(&self.memory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SwitchError::Memory { path: self.memory.clone(), source: error })
            }
            _ => Ok(()),
        }
    }

    fn write(&self, state: &State) -> Result<(), SwitchError> {
        let text = serde_json::to_vec_pretty(state).unwrap_or_default();
        files::replace_with_mode(&self.memory, &text, 0o600).map_err(SwitchError::State)
    }

    /// Where the file can only be written in place, a crash may tear it: this copy mends it.
    fn keep_copy(&self, text: &[u8]) -> Result<(), SwitchError> {
        files::replace_with_mode(&self.copy(), text, 0o600).map_err(SwitchError::State)
    }

    fn put_copy_back(&self, trouble: FileTrouble) -> Result<(), SwitchError> {
        let Ok(text) = fs::read(self.copy()) else { return Err(trouble.into()) };
        tracing::warn!(
            why = crate::sentence(&trouble),
            "Matomo's configuration was torn; the copy from before is put back"
        );
        Ok(self.config.put(&text)?)
    }

    fn copy(&self) -> PathBuf {
        self.memory.with_extension("config.ini.php")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str = "; <?php exit; ?>\n[database]\nhost = \"db\"\n[General]\nsalt = \"x\"\n";

    struct Folder {
        _folder: tempfile::TempDir,
        config: ConfigFile,
        state: PathBuf,
    }

    fn folder(text: &str) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.ini.php");
        fs::write(&path, text).unwrap();
        Folder { config: ConfigFile::at(&path), state: folder.path().to_owned(), _folder: folder }
    }

    fn text(folder: &Folder) -> String {
        fs::read_to_string(folder.config.path()).unwrap()
    }

    #[test]
    fn what_was_before_comes_back_byte_for_byte() {
        for before in [
            PLAIN.to_owned(),
            format!("{PLAIN}maintenance_mode = \"0\"\n"),
            format!("{PLAIN}maintenance_mode = 1 ; since May\n[Tracker]\nrecord_statistics = 0\n"),
            format!("{PLAIN}[Tracker]\n"),
            PLAIN.trim_end().to_owned(),
            format!("{PLAIN}[Tracker]"),
            format!("{PLAIN}[Tracker]\nrecord_statistics"),
            format!("{PLAIN}maintenance_mode  ; later\n"),
            PLAIN.trim_end().replace('\n', "\r\n"),
        ] {
            let folder = folder(&before);
            let switches = Switches::new(&folder.config, &folder.state, "lock");
            switches.lock(Purpose::Hand, Halves::BOTH, Timestamp::now()).unwrap();
            assert_eq!(effective(&folder.config.read().unwrap()), Effective { tracking: false, ui: false });
            // Twice is once.
            switches.lock(Purpose::Hand, Halves::BOTH, Timestamp::now()).unwrap();
            assert!(switches.unlock().unwrap().is_some());
            assert_eq!(text(&folder), before);
            assert!(switches.unlock().unwrap().is_none());
        }
    }

    /// Lines of configurations, good and odd, so that keys and sections come in any order, and the end with or without a line end.
    fn configuration() -> impl Strategy<Value = String> {
        const LINES: [&str; 16] = [
            "[General]",
            "[Tracker]",
            "[Plugins] ; c",
            "maintenance_mode",
            "maintenance_mode = 1",
            "maintenance_mode=\"0\" ; c",
            "record_statistics",
            "record_statistics =",
            "  record_statistics = 0  ",
            "a = 1",
            "",
            "; comment",
            "b = \"x",
            "y\"",
            "list[] = 1",
            "maintenance_mode_note = 2",
        ];
        let lines = prop::collection::vec(prop::sample::select(LINES.to_vec()), 0..14);
        (lines, any::<bool>(), any::<bool>()).prop_map(|(lines, ended, windows)| {
            let mut text = format!("; <?php exit; ?>\n[database]\nhost = \"db\"\n{}", lines.join("\n"));
            if ended {
                text.push('\n');
            }
            if windows { text.replace('\n', "\r\n") } else { text }
        })
    }

    proptest! {
        #[test]
        fn whatever_the_configuration_unlock_gives_it_back_to_the_byte(text in configuration(), first in 0..3) {
            let Ok(before) = Document::parse(text.into_bytes()) else { return Ok(()) };
            let mut state = State::new(Purpose::Hand, Timestamp::now());
            let mut document = before.clone();
            // Both at once, or one half after the other.
            let halves = [Halves { tracking: true, ui: false }, Halves { tracking: false, ui: true }, Halves::BOTH];
            for halves in [halves[first as usize], Halves::BOTH] {
                state.remember(&document, halves);
                state.redo(&mut document);
            }
            prop_assert_eq!(effective(&document), Effective { tracking: false, ui: false });
            state.undo(&mut document);
            prop_assert_eq!(String::from_utf8_lossy(document.bytes()), String::from_utf8_lossy(before.bytes()));
        }
    }

    #[test]
    fn the_halves_may_be_thrown_one_after_the_other() {
        let folder = folder(PLAIN);
        let switches = Switches::new(&folder.config, &folder.state, "lock");
        switches.lock(Purpose::Hand, Halves { tracking: true, ui: false }, Timestamp::now()).unwrap();
        assert_eq!(effective(&folder.config.read().unwrap()), Effective { tracking: false, ui: true });
        switches.lock(Purpose::Hand, Halves { tracking: false, ui: true }, Timestamp::now()).unwrap();
        switches.unlock().unwrap();
        assert_eq!(text(&folder), PLAIN);
    }

    #[test]
    fn a_job_gives_back_what_a_person_wanted() {
        let folder = folder(PLAIN);
        let by_hand = Switches::new(&folder.config, &folder.state, "lock");
        by_hand.lock(Purpose::Hand, Halves { tracking: true, ui: false }, Timestamp::now()).unwrap();
        let wanted = text(&folder);
        let job = Switches::new(&folder.config, &folder.state, "lock-during");
        job.lock(Purpose::Backup, Halves::BOTH, Timestamp::now()).unwrap();
        job.unlock().unwrap();
        assert_eq!(text(&folder), wanted);
        by_hand.unlock().unwrap();
        assert_eq!(text(&folder), PLAIN);
    }

    #[test]
    fn a_person_may_take_over_the_lock_of_an_upgrade() {
        for halves in [None, Some(Halves { tracking: true, ui: false })] {
            let folder = folder(PLAIN);
            let by_hand = Switches::new(&folder.config, &folder.state, "lock");
            if let Some(halves) = halves {
                by_hand.lock(Purpose::Hand, halves, Timestamp::now()).unwrap();
            }
            let upgrade = Switches::new(&folder.config, &folder.state, "lock-upgrade");
            upgrade.lock(Purpose::Upgrade, Halves::BOTH, Timestamp::now()).unwrap();
            upgrade.hand_over(&by_hand).unwrap();
            assert!(upgrade.unlock().unwrap().is_none());
            assert_eq!(effective(&folder.config.read().unwrap()), Effective { tracking: false, ui: false });
            by_hand.unlock().unwrap();
            assert_eq!(text(&folder), PLAIN);
        }
    }

    #[test]
    fn c7_05_a_torn_configuration_is_mended_from_the_copy() {
        let folder = folder(PLAIN);
        let switches = Switches::new(&folder.config, &folder.state, "lock");
        switches.lock(Purpose::Backup, Halves::BOTH, Timestamp::now()).unwrap();
        fs::write(folder.config.path(), "; <?php exit; ?>\n[data").unwrap();
        switches.unlock().unwrap();
        assert_eq!(text(&folder), PLAIN);
    }

    #[test]
    fn open_means_on_whatever_was_before() {
        let folder = folder(&format!("{PLAIN}maintenance_mode = 1\n[Tracker]\nrecord_statistics = 0\n"));
        Switches::new(&folder.config, &folder.state, "lock").open().unwrap();
        assert_eq!(text(&folder), format!("{PLAIN}maintenance_mode = 0\n[Tracker]\nrecord_statistics = 1\n"));
    }
}
