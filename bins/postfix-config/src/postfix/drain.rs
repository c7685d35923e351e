//! Before Postfix is stopped, deliveries that are on their way may end: cut off after the relay has the message and
//! before it says so, a delivery is made a second time after the next start.
//!
//! Postfix has `postfix drain` for this, which kills the master; but then nobody keeps the log of what still happens. Here
//! the master is held (it would start services anew), the queue manager ended (nobody hands out new work), and each
//! delivery marks what it has done in the message's own file.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use shared::shutdown::Shutdown;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Folders below `active` that Postfix may make (`hash_queue_depth`).
const DEPTH_MAX: usize = 4;

/// A master that is held: it hears a signal when it is let go.
pub struct Held(Pid);

impl Held {
    /// Lets it go. Whoever asks it to end does so before, or it tells of the queue manager that it misses.
    pub fn let_go(self) {
        signal(self.0, Signal::CONT);
    }
}

/// Lets no new delivery begin and waits for those on their way, at most this long; a second wish to stop ends the wait.
/// Postfix is of no use after it: it must be stopped, and its master let go.
pub async fn drain(queue: &Path, most: Duration, shutdown: &Shutdown) -> Option<Held> {
    let master = master(queue)?;
    let until = Instant::now() + most;
    signal(master, Signal::STOP);
    queue_managers(master).into_iter().for_each(|manager| signal(manager, Signal::TERM));
    let deliveries = under_way(queue);
    if deliveries > 0 {
        info!(deliveries, "deliveries are on their way and may end before Postfix is stopped");
    }
    while under_way(queue) > 0 && Instant::now() < until && !shutdown.insisted() {
        sleep(LOOK_EVERY).await;
    }
    let deliveries = under_way(queue);
    if deliveries > 0 {
        warn!(
            deliveries,
            "deliveries did not end in time; they are made again after the next start, and may arrive twice"
        );
    }
    Some(Held(master))
}

fn signal(pid: Pid, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}

/// The master writes its number into its lock, and holds that for as long as it lives.
fn master(queue: &Path) -> Option<Pid> {
    let alive = super::is_running(queue).ok().flatten().unwrap_or(false);
    let text = fs::read_to_string(queue.join("pid/master.pid")).ok().filter(|_| alive)?;
    Pid::from_raw(text.trim().parse().ok()?)
}

/// The children of the master that are called `qmgr`: one, or none when it is about to start.
fn queue_managers(master: Pid) -> Vec<Pid> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(|pid| is_queue_manager(*pid, master)).collect()
}

/// `/proc/PID/stat` begins with `PID (name) state parent`, and everybody may read it.
fn is_queue_manager(pid: Pid, master: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    let after_name = stat.split_once("(qmgr) ").map(|(_, rest)| rest);
    let parent = after_name.and_then(|rest| rest.split(' ').nth(1));
    parent.is_some_and(|parent| parent == master.as_raw_pid().to_string())
}

/// How many messages are being delivered: whoever delivers one holds a lock on its file.
fn under_way(queue: &Path) -> usize {
    files(&queue.join("active"), DEPTH_MAX).iter().filter(|path| is_locked(path)).count()
}

fn is_locked(path: &Path) -> bool {
    // One that is gone has been delivered.
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn files(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let below = |path: PathBuf| if path.is_dir() && depth > 0 { files(&path, depth - 1) } else { vec![path] };
    entries.map(|entry| entry.path()).flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_under_way_while_somebody_holds_its_file() {
        let queue = tempfile::tempdir().unwrap();
        fs::create_dir_all(queue.path().join("active/A")).unwrap();
        for name in ["active/A1", "active/A/A2", "active/B3"] {
            fs::write(queue.path().join(name), "").unwrap();
        }
        assert_eq!(under_way(queue.path()), 0);
        let held = ["active/A1", "active/A/A2"].map(|name| File::open(queue.path().join(name)).unwrap());
        held.iter().for_each(|file| file.lock_shared().unwrap());
        assert_eq!(under_way(queue.path()), 2);
        drop(held);
        assert_eq!(under_way(queue.path()), 0);
        assert_eq!(master(queue.path()), None);
    }
}
