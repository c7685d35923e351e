//! Takes over what the shell image did, once per site: what it imported is not imported again, what it gave up is shown.

use std::path::Path;

use tracing::{info, warn};

use crate::discover::{Head, LogFile, Settled};
use crate::file;
use crate::ledger::{FileId, FileState, Finish, Lease, LedgerError, ShellState, Totals, below_site, path_text};
use crate::matomo::sentence;

/// Why a site's state cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// The shell image's state cannot be read.
    #[error("cannot read the state of the shell image in {folder}")]
    Read {
        /// The folder.
        folder: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Takes over the state below `folder`, unless that was done before.
///
/// # Errors
/// When something is there and cannot be read, or the ledger cannot be written. Nothing must be imported then.
pub fn take_over(lease: &mut Lease, files: &[Settled], folder: &Path) -> Result<(), TakeOverError> {
    let site = lease.book().site();
    let read = ShellState::read(folder, site);
    let read = read.map_err(|error| TakeOverError::Read { folder: folder.display().to_string(), error })?;
    let Some(state) = read else { return Ok(()) };
    let before = lease.book().took_over_ms();
    let (mut imported, mut quarantined) = (0, 0);
    for file in files.iter().map(Settled::file) {
        let name = below_site(&path_text(file), site);
        let given_up = state.given_up.contains(&name);
        if !given_up && !state.imported.contains(&name) {
            continue;
        }
        let known = match lease.book().recognise(file) {
            // Noted just before a crash: its end is still to be written down.
            Some((id, false)) if before.is_none() && is_waiting(lease, id) => Some(id),
            Some(_) => continue,
            None => None,
        };
        // Later on, only a file that is older than the takeover can be one of those that the shell image meant.
        if before.is_some_and(|at_ms| file.modified_ns / 1_000_000 > at_ms) {
            continue;
        }
        match Head::read(&file.path) {
            Ok(head) if !head.bytes().is_empty() => {
                let id = lease.see(known, file, &head)?;
                if given_up {
                    lease.fail(id, "the shell image gave it up after two failures", 1, now_ms())?;
                    quarantined += 1;
                } else if finish(lease, id, file)? {
                    imported += 1;
                }
            }
            Ok(_) => {}
            Err(error) => {
                warn!(%site, file = %file.path.display(), why = sentence(&error), "File of the shell image cannot be read");
            }
        }
    }
    if before.is_none() {
        lease.took_over(state.days.iter().copied().collect(), now_ms())?;
    }
    if before.is_none() || imported + quarantined > 0 {
        let (marked, days) = (state.imported.len() + state.given_up.len(), state.days.len());
        info!(%site, marked, imported, quarantined, days, "State of the shell image is taken over; its files stay as they are");
    }
    Ok(())
}

fn is_waiting(lease: &Lease, id: FileId) -> bool {
    lease.book().file(id).is_some_and(|entry| entry.state == FileState::Waiting)
}

/// Marks a file as imported to its end; false if it cannot be read that far.
fn finish(lease: &mut Lease, id: FileId, file: &LogFile) -> Result<bool, LedgerError> {
    let extent = match file::extent(&file.path) {
        Ok(extent) => extent,
        Err(error) => {
            warn!(site = %lease.book().site(), file = %file.path.display(), why = sentence(&error), "File of the shell image cannot be read");
            return Ok(false);
        }
    };
    let path = path_text(file).into_owned();
    let totals = Totals::default();
    let finish = Finish { path, offset: extent.bytes, cut: !extent.ends_a_line, totals, at_ms: now_ms(), newest: None };
    lease.finish(id, finish)?;
    Ok(true)
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
