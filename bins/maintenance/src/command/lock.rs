//! `lock` and `unlock`: the switches, thrown and proved.

use jiff::Timestamp;
use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::{LockOptions, UnlockOptions, block_on, start, tell};
use crate::history;
use crate::probe::Seen;
use crate::session::{Session, Witness};
use crate::switch::{Effective, Halves, Purpose, effective};

/// What was done, and what Matomo answers now.
#[derive(Debug, Serialize)]
struct Thrown {
    changed: bool,
    dry_run: bool,
    tracking: bool,
    ui: bool,
    containers: Vec<Seen>,
}

impl Thrown {
    fn words(&self) -> String {
        let word = |on: bool| if on { "on" } else { "off" };
        let would = if self.dry_run { "would be" } else { "is" };
        let mut text = format!("tracking {would} {}, user interface {would} {}\n", word(self.tracking), word(self.ui));
        self.containers.iter().for_each(|seen| text += &format!("{seen}\n"));
        text
    }
}

fn now(session: &Session) -> Result<Effective, Failure> {
    Ok(effective(&session.present_config()?))
}

/// Switches off.
pub fn lock(options: &LockOptions) -> Result<Exit, Failure> {
    let halves = Halves { tracking: !options.ui_only, ui: !options.tracking_only };
    let (settings, shutdown) = start(options.report)?;
    if options.dry_run {
        let before = now(&Session::reading(settings, shutdown))?;
        let after = Effective { tracking: before.tracking && !halves.tracking, ui: before.ui && !halves.ui };
        let thrown = Thrown {
            changed: before != after,
            dry_run: true,
            tracking: after.tracking,
            ui: after.ui,
            containers: Vec::new(),
        };
        tell(options.report, &thrown, || thrown.words());
        return Ok(Exit::Done);
    }
    block_on(async {
        let session = Session::begin(settings, shutdown).await?;
        let before = now(&session)?;
        // A lock that an upgrade left is the person's from now on, and lasts until `unlock`.
        session.switches_of_an_upgrade().hand_over(&session.switches())?;
        session.switches().lock(Purpose::Hand, halves, Timestamp::now())?;
        let proved = session.prove(halves, Witness::All).await.map(|proof| proof.seen);
        note(&session, "lock", &proved);
        let containers = proved.map_err(|failure| {
            failure.help(
                "it is locked in the configuration: does every container read that (MATOMO_CONFIG), and is MATOMO_URL theirs? \
                 `maintenance status` asks again, `maintenance unlock` gives the previous values back",
            )
        })?;
        let after = now(&session)?;
        let thrown =
            Thrown { changed: before != after, dry_run: false, tracking: after.tracking, ui: after.ui, containers };
        tell(options.report, &thrown, || thrown.words());
        Ok(Exit::Done)
    })?
}

/// Gives the previous values back.
pub fn unlock(options: &UnlockOptions) -> Result<Exit, Failure> {
    let (settings, shutdown) = start(options.report)?;
    if options.dry_run {
        let session = Session::reading(settings, shutdown);
        let before = now(&session)?;
        let mut document = session.place.config().read().map_err(crate::switch::SwitchError::from)?;
        for switches in session.locks() {
            if let Some(state) = switches.state()? {
                state.undo(&mut document);
            }
        }
        let after = if options.open { Effective { tracking: true, ui: true } } else { effective(&document) };
        let thrown = Thrown {
            changed: before != after,
            dry_run: true,
            tracking: after.tracking,
            ui: after.ui,
            containers: Vec::new(),
        };
        tell(options.report, &thrown, || thrown.words());
        return Ok(Exit::Done);
    }
    block_on(async {
        let session = Session::begin(settings, shutdown).await?;
        let before = now(&session)?;
        for switches in session.locks() {
            if options.open {
                switches.open()?;
            } else {
                switches.unlock()?;
            }
        }
        let after = now(&session)?;
        let proved = session.prove(Halves::BOTH, Witness::All).await.map(|proof| proof.seen);
        note(&session, "unlock", &proved);
        let containers = proved.map_err(|failure| {
            failure.help("the previous values are back in the configuration; `maintenance status` asks again")
        })?;
        let thrown =
            Thrown { changed: before != after, dry_run: false, tracking: after.tracking, ui: after.ui, containers };
        tell(options.report, &thrown, || thrown.words() + advice(&session, after));
        Ok(Exit::Done)
    })?
}

fn advice(session: &Session, after: Effective) -> &'static str {
    let forgotten = matches!(session.switches().state(), Ok(None));
    if forgotten && !(after.tracking && after.ui) {
        "something was off before the lock, or was switched off by hand: `maintenance unlock --open` switches both on\n"
    } else {
        ""
    }
}

fn note(session: &Session, command: &str, proved: &Result<Vec<Seen>, Failure>) {
    let words = match proved {
        Ok(seen) => seen.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        Err(failure) => crate::sentence(failure.error.as_ref()),
    };
    history::note(session, command, proved.is_ok(), &words, None);
}
