//! Stage 2: bytes become lines that know their offset, whatever the compression.

mod decompress;
mod encoding;
mod lines;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub use decompress::Compression;
use decompress::MAGIC_BYTES;
pub use encoding::TextEncoding;
pub use lines::{LINE_BYTES_MAX, Line, Lines};

/// Bytes unpacked at once: a decoder that is asked for a few kilobytes takes half as long again.
const UNPACKED_BYTES: usize = 64 * 1024;

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
    /// Whether the file is simply not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Open { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Opens the original bytes of a file, whatever its compression.
///
/// # Errors
/// When the file cannot be opened or its first bytes cannot be read.
pub fn open(path: &Path) -> Result<(Compression, Box<dyn Read + Send>), ReadError> {
    let failed = |error| ReadError::Open { path: path.to_owned(), error };
    let mut file = File::open(path).map_err(failed)?;
    let mut magic = [0; MAGIC_BYTES];
    let known = read_full(&mut file, &mut magic).map_err(failed)?;
    let compression = Compression::of(&magic[..known]);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let bytes = compression.decode(file).map_err(failed)?;
    Ok((compression, bytes))
}

/// The lines of a file from `offset` (in original bytes) on.
///
/// # Errors
/// When the file cannot be opened, or an archive is damaged before `offset`, or too long before it for whoever wants to give up.
pub fn lines_from(path: &Path, offset: u64, give_up: GiveUp<'_>) -> Result<Lines, ReadError> {
    let (compression, mut bytes) = open(path)?;
    if offset > 0 {
        if compression == Compression::None {
            bytes = Box::new(seek_to(path, offset)?);
        } else {
            read_through(path, &mut bytes.by_ref().take(offset), give_up, |_| {})?;
        }
    }
    let lines = Lines::new(path.to_owned(), bytes, offset);
    Ok(if compression == Compression::None { lines.in_pieces_of(PLAIN_BYTES) } else { lines })
}

fn seek_to(path: &Path, offset: u64) -> Result<File, ReadError> {
    let failed = |error| ReadError::Open { path: path.to_owned(), error };
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    Ok(file)
}

/// Reads an archive to its end, so that a cut one is known before its first line is sent.
/// A plain file has no end to verify.
///
/// # Errors
/// When the archive is cut short or damaged, or too long for whoever wants to give up.
pub fn verify(path: &Path, give_up: GiveUp<'_>) -> Result<(), ReadError> {
    let (compression, mut bytes) = open(path)?;
    if compression == Compression::None { Ok(()) } else { read_through(path, &mut bytes, give_up, |_| {}) }
}

/// How far a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Original bytes.
    pub bytes: u64,
    /// Its last line has a terminator.
    pub ends_a_line: bool,
}

/// How far a file goes; an archive is read to its end for it.
///
/// # Errors
/// When it cannot be read, or is an archive cut short, or too long for whoever wants to give up.
pub fn extent(path: &Path, give_up: GiveUp<'_>) -> Result<Extent, ReadError> {
    let failed = |error| ReadError::Read { path: path.to_owned(), error };
    let (compression, mut source) = open(path)?;
    let mut extent = Extent { bytes: 0, ends_a_line: true };
    if compression == Compression::None {
        let size = std::fs::metadata(path).map_err(failed)?.len();
        extent.bytes = size.saturating_sub(1);
        source = Box::new(seek_to(path, extent.bytes)?);
    }
    read_through(path, &mut source, give_up, |piece| {
        extent.bytes += piece.len() as u64;
        extent.ends_a_line = matches!(piece.last(), Some(b'\n' | b'\r'));
    })?;
    Ok(extent)
}

/// Reads to the end, piece by piece, none of them empty.
fn read_through(
    path: &Path,
    source: &mut impl Read,
    give_up: GiveUp<'_>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), ReadError> {
    let mut buffer = vec![0; UNPACKED_BYTES];
    loop {
        if give_up() {
            return Err(ReadError::GivenUp { path: path.to_owned() });
        }
        match read_full(source, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&buffer[..count]),
            Err(error) => return Err(ReadError::Read { path: path.to_owned(), error }),
        }
    }
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
