//! Notes which file is being read, so that another thread can name the one whose read does not return: a network volume
//! whose server is away blocks its reader forever.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

static NOW: Mutex<Option<(Arc<Path>, Instant)>> = Mutex::new(None);

/// Lives as long as a read does.
pub(super) struct Reading;

/// A read of this file begins.
pub(super) fn reading(path: &Arc<Path>) -> Reading {
    *NOW.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(path), Instant::now()));
    Reading
}

impl Drop for Reading {
    fn drop(&mut self) {
        *NOW.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The file whose read has not returned yet, and for how long.
pub fn blocked_read() -> Option<(PathBuf, Duration)> {
    let now = NOW.lock().unwrap_or_else(PoisonError::into_inner);
    now.as_ref().map(|(path, since)| (path.to_path_buf(), since.elapsed()))
}
