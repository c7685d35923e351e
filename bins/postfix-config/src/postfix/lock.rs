//! Whether a Postfix runs on a queue, known from the lock that its master holds for as long as it lives.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// Asks nobody and leaves no trace in the log; `None` when the queue has never been used.
///
/// # Errors
/// When the file of the lock cannot be read.
pub fn is_running(queue: &Path) -> io::Result<Option<bool>> {
    let file = match File::open(queue.join("pid/master.pid")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(false)),
        Err(TryLockError::WouldBlock) => Ok(Some(true)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
