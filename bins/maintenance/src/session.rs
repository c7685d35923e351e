//! One run that may change something: alone on its backup folder, with what an interrupted run left repaired first.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use jiff::Timestamp;
use shared::entry::{Exit, Failure};
use shared::files::{FileError, Lock};
use shared::process::Limits;
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use crate::config::{STATE_FOLDER, Settings};
use crate::database::{Account, Connection, Database};
use crate::ini::Document;
use crate::place::Place;
use crate::probe::{Probe, Seen, Wanted};
use crate::set::{Rule, Shelf};
use crate::switch::{Effective, Halves, Purpose, Switches, effective};
use crate::{history, restore};

/// Whose answer proves that the switches work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// That of every container.
    All,
    /// That of the containers which are there: one that does not run writes nothing, and follows the file when it starts.
    Present,
    /// Nobody's: what they answer is said, and believed to be well.
    Nobody,
}

/// What the containers answered.
#[derive(Debug)]
pub struct Proof {
    /// Container by container.
    pub seen: Vec<Seen>,
    /// Why it proves nothing, where nobody minds.
    pub unproved: Option<String>,
}

/// What every command looks at.
pub struct Session {
    /// The settings.
    pub settings: Settings,
    /// The wish to stop.
    pub shutdown: Shutdown,
    /// Where Matomo is.
    pub place: Place,
    /// Where the sets are.
    pub shelf: Shelf,
    held: Option<Lock>,
}

impl Session {
    /// For commands that change nothing.
    pub fn reading(settings: Settings, shutdown: Shutdown) -> Self {
        let (place, shelf) = (Place::of(&settings), Shelf::at(&settings.backup_dir));
        Self { settings, shutdown, place, shelf, held: None }
    }

