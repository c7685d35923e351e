//! What goes wrong around us, and what to do about it: one table for all commands.

use std::io;
use std::path::Path;

use shared::entry::Exit;

use crate::file::ReadError;

/// The exit code and the advice for a file that cannot be read.
pub fn of_file(error: &ReadError) -> (Exit, String) {
    match error {
        ReadError::Open { path, error } | ReadError::Read { path, error } => {
            let (exit, help) = shared::trouble::advice(path, error);
            (exit, format!("{help}; nothing is lost, the next pass goes on"))
        }
        ReadError::GivenUp { .. } => (Exit::TryAgain, String::new()),
    }
}

/// The same for a folder that cannot be listed.
pub fn of_folder(path: &Path, error: &io::Error) -> (Exit, String) {
    let (exit, help) = shared::trouble::advice(path, error);
    (exit, format!("{help}; its logs are imported by the next pass after that"))
}

/// The same for the folder of all logs.
pub fn of_logs_folder(path: &Path, error: &io::Error) -> (Exit, String) {
    if error.kind() == io::ErrorKind::NotFound {
        let help = "mount the volume with the logs, or set ANALYTICS_DIR to the folder that holds `logs`";
        return (Exit::Config, help.to_owned());
    }
    of_folder(path, error)
}
