//! Stage 2: bytes become lines that know their offset, whatever the compression.

mod blocked;
mod decompress;
mod encoding;
mod lines;
mod prefix;
mod source;

use std::io::{self, Read};
use std::path::PathBuf;

pub use blocked::blocked_read;
pub use decompress::Compression;
pub use encoding::TextEncoding;
pub use lines::{LINE_BYTES_MAX, Line, Lines};
pub use prefix::{BLOCK_BYTES, Hash, PrefixHasher, Proof};
pub use source::{Source, Stat};

/// Plain bytes read at once: more of them would push each other out of the processor's nearest memory.
const PLAIN_BYTES: usize = 32 * 1024;

/// A log file could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Reading stopped before the end; for an archive this means it is cut short or damaged.
    #[error("cannot read {} to its end", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Reading it through took longer than somebody would wait.
    #[error("asked to stop while reading {} through", path.display())]
    GivenUp {
        /// The file.
        path: PathBuf,
    },
}

/// Asked again and again by what may take long: whether to give it up.
pub type GiveUp<'a> = &'a dyn Fn() -> bool;

impl ReadError {
    /// Whether the operating system failed, not the file: too many open files, a volume that is away, a right that is
    /// missing. What is wrong with the bytes of an archive is found by its decoder, which has no error number.
    pub fn is_of_surroundings(&self) -> bool {
        matches!(self, Self::Open { error, .. } | Self::Read { error, .. } if error.raw_os_error().is_some())
    }

    /// The error number, if it is the operating system's.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Open { error, .. } | Self::Read { error, .. } => error.raw_os_error(),
            Self::GivenUp { .. } => None,
        }
    }

    /// Whether the file is simply not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Open { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The lines of a file from where `hasher` stands on: the beginning, or for a plain file any place.
///
/// # Errors
/// When its decoder cannot be set up.
pub fn lines(source: &Source, hasher: PrefixHasher) -> Result<Lines, ReadError> {
    let path = source.path().to_owned();
    if source.is_packed() {
        debug_assert_eq!(hasher.at(), 0, "an archive is read from its beginning");
        return Ok(Lines::new(path, source.bytes()?, hasher));
    }
    let bytes = source.plain_from(hasher.at());
    Ok(Lines::new(path, bytes, hasher).in_pieces_of(PLAIN_BYTES))
}

/// Fills `buffer` as far as the source goes; answers how far.
///
/// # Errors
/// As the source.
pub fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
