//! Waits for a Matomo that is configured and whose database answers: containers of a stack start in any order.

use std::time::Duration;

use shared::shutdown::Shutdown;
use shared::words::length_in_words;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::outcome::{Class, Outcome};
use crate::place::{NotReady, Place};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Waits until Matomo is ready, at most as long as `patience`.
///
/// # Errors
/// The outcome of a run that could not begin.
pub async fn until_ready(place: &Place, patience: Duration, shutdown: &Shutdown) -> Result<(), Outcome> {
    let begin = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        // A Matomo that takes the connection and says nothing must not hold up a stop.
        let answer = tokio::select! {
            answer = place.is_ready() => answer,
            () = shutdown.wait() => return Err(Outcome::new(Class::Stopped, "was asked to stop while Matomo was asked whether it is ready")),
        };
        let Err(trouble) = answer else {
            if pause > FIRST_PAUSE {
                info!(seconds = begin.elapsed().as_secs(), "Matomo is ready");
            }
            return Ok(());
        };
        if let NotReady::Web(silent) = &trouble
            && let Some(outcome) = silent.settled()
        {
            return Err(outcome);
        }
        let why = crate::sentence(&trouble);
        let left = patience.saturating_sub(begin.elapsed());
        if left.is_zero() {
            let sentence = format!("Matomo was not ready within {}: {why}", length_in_words(patience));
            return Err(Outcome::new(Class::Failed, sentence).exit(shared::entry::Exit::Unavailable).help(help(place)));
        }
        if pause == FIRST_PAUSE {
            warn!(why, deadline_seconds = left.as_secs(), "Matomo is not ready; waiting for it");
        }
        tokio::select! {
            () = shutdown.wait() => return Err(Outcome::new(Class::Stopped, format!("was asked to stop while Matomo was not ready: {why}"))),
            () = sleep(pause.min(left)) => pause = (pause * 2).min(PAUSE_MAX),
        }
    }
}

fn help(place: &Place) -> &'static str {
    match place {
        Place::Console(_) => {
            "see that Matomo is installed (config/config.ini.php) and its database runs; WAIT_FOR_MATOMO is the patience"
        }
        Place::Http(_) => {
            "see that Matomo runs at MATOMO_URL and that MATOMO_TOKEN is a superuser's; WAIT_FOR_MATOMO is the patience"
        }
    }
}
