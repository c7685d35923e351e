//! How a served job begins: with a folder for its state, and where its schedule goes on.

use std::{
    fs::{self, OpenOptions},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    history::Record,
    options::{AtStart, JobOptions},
    round::Ground,
};
use crate::{
    files::FileError,
    schedule::{Schedule, Slots},
    shutdown::Shutdown,
    words::length_in_words,
};

const SLOTS_SHOWN: usize = 3;
/// Between two looks at a volume that is not there.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Waits until the folder of the state can be written; a network volume may come later than we do.
/// `None` when somebody asks us to stop meanwhile.
pub(super) async fn folder(ground: &Ground, patience: Duration, shutdown: &Shutdown) -> Result<Option<()>, FileError> {
    let begin = Instant::now();
    let mut said = false;
    loop {
        let error = match try_folder(ground) {
            Ok(()) => break,
            Err(error) if begin.elapsed() >= patience => return Err(error),
            Err(error) => error,
        };
        if !std::mem::replace(&mut said, true) {
            let (wait, help) = (length_in_words(patience), error.help());
            warn!(
                error = &error as &(dyn std::error::Error + 'static),
                wait, help, "The folder of the state cannot be used yet"
            );
        }
        tokio::select! {
            () = shutdown.wait() => return Ok(None),
            () = sleep(LOOK_AGAIN) => {}
        }
    }
    if said {
        info!(folder = %ground.state_folder.display(), waited = length_in_words(begin.elapsed()), "The folder of the state is there");
    }
    Ok(Some(()))
}

fn try_folder(ground: &Ground) -> Result<(), FileError> {
    let folder = &ground.state_folder;
    fs::create_dir_all(folder).map_err(|source| FileError::new("create", folder, source))?;
    let lock = ground.lock();
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
    opened.map(drop).map_err(|source| FileError::new("open", &lock, source))
}

/// Says when the job will run.
pub(super) fn announce(schedule: &Schedule) {
    let runs = schedule.next_runs(Timestamp::now(), SLOTS_SHOWN);
    let shown = |run: &Timestamp| run.to_zoned(schedule.zone().clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string();
    let next = runs.iter().map(shown).collect::<Vec<_>>().join(", ");
    info!(schedule = schedule.in_words(), next, "Schedule");
}

/// Where the schedule goes on after an earlier life of the program. A run that was cut short does not count.
pub(super) fn first_slots(options: &JobOptions, schedule: Schedule, runs: &[Record], now: Timestamp) -> Slots {
    let last = runs
        .iter()
        .rev()
        .find(|run| run.came_to_its_end())
        .map(|run| run.slot.map_or(run.started, |slot| slot.max(run.started)));
    let made_up_from = options.catch_up.and_then(|within| now.checked_sub(within.get()).ok());
    let from = match options.at_start {
        AtStart::No => now,
        AtStart::Yes => Timestamp::UNIX_EPOCH,
        // A clock that was wrong does not postpone runs for years.
        AtStart::Missed => {
            last.filter(|last| *last <= now + SignedDuration::from_hours(24)).unwrap_or(Timestamp::UNIX_EPOCH)
        }
    };
    let first_life = from == Timestamp::UNIX_EPOCH;
    Slots::after(schedule, if first_life { from } else { made_up_from.map_or(from, |limit| limit.max(from)) })
}
