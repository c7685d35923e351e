//! Takes over what the shell image did, once per site: what it imported is not imported again, what it gave up is shown.

use std::path::Path;

use shared::shutdown::Shutdown;
use tracing::{info, warn};

use crate::discover::{Head, LogFile, Settled};
use crate::file::{self, ReadError};
use crate::ledger::{FileId, FileState, Finish, Lease, LedgerError, ShellState, TakeOver, Totals, path_text};
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
    /// There is a wish to stop; the next pass goes on.
    #[error("asked to stop")]
    Asked,
}

/// Where things lie.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// The shell image's state.
    pub legacy: &'a Path,
    /// One folder per site.
    pub logs: &'a Path,
}

/// Takes over the state of a site, unless that was done before and nothing was written to it since (somebody may have
/// gone back to the shell image for a while).
///
/// # Errors
/// When something is there and cannot be read, or the ledger cannot be written. Nothing must be imported then.
pub fn take_over(
    lease: &mut Lease,
    files: &[Settled],
    folders: Folders<'_>,
    shutdown: &Shutdown,
) -> Result<(), TakeOverError> {
    let site = lease.book().site();
    let read = ShellState::read(folders.legacy, site);
    let read = read.map_err(|error| TakeOverError::Read { folder: folders.legacy.display().to_string(), error })?;
    let Some(state) = read else { return Ok(()) };
    let before = lease.book().tally().takeover;
    let site_folder = folders.logs.join(site.to_string());
    let anew = before.is_none_or(|takeover| state.written_ms > takeover.at_ms);
    let (mut imported, mut given_up) = (0, 0);
    for file in files.iter().map(Settled::file) {
        let name = file.path.strip_prefix(&site_folder).unwrap_or(&file.path).to_string_lossy();
        let was_given_up = state.given_up.contains(&*name);
        if !was_given_up && !state.imported.contains(&*name) {
            continue;
        }
        let known = match lease.book().recognise(file) {
            // Noted just before a crash, or begun by us and ended by the shell image.
            Some((id, false)) if anew && is_waiting(lease, id) => Some(id),
            Some(_) => continue,
            None => None,
        };
        // Later on, only a file that is older than the takeover, or than the lists, can be one that the shell image meant.
        if before.is_some_and(|takeover| file.modified_ns / 1_000_000 > takeover.at_ms.max(state.written_ms)) {
            continue;
        }
        if shutdown.requested() {
            return Err(TakeOverError::Asked);
        }
        match note(lease, known, file, was_given_up, shutdown)? {
            Some(FileState::Finished) => imported += 1,
            Some(_) => given_up += 1,
            None => {}
        }
    }
    if anew {
        let earlier = before.unwrap_or(TakeOver { at_ms: 0, imported: 0, given_up: 0 });
        let (imported, given_up) = (earlier.imported + imported, earlier.given_up + given_up);
        lease.took_over(TakeOver { at_ms: now_ms(), imported, given_up }, state.days.iter().copied().collect())?;
    }
    if anew || imported + given_up > 0 {
        let (marked, days) = (state.imported.len() + state.given_up.len(), state.days.len());
        info!(%site, marked, imported, quarantined = given_up, days, "State of the shell image is taken over; its files stay as they are");
    }
    Ok(())
}

fn is_waiting(lease: &Lease, id: FileId) -> bool {
    lease.book().file(id).is_some_and(|entry| entry.state == FileState::Waiting)
}

/// Writes down that the shell image was done with a file; answers how. Nothing, if there is no content to know it by.
fn note(
    lease: &mut Lease,
    known: Option<FileId>,
    file: &LogFile,
    given_up: bool,
    shutdown: &Shutdown,
) -> Result<Option<FileState>, TakeOverError> {
    let head = match Head::read(&file.path) {
        Ok(head) if head.bytes().is_empty() => return Ok(None),
        Ok(head) => head,
        Err(error) => {
            let why = sentence(&error);
            warn!(site = %lease.book().site(), file = %file.path.display(), why, "File of the shell image cannot be read");
            return Ok(None);
        }
    };
    let why = if given_up {
        "the shell image gave it up after two failures, perhaps half imported".to_owned()
    } else {
        match file::extent(&file.path, &|| shutdown.requested()) {
            Ok(extent) => {
                let id = lease.see(known, file, &head)?;
                lease.finish(id, finish(file, extent))?;
                return Ok(Some(FileState::Finished));
            }
            // Not even seen: a later pass would take it for a file of our own that is still to be imported.
            Err(ReadError::GivenUp { .. }) => return Err(TakeOverError::Asked),
            // What was imported must not be imported again when it can be read once more.
            Err(error) => format!("the shell image marked it as imported, and now: {}", sentence(&error)),
        }
    };
    let id = lease.see(known, file, &head)?;
    lease.fail(id, &why, 1, now_ms())?;
    Ok(Some(FileState::Quarantined(why)))
}

fn finish(file: &LogFile, extent: file::Extent) -> Finish {
    let path = path_text(file).into_owned();
    let totals = Totals::default();
    Finish { path, offset: extent.bytes, cut: !extent.ends_a_line, totals, at_ms: now_ms(), newest: None }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
