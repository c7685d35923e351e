//! Ends the process when a read does not return: the thread that imports cannot notice a shutdown request while a
//! network volume whose server is away blocks it.

use std::process;
use std::thread;
use std::time::{Duration, Instant};

use shared::entry::Exit;
use shared::shutdown::Shutdown;
use tracing::{error, warn};

use crate::file::blocked_read;

/// A read that takes longer is named.
const SLOW_READ: Duration = Duration::from_secs(30);
/// Beyond the grace, for what does end by itself.
const MARGIN: Duration = Duration::from_secs(2);
/// How long after a second signal.
const INSISTED: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Watches over the reads of this process from now on, on a thread of its own.
pub fn guard(shutdown: &Shutdown, grace: Duration) {
    let shutdown = shutdown.clone();
    let watch = move || {
        let (mut named, mut requested, mut insisted) = (None, None, None);
        loop {
            thread::sleep(LOOK_EVERY);
            let blocked = blocked_read().filter(|(_, since)| *since >= LOOK_EVERY);
            if let Some((file, since)) = blocked.as_ref().filter(|(_, since)| *since >= SLOW_READ)
                && named.as_ref() != Some(file)
            {
                let seconds = since.as_secs();
                warn!(file = %file.display(), seconds, help = "look at the volume: is the server of a network volume away?",
                    "IMPORT_LOG_ERROR_CHECK A read does not return");
                named = Some(file.clone());
            }
            let now = Instant::now();
            requested = requested.or_else(|| shutdown.requested().then_some(now));
            insisted = insisted.or_else(|| shutdown.insisted().then_some(now));
            let is_over = |since: Option<Instant>, limit| since.is_some_and(|since: Instant| since.elapsed() >= limit);
            if let Some((file, _)) = blocked
                && (is_over(requested, grace + MARGIN) || is_over(insisted, INSISTED))
            {
                error!(file = %file.display(), "IMPORT_LOG_ERROR Stopped while a read did not return; the next pass goes on where this one stopped");
                process::exit(i32::from(Exit::TryAgain.code()));
            }
        }
    };
    // Without the thread everything works but this.
    let _ = thread::Builder::new().name("watchdog".to_owned()).spawn(watch);
}
