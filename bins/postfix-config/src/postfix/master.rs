//! Postfix's master as our child: started directly, listened to, stopped politely.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use shared::entry::{Exit, Failure};
use shared::process::{Ended, Limits, Line, Status, Why};
use shared::shutdown::Shutdown;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::drain::{Held, drain};
use super::{Postfix, not_installed};
use crate::anonymize::Anonymize;
use crate::circle;
use crate::config::Settings;
use crate::mail_log::{Meaning, Said};
use crate::outcome::Follower;

/// The part of the grace that is left for Postfix itself when deliveries have taken the rest; it takes less than 0.1 s.
const RESERVE_SHARE: u32 = 4;
const RESERVE_MAX: Duration = Duration::from_secs(2);

/// How soon a stop request becomes a signal: it only has to pass from one task to the next.
const ASKED_WITHIN: Duration = Duration::from_millis(20);

/// What was heard from Postfix while it ran.
struct Heard {
    started: Instant,
    ready: bool,
    last_fatal: Option<String>,
    follower: Follower,
    circles: circle::Watch,
    anonymize: Anonymize,
    relay: bool,
}

/// Starts Postfix and stays with it to its end.
///
/// # Errors
/// When it cannot be started, or ends by itself.
pub async fn run(
    postfix: &Postfix,
    settings: &Settings,
    shutdown: &Shutdown,
    started: Instant,
) -> Result<Exit, Failure> {
    let master = postfix.master().await.map_err(not_installed)?;
    let program = postfix.program(&master).arg("-s");
    let running = program.start().map_err(not_installed)?;
    let pid = running.pid().as_raw_nonzero().get();
    info!(pid, "Postfix starts");
    let reserve = (settings.grace.get() / RESERVE_SHARE).min(RESERVE_MAX);
    let limits = Limits { grace: reserve, ..Limits::default() };
    let mut heard = Heard::nothing(settings, started);
    let stop = shutdown.own_wish();
    let supervised = running.supervise_with(&limits, &stop, |line| heard.line(&line));
    let ended = tokio::select! {
        ended = supervised => ended,
        never = stop_politely(settings, reserve, shutdown, &stop) => match never {},
    };
    conclude(&ended, &heard)
}

/// When we are asked to stop, lets deliveries end and only then asks Postfix.
async fn stop_politely(settings: &Settings, reserve: Duration, shutdown: &Shutdown, stop: &Shutdown) -> Infallible {
    shutdown.wait().await;
    let most = settings.grace.get().saturating_sub(reserve);
    let held = drain(settings.place.queue_dir.as_path(), most, shutdown).await;
    stop.request();
    sleep(ASKED_WITHIN).await;
    held.into_iter().for_each(Held::let_go);
    shutdown.wait_insisted().await;
    stop.request();
    std::future::pending().await
}

impl Heard {
    fn nothing(settings: &Settings, started: Instant) -> Self {
        let folder = settings.place.data_dir.as_path();
        let (follower, circles) = (Follower::into_folder(folder), circle::Watch::into_folder(folder));
        let relay = settings.route.relay.is_some();
        Self { started, ready: false, last_fatal: None, follower, circles, anonymize: settings.anonymize, relay }
    }

    fn line(&mut self, line: &Line<'_>) {
        let text = line.text();
        let said = Said::read(&text);
        let shown = self.anonymize.apply(said.text);
        Said { text: &shown, ..said }.tell(self.relay);
        self.follower.hear(&said);
        self.circles.hear(&said);
        if said.meaning() == Meaning::Ready && !self.ready {
            self.ready = true;
            let milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            info!(milliseconds, "ready to accept mail");
        }
        if let Some(fatal) = said.text.strip_prefix("fatal: ") {
            self.last_fatal = Some(self.anonymize.apply(fatal).into_owned());
        }
    }
}

fn conclude(ended: &Ended, heard: &Heard) -> Result<Exit, Failure> {
    let left = ended.left_behind.len();
    if ended.why == Why::Stopped {
        if ended.killed {
            warn!(processes = left, "Postfix did not end in time and was killed; what it had accepted is in the queue");
        } else {
            info!("Postfix stopped, as asked; what it had accepted is in the queue");
        }
        return Ok(Exit::Done);
    }
    let how = match ended.status {
        Status::Exited(code) => format!("exit code {code}"),
        Status::Killed(signal) => format!("signal {signal}"),
    };
    error!(how, processes = left, "Postfix ended by itself");
    let when = if heard.ready { "while it was running" } else { "before it accepted mail" };
    let why = heard.last_fatal.as_deref().map(|fatal| format!(": {fatal}")).unwrap_or_default();
    Err(Failure::new(Exit::Failed, format!("Postfix ended by itself {when}, with {how}{why}"))
        .help("look at the lines above; what it had accepted is in the queue and leaves after the next start"))
}