    /// For commands that change something: waits for nobody, and repairs what an interrupted run left.
    ///
    /// # Errors
    /// When another run is under way, the folder cannot be written, or a repair is not possible.
    pub async fn begin(settings: Settings, shutdown: Shutdown) -> Result<Self, Failure> {
        let mut session = Self::reading(settings, shutdown);
        let state = session.state_folder();
        let unwritable = |error: std::io::Error| {
            Failure::new(
                Exit::CannotCreate,
                format!("cannot use the folder for backups at {}: {error}", state.display()),
            )
            .help("mount a volume there that our user may write, or set MAINTENANCE_DIR")
        };
        fs::create_dir_all(&state).map_err(unwritable)?;
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).map_err(unwritable)?;
        let held = Lock::try_take(&state.join("held")).map_err(|error: FileError| Failure::from(error))?;
        let Some(held) = held else {
            return Err(Failure::new(Exit::TryAgain, "another maintenance run is under way on this backup folder")
                .help("wait for its end; nothing was done"));
        };
        session.held = Some(held);
        session.repair().await?;
        Ok(session)
    }

    /// Where our state is.
    pub fn state_folder(&self) -> PathBuf {
        self.settings.backup_dir.join(STATE_FOLDER)
    }

    /// Whether another run holds the folder right now.
    pub fn is_busy(&self) -> bool {
        let path = self.state_folder().join("held");
        self.held.is_none() && path.exists() && matches!(Lock::try_take(&path), Ok(None))
    }

    async fn repair(&self) -> Result<(), Failure> {
        for name in self.shelf.sweep() {
            warn!(name, "An interrupted run left an unfinished set; it was removed");
        }
        restore::recover(self).await?;
        if let Some(state) = self.switches_of_a_job().unlock()? {
            warn!(purpose = state.purpose.word(), since = %state.since, "An interrupted run left the switches off; they have their previous values again");
            history::note(
                self,
                "repair",
                true,
                "the switches got their previous values back after an interrupted run",
                None,
            );
        }
        for switches in [self.switches_of_an_upgrade(), self.switches()] {
            if switches.state()?.is_some_and(|state| !state.complete) {
                switches.unlock()?;
                warn!("A lock was interrupted half way; the switches have their previous values again");
                history::note(self, "repair", true, "an interrupted lock was taken back", None);
            }
        }
        Ok(())
    }

    /// The switches, as thrown by a person.
    pub fn switches(&self) -> Switches<'_> {
        Switches::new(self.place.config(), &self.state_folder(), "lock")
    }

    /// The switches, as thrown by `upgrade-guard`.
    pub fn switches_of_an_upgrade(&self) -> Switches<'_> {
        Switches::new(self.place.config(), &self.state_folder(), "lock-upgrade")
    }

    /// All that may have thrown the switches, the latest first: in this order they are given back.
    pub fn locks(&self) -> [Switches<'_>; 3] {
        [self.switches_of_a_job(), self.switches_of_an_upgrade(), self.switches()]
    }

    /// The switches, as thrown for the time of a job.
    pub fn switches_of_a_job(&self) -> Switches<'_> {
        Switches::new(self.place.config(), &self.state_folder(), "lock-during")
    }

    /// Matomo's configuration; nothing where there is none, as on an empty volume.
    ///
    /// # Errors
    /// When there is one that cannot be used.
    pub fn config(&self) -> Result<Option<Document>, Failure> {
        if !self.place.config().path().exists() {
            return Ok(None);
        }
        let document = self.place.config().read();
        document.map(Some).map_err(|trouble| {
            let help = trouble.help();
            Failure::new(Exit::Config, trouble).help(help)
        })
    }

    /// Matomo's configuration, which has to be there.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub fn present_config(&self) -> Result<Document, Failure> {
        self.config()?.ok_or_else(|| {
            let path = self.place.config().path().display();
            Failure::new(Exit::Config, format!("there is no configuration of Matomo at {path}"))
                .help("mount Matomo's volume, or set MATOMO_DIR or MATOMO_CONFIG")
        })
    }

    /// The database, as one user, by a way that is as protected as it has to be.
    ///
    /// # Errors
    /// When nothing says how to reach it, or the way is not.
    pub async fn database(&self, account: Account) -> Result<Database<'_>, Failure> {
        let database = self.unproved_database(account)?;
        if database.connection.tls.is_required() {
            database.encryption().await?;
        }
        Ok(database)
    }

    fn unproved_database(&self, account: Account) -> Result<Database<'_>, Failure> {
        let config = self.config()?;
        let path = self.place.config().path();
        let connection = Connection::of(&self.settings, path, config.as_ref(), &self.place.defaults())?;
        let root = self.settings.root_password.as_ref().map(|password| (self.settings.root_user.as_str(), password));
        let root = root.filter(|_| account == Account::Root);
        Ok(Database::new(connection, root, self.limits(), &self.shutdown)?)
    }

    /// Which sets are kept.
    pub fn rule(&self) -> Rule {
        Rule { keep: self.settings.keep.as_usize(), age: self.settings.keep_age.get() }
    }

    /// The containers.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn probe(&self) -> Result<Probe, Failure> {
        Ok(Probe::of(&self.settings)?)
    }

    /// Proves by HTTP that the containers do what the file says.
    ///
    /// # Errors
    /// When a witness says that one of them does not.
    pub async fn prove(&self, halves: Halves, witness: Witness) -> Result<Proof, Failure> {
        let Some(document) = self.config()? else { return Ok(Proof { seen: Vec::new(), unproved: None }) };
        let Effective { tracking, ui } = effective(&document);
        let wanted = Wanted { tracking: halves.tracking.then_some(tracking), ui: halves.ui.then_some(ui) };
        let (seen, met) = self.probe()?.wait_for(wanted, self.settings.settle_time.get()).await;
        for seen in &seen {
            info!(answer = %seen, "Matomo answers");
        }
        if met {
            return Ok(Proof { seen, unproved: None });
        }
        let answers = seen.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let well = |seen: &Seen| wanted.met_by(seen) || seen.absent;
        if witness == Witness::Nobody || (witness == Witness::Present && seen.iter().all(well)) {
            return Ok(Proof { seen, unproved: Some(answers) });
        }
        let word = |on: bool| if on { "on" } else { "off" };
        let silent = seen.iter().all(|seen| seen.tracking_status.is_none() && seen.ui_status.is_none());
        let how = if silent { "does not answer" } else { "answers otherwise" };
        let sentence = format!(
            "the configuration says tracking {} and user interface {}, but Matomo {how}: {answers}",
            word(tracking),
            word(ui)
        );
        Err(Failure::new(if silent { Exit::Unavailable } else { Exit::Failed }, sentence)
            .help("does every container read this configuration (MATOMO_CONFIG), and is MATOMO_URL theirs? `maintenance status` asks again"))
    }

    /// Throws both switches for the time of `work`, proves it, and throws them back, however `work` ends. That Matomo
    /// follows them back is for the caller to prove, who knows what is done by then.
    ///
    /// # Errors
    /// Those of `work`; else those of the switches.
    pub async fn while_locked<T>(
        &self,
        purpose: Purpose,
        witness: Witness,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let switches = self.switches_of_a_job();
        let locked = switches.lock(purpose, Halves::BOTH, Timestamp::now());
        let result = match locked {
            Ok(_) => match self.prove(Halves::BOTH, witness).await {
                Ok(proof) => {
                    if let Some(answers) = proof.unproved {
                        warn!(answers, "Not every container answers that it is locked; the configuration is, and the work goes on");
                    }
                    work.await
                }
                Err(failure) if purpose == Purpose::Restore => Err(failure.help(
                    "nothing was changed. Stop Matomo's containers, or name them in MATOMO_CONTAINERS where a balancer answers \
                     for them; --force restores whatever they answer",
                )),
                Err(failure) => Err(failure),
            },
            Err(error) => Err(error.into()),
        };
        let unlocked = switches.unlock().map_err(Failure::from);
        let result = result?;
        unlocked?;
        Ok(result)
    }

    /// How long a program may take, and how it is stopped.
    pub fn limits(&self) -> Limits {
        Limits { hard: Some(self.settings.timeout.get()), ..self.settings.job.stop.limits() }
    }
}
