//! Takes over what the shell image did, once per site: what it imported is not imported again, what it gave up is shown.

use std::path::Path;

use shared::shutdown::Shutdown;
use tracing::{info, warn};

use super::open::Reading;
use super::pending_lines::PendingLines;
use super::site::now_ms;
use crate::discover::{Head, LogFile};
use crate::file::Source;
use crate::ledger::{FileId, FileState, Finish, Lease, LedgerError, ShellState, TakeOver};
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
    /// There is a shutdown request; the next pass goes on.
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
    files: &[LogFile],
    folders: Folders<'_>,
    reading: &Reading,
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
    for file in files {
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
        let modified_ms = file.stat.modified_ns / 1_000_000;
        if before.is_some_and(|takeover| modified_ms > takeover.at_ms.max(state.written_ms)) {
            continue;
        }
        if shutdown.requested() {
            return Err(TakeOverError::Asked);
        }
        let meant = match (was_given_up, modified_ms > state.written_ms) {
            (true, _) => Meant::GivenUp,
            (false, false) => Meant::Imported,
            // Written after the list: rotated since, or grown.
            (false, true) => Meant::Changed { listed_ms: state.written_ms },
        };
        match note(lease, known, file, meant, reading)? {
            Some(FileState::Finished) => imported += 1,
            Some(_) => given_up += 1,
            None => {}
        }
    }
    lease.sync()?;
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

/// What a list of the shell image says of a file.
#[derive(Clone, Copy)]
enum Meant {
    /// It imported it.
    Imported,
    /// It gave it up.
    GivenUp,
    /// It imported what lay there when the list was written.
    Changed { listed_ms: i64 },
}

/// Writes down what the shell image did with a file; answers how. Nothing, if there is no content to know it by, or it is to be
/// imported. Only the first bytes are read, so that a takeover of many files is quick: whoever rotates them meanwhile would
/// make them unknown.
fn note(
    lease: &mut Lease,
    known: Option<FileId>,
    file: &LogFile,
    meant: Meant,
    reading: &Reading,
) -> Result<Option<FileState>, TakeOverError> {
    let opened = Source::open(&file.path).and_then(|source| Ok((Head::read(&source)?, source)));
    let (head, source) = match opened {
        Ok((head, _)) if head.is_empty() => return Ok(None),
        Ok(opened) => opened,
        Err(error) => {
            let why = sentence(&error);
            warn!(site = %lease.book().site(), file = %file.path.display(), why, "File of the shell image cannot be read");
            return Ok(None);
        }
    };
    let why = match meant {
        Meant::Imported => match Finish::believed(file, &source, now_ms()) {
            Ok(end) => {
                let id = lease.see_believed(known, file, &head)?;
                lease.finish(id, end)?;
                return Ok(Some(FileState::Finished));
            }
            // What was imported must not be imported again when it can be read once more.
            Err(error) => format!("the shell image marked it as imported, and now: {}", sentence(&error)),
        },
        Meant::GivenUp => "the shell image gave it up after two failures, perhaps half imported".to_owned(),
        Meant::Changed { listed_ms } if begins_after(&source, reading, listed_ms) => return Ok(None),
        Meant::Changed { .. } => {
            "the shell image marked this name as imported, and the file was written to since: a part of it may be \
                                  in Matomo; `retry` imports all of it"
                .to_owned()
        }
    };
    let id = lease.see(known, file, &head)?;
    lease.fail(id, &why, 1, now_ms())?;
    warn!(site = %lease.book().site(), file = %file.path.display(), why, "File of the shell image is set aside");
    Ok(Some(FileState::Quarantined(why.into())))
}

/// Whether a file begins later than the list was written that names it: then it is another one.
fn begins_after(source: &Source, reading: &Reading, listed_ms: i64) -> bool {
    let glance = reading.glance(source, &PendingLines::all()).ok();
    glance.and_then(|glance| glance.begins).is_some_and(|begins| begins.seconds * 1000 > listed_ms)
}
