//! Bytes as they were before somebody compressed them; told by magic bytes, never by name.

use std::io::{self, BufReader, Read};

/// The compressions that log rotation produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Bytes as they are.
    None,
    /// gzip, one or several members.
    Gzip,
    /// bzip2, one or several streams.
    Bzip2,
    /// Zstandard, one or several frames.
    Zstd,
    /// xz, one or several streams.
    Xz,
}

/// Bytes needed to tell a compression.
pub const MAGIC_BYTES: usize = 6;

const READ_BUFFER_BYTES: usize = 64 * 1024;

impl Compression {
    /// Tells the compression by the first bytes of a file.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }

    /// A reader of the original bytes. A source cut short ends in an error, never in a silent end.
    ///
    /// # Errors
    /// When the decoder cannot be set up (out of memory).
    pub fn decode<R: Read + Send + 'static>(self, source: R) -> io::Result<Box<dyn Read + Send>> {
        let buffered = |source| BufReader::with_capacity(READ_BUFFER_BYTES, source);
        Ok(match self {
            Self::None => Box::new(source),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(source))),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered(source))),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(buffered(source))?),
            Self::Xz => Box::new(lzma_rust2::XzReader::new(buffered(source), true)),
        })
    }
}
