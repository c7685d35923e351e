//! Compresses and hashes on a thread of its own, in bounded memory, and the same way back.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;

use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

/// Bytes that travel between two threads at once.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait for a slower thread.
const CHUNKS_WAITING: usize = 8;

/// Size and hash of a stream of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// How many.
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// Counts and hashes what passes.
#[derive(Default)]
pub(super) struct Meter {
    bytes: u64,
    hash: Sha256,
}

impl Meter {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    pub(super) fn digest(self) -> Digest {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Digest { bytes: self.bytes, sha256 }
    }
}

struct Metered<I> {
    inner: I,
    meter: Meter,
}

impl<I> Metered<I> {
    fn new(inner: I) -> Self {
        Self { inner, meter: Meter::default() }
    }
}

impl<W: Write> Write for Metered<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.meter.feed(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.meter.feed(&bytes[..read]);
        Ok(read)
    }
}

/// A thread that compresses what it is given into a new file.
pub(super) struct Packer {
    chunks: mpsc::Sender<Vec<u8>>,
    spare: mpsc::Receiver<Vec<u8>>,
    end: oneshot::Receiver<io::Result<Digest>>,
}

impl Packer {
    /// Creates the file, for its owner alone.
    pub(super) fn start(path: &Path, level: i32) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let (chunks, mut given) = mpsc::channel::<Vec<u8>>(CHUNKS_WAITING);
        let (give_back, spare) = mpsc::channel(CHUNKS_WAITING);
        let (tell, end) = oneshot::channel();
        thread::Builder::new().name("zstd".to_owned()).spawn(move || {
            let work = || -> io::Result<Digest> {
                let mut encoder = zstd::stream::write::Encoder::new(Metered::new(file), level)?;
                encoder.include_checksum(true)?;
                while let Some(chunk) = given.blocking_recv() {
                    encoder.write_all(&chunk)?;
                    // A buffer for which there is no room is freed.
                    let _ = give_back.try_send(chunk);
                }
                let metered = encoder.finish()?;
                metered.inner.sync_all()?;
                Ok(metered.meter.digest())
            };
            // Nobody asks for the end of a work that was given up.
            let _ = tell.send(work());
        })?;
        Ok(Self { chunks, spare, end })
    }

    /// An empty buffer.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK_BYTES));
        buffer.clear();
        buffer
    }

    /// Hands bytes over, waiting for room; false when the thread has ended, whose reason [`Packer::finish`] gives.
    pub(super) async fn give(&self, chunk: Vec<u8>) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// No more bytes follow: the file is complete and on disk when this says so.
    pub(super) async fn finish(self) -> io::Result<Digest> {
        drop(self.chunks);
        self.end.await.unwrap_or_else(|_| Err(io::Error::other("the thread that compresses is gone")))
    }
}

/// What came out of a packed file: hashes of the file and of its content.
pub(super) struct Unpacked {
    pub(super) file: Digest,
    pub(super) plain: Digest,
}

/// Decompresses a file, bounded, and gives the pieces to `take` until it has enough (`false`).
pub(super) fn unpack(path: &Path, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<Option<Unpacked>> {
    let mut metered = Metered::new(File::open(path)?);
    let mut plain = Meter::default();
    {
        let mut decoder =
            zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(CHUNK_BYTES, &mut metered))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            // A frame that ends early is an error, and so is one whose checksum does not fit.
            let read = decoder.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            plain.feed(&chunk[..read]);
            if !take(&chunk[..read]) {
                return Ok(None);
            }
        }
    }
    // What follows the last frame would not be decompressed, and still belongs to the file.
    io::copy(&mut metered, &mut io::sink())?;
    Ok(Some(Unpacked { file: metered.meter.digest(), plain: plain.digest() }))
}

/// The hash of a file.
pub(super) fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut metered = Metered::new(File::open(path)?);
    io::copy(&mut metered, &mut io::sink())?;
    Ok(metered.meter.digest())
}
