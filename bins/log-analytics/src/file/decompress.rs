//! Bytes as they were before somebody compressed them; told by magic bytes, never by name.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

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

/// What an xz block may ask for: its header says how much, and a damaged one could say four gigabytes. `xz -9` needs 65 MiB;
/// the zstd decoder has the same limit by itself.
const XZ_MEMORY_KIB_MAX: u32 = 128 * 1024;

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
            Self::Gzip => Box::new(Members(Some(GzDecoder::new(buffered(source))))),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered(source))),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(buffered(source))?),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(buffered(source), true, XZ_MEMORY_KIB_MAX)),
        })
    }
}

/// The members of a gzip file, one after another. As for gzip and Python, zeros may stand between and behind them: tapes and
/// preallocated files pad with them.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else { break };
            self.0 = pass_zeros(&mut rest)?.then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

/// Passes over zeros; answers whether something stands behind them.
fn pass_zeros(source: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if bytes.is_empty() {
            return Ok(false);
        }
        let (zeros, all) = (bytes.iter().take_while(|byte| **byte == 0).count(), bytes.len());
        source.consume(zeros);
        if zeros < all {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// "hello\n" packed by `xz`, without the size of its dictionary and the checksum over it.
    const HEAD: &[u8] = b"\xfd7zXZ\0\0\x01i\x22\xde6\x02\0\x21\x01";
    const TAIL: &[u8] = b"\x01\0\x05hello\n\0\0\0 0:6\0\x01\x1a\x06\xc5\xea\xc8y\x90B\x99\r\x01\0\0\0\0\x01YZ";

    fn unpacked(dictionary: &[u8; 8]) -> io::Result<Vec<u8>> {
        let archive = [HEAD, dictionary, TAIL].concat();
        let mut text = Vec::new();
        Compression::of(&archive).decode(io::Cursor::new(archive))?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn zeros_between_and_behind_the_members_of_a_gzip_file_are_passed_over_and_nothing_else() {
        let packed = |text: &str| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap()
        };
        let (a, empty, b, zeros) = (packed("a\n"), packed(""), packed("b\n"), vec![0; READ_BUFFER_BYTES + 1]);
        let read = |parts: &[&Vec<u8>]| {
            let archive: Vec<u8> = parts.iter().copied().flatten().copied().collect();
            let mut text = String::new();
            let mut bytes = Compression::of(&archive).decode(io::Cursor::new(archive)).unwrap();
            bytes.read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read(&[&a, &empty, &b]).unwrap(), "a\nb\n");
        assert_eq!(read(&[&a, &zeros, &b, &zeros]).unwrap(), "a\nb\n");
        assert!(read(&[&a, &zeros, &vec![1]]).is_err());
        assert!(read(&[&a, &b[..b.len() - 1].to_vec()]).is_err());
    }

    #[test]
    fn a_file_by_the_largest_preset_of_xz_is_read_and_one_that_asks_for_gigabytes_is_not() {
        let (of_64_mib, of_4_gib) = (b"\x1c\0\0\0\x10\xcf\x58\xcc", b"\x28\0\0\0\xe6\xa0\x11\xb3");
        assert_eq!(unpacked(of_64_mib).unwrap(), b"hello\n");
        assert!(unpacked(of_4_gib).is_err());
    }
}
