//! What a loop of its own does next: for programs whose schedule is more than one job on one ground.

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    entry::Failure,
    health::{self, Health},
    schedule::{Waited, wait_until},
    shutdown::{Asks, Shutdown},
};

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// End: somebody wants us to stop.
    Stop,
    /// Run what is due.
    Slot,
    /// Run now (USR1).
    Run,
    /// Say how things stand (USR2).
    Status,
    /// Read the settings again (HUP).
    Reload,
}

/// What was asked for by signals and is not done yet. One that comes while a job runs is answered after it.
#[derive(Debug)]
pub struct Signals<'a> {
    shutdown: &'a Shutdown,
    asks: watch::Receiver<Asks>,
    answered: Asks,
}

impl<'a> Signals<'a> {
    /// Nothing is answered yet.
    pub fn new(shutdown: &'a Shutdown) -> Self {
        Self { shutdown, asks: shutdown.asks(), answered: Asks::default() }
    }

    /// Waits for a signal, or for the slot; without a slot for signals alone.
    pub async fn next(&mut self, slot: Option<Timestamp>) -> Next {
        loop {
            let asked = *self.asks.borrow_and_update();
            let answered = &mut self.answered;
            for (asked, answered, next) in [
                (asked.status, &mut answered.status, Next::Status),
                (asked.reload, &mut answered.reload, Next::Reload),
                (asked.run, &mut answered.run, Next::Run),
            ] {
                if std::mem::replace(answered, asked) != asked {
                    return next;
                }
            }
            tokio::select! {
                waited = wait_until(slot, self.shutdown) => return if waited == Waited::Due { Next::Slot } else { Next::Stop },
                // The sender lives as long as the wish to stop.
                _ = self.asks.changed() => {}
            }
        }
    }
}

/// Says how things stand.
pub fn say_status(health: &Health, next: Option<Timestamp>) {
    let state = health.state();
    let shown = |moment: Option<Timestamp>| moment.map_or_else(|| "-".to_owned(), |moment| format!("{moment:.0}"));
    let (next, success) = (shown(next), shown(state.last_success));
    let last = state.last_outcome.as_deref().unwrap_or("no run has ended yet");
    let verdict = health::judge(state, Timestamp::now()).sentence();
    let (runs, failures) = (state.runs, state.failures);
    info!(next, runs, failures, last_success = success, last, health = verdict, "Status");
}

/// Says what came of reading the settings again.
///
/// # Errors
/// When they cannot be used: the notice for the health.
pub fn read_again<T>(fresh: Result<T, Failure>) -> Result<T, String> {
    match fresh {
        Ok(fresh) => {
            info!("Settings were read again");
            Ok(fresh)
        }
        Err(failure) => {
            warn!(why = failure.to_string(), "Settings cannot be used; the old ones stay in force");
            Err("the settings could not be read again, and the old ones are in force".to_owned())
        }
    }
}
