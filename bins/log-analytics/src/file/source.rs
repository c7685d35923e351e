//! One open log file: a handle, what the file system says of it, and its original bytes. A rename changes nothing here.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use super::blocked;
use super::decompress::{Compression, MAGIC_BYTES};
use super::prefix::{PrefixHasher, Proof};
use super::{GiveUp, ReadError, read_full};

/// Bytes unpacked at once: a decoder that hands out a few kilobytes at a time needs 1.5 times as long.
pub(super) const UNPACKED_BYTES: usize = 64 * 1024;

/// What the file system says of a file. Two that are equal in all of this have the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stat {
    /// Device and inode: which file it is, whatever its name. Both 0 where a ledger of version 1 did not keep them.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// Bytes, as stored.
    pub size: u64,
    /// When its content last changed, as it says itself, nanoseconds since 1970.
    pub modified_ns: i64,
    /// When anything of it last changed; nobody can set this back.
    pub changed_ns: i64,
}

impl Stat {
    /// Of a listing or a handle.
    pub fn of(about: &std::fs::Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            device: about.dev(),
            inode: about.ino(),
            size: about.len(),
            modified_ns: nanoseconds(about.mtime(), about.mtime_nsec()),
            changed_ns: nanoseconds(about.ctime(), about.ctime_nsec()),
        }
    }

    /// Whether both are of the same file.
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.inode != 0 && (self.device, self.inode) == (other.device, other.inode)
    }
}

/// An open log file.
#[derive(Clone)]
pub struct Source {
    path: Arc<Path>,
    file: Arc<File>,
    stat: Stat,
    compression: Compression,
}

impl Source {
    /// Opens a regular file.
    ///
    /// # Errors
    /// When it cannot be opened, its first bytes cannot be read, or it is not a regular file.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |error| ReadError::Open { path: path.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        let (path, file) = (Arc::from(path), Arc::new(file));
        let mut magic = [0; MAGIC_BYTES];
        let mut start = At { path: Arc::clone(&path), file: Arc::clone(&file), position: 0 };
        let known = read_full(&mut start, &mut magic).map_err(failed)?;
        Ok(Self { compression: Compression::of(&magic[..known]), stat: Stat::of(&about), path, file })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file system said when it was opened.
    pub fn stat(&self) -> Stat {
        self.stat
    }

    /// Whether its bytes are those of an archive, so that offsets are not places in the file.
    pub fn is_packed(&self) -> bool {
        self.compression != Compression::None
    }

    /// What the file system says of it now.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn stat_now(&self) -> Result<Stat, ReadError> {
        self.file.metadata().map(|about| Stat::of(&about)).map_err(|error| self.failed(error))
    }

    /// Its original bytes from the beginning.
    ///
    /// # Errors
    /// When the decoder cannot be set up.
    pub fn bytes(&self) -> Result<Box<dyn Read + Send>, ReadError> {
        self.compression.decode(self.at(0)).map_err(|error| self.failed(error))
    }

    /// The bytes of a plain file from a place on.
    pub fn plain_from(&self, offset: u64) -> Box<dyn Read + Send> {
        Box::new(self.at(offset))
    }

    /// Whether the last line has its end. Of an archive nobody looks.
    ///
    /// # Errors
    /// When the end cannot be read.
    pub fn ends_a_line(&self) -> Result<bool, ReadError> {
        if self.is_packed() || self.stat.size == 0 {
            return Ok(true);
        }
        let mut last = [0];
        read_full(&mut self.at(self.stat.size - 1), &mut last).map_err(|error| self.failed(error))?;
        Ok(matches!(last, [b'\n' | b'\r']))
    }

    fn at(&self, position: u64) -> At {
        At { path: Arc::clone(&self.path), file: Arc::clone(&self.file), position }
    }

    fn failed(&self, error: io::Error) -> ReadError {
        ReadError::Read { path: self.path.to_path_buf(), error }
    }

    /// Reads an archive to its end, so that a cut one is known before its first line is sent. A plain file has no end to
    /// verify.
    ///
    /// # Errors
    /// When the archive is cut short or damaged, or after a shutdown request.
    pub fn verify(&self, give_up: GiveUp<'_>) -> Result<(), ReadError> {
        if self.is_packed() { self.read_through(&mut self.bytes()?, give_up, |_| true) } else { Ok(()) }
    }

    /// Hashes the original bytes and calls `see` with the proof so far, first at 0. `see` returns the offset at which it wants
    /// the next proof, or `None` to stop. Returns the proof at the offset where reading ended.
    ///
    /// # Errors
    /// When the bytes cannot be read, or after a shutdown request.
    pub fn prove(&self, give_up: GiveUp<'_>, mut see: impl FnMut(&Proof) -> Option<u64>) -> Result<Proof, ReadError> {
        let mut hasher = PrefixHasher::default();
        let mut next = see(&hasher.proof());
        self.read_through(&mut self.bytes()?, give_up, |mut piece| {
            while let Some(until) = next {
                let missing = until.saturating_sub(hasher.at()) as usize;
                if missing > piece.len() {
                    hasher.update(piece);
                    return true;
                }
                let (now, later) = piece.split_at(missing);
                hasher.update(now);
                piece = later;
                next = see(&hasher.proof());
            }
            false
        })?;
        Ok(hasher.proof())
    }

    /// Whether its first bytes are those that were proven.
    ///
    /// # Errors
    /// As for [`Source::prove`].
    pub fn begins_with(&self, proof: &Proof, give_up: GiveUp<'_>) -> Result<bool, ReadError> {
        self.prove(give_up, |so_far| (so_far.at < proof.at).then_some(proof.at)).map(|so_far| so_far == *proof)
    }

    /// Whether the block before a proof's place still holds the bytes that were proven there: of a plain file, read now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn ends_as(&self, proof: &Proof) -> Result<bool, ReadError> {
        let mut hasher = PrefixHasher::at_block_of(proof);
        let mut block = vec![0; (proof.at - hasher.at()) as usize];
        let read = read_full(&mut self.at(hasher.at()), &mut block).map_err(|error| self.failed(error))?;
        hasher.update(&block[..read]);
        Ok(hasher.proof() == *proof)
    }

    /// Reads piece by piece, none of them empty, until `take` has enough.
    fn read_through(
        &self,
        source: &mut impl Read,
        give_up: GiveUp<'_>,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), ReadError> {
        let mut buffer = vec![0; UNPACKED_BYTES];
        loop {
            if give_up() {
                return Err(ReadError::GivenUp { path: self.path.to_path_buf() });
            }
            match read_full(source, &mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) if take(&buffer[..count]) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(self.failed(error)),
            }
        }
    }
}

/// The bytes of a handle from a place on, whoever else reads from it.
struct At {
    path: Arc<Path>,
    file: Arc<File>,
    position: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let _reading = blocked::reading(&self.path);
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
