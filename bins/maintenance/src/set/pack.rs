//! Compresses and hashes on threads of its own, in bounded memory, and the same way back.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

/// Bytes that travel between two threads at once.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait for a slower thread.
const CHUNKS_WAITING: usize = 8;
/// A dump comes at 0.1 MB a millisecond, and a pipe holds 1 MB.
const PIPE_FILLS: Duration = Duration::from_millis(2);

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

/// What went into a packed file, and what was made of it on the way.
pub(super) struct Packed<S> {
    pub(super) file: Digest,
    pub(super) plain: Digest,
    pub(super) watched: S,
}

/// How the packing ended; on disk when it ended well.
pub(super) type End<S> = oneshot::Receiver<io::Result<Packed<S>>>;

/// Packs all that comes from a source into a new file, for its owner alone, on threads of its own. `watch` sees every byte.
pub(super) fn pack<S: Send + 'static>(
    source: impl Read + Send + 'static,
    path: &Path,
    level: i32,
    (mut watched, watch): (S, fn(&mut S, &[u8])),
) -> io::Result<End<S>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let (tell, end) = oneshot::channel();
    thread::Builder::new().name("reader".to_owned()).spawn(move || {
        let packed = read_and_compress(source, file, level, |bytes| watch(&mut watched, bytes));
        // Nobody asks for the end of a work that was given up.
        let _ = tell.send(packed.map(|(file, plain)| Packed { file, plain, watched }));
    })?;
    Ok(end)
}

/// Reads, hashes and watches here, and compresses and writes on a second thread: the two take about the same time.
fn read_and_compress(
    mut source: impl Read,
    file: File,
    level: i32,
    mut watch: impl FnMut(&[u8]),
) -> io::Result<(Digest, Digest)> {
    let (chunks, given) = mpsc::sync_channel::<Vec<u8>>(CHUNKS_WAITING);
    let (give_back, spare) = mpsc::sync_channel::<Vec<u8>>(CHUNKS_WAITING);
    let compressor =
        thread::Builder::new().name("zstd".to_owned()).spawn(move || compress(file, level, &given, &give_back))?;
    let mut plain = Meter::default();
    let read = loop {
        let mut chunk = spare.try_recv().unwrap_or_default();
        if let Err(error) = fill(&mut source, &mut chunk) {
            break Err(error);
        }
        plain.feed(&chunk);
        watch(&chunk);
        // The compressor that stopped says why; whoever writes to the source then finds nobody.
        if chunk.is_empty() || chunks.send(chunk).is_err() {
            break Ok(());
        }
    };
    drop((chunks, source));
    // The disk's own words are better than those of a pipe that broke.
    let file = compressor.join().unwrap_or_else(|_| Err(io::Error::other("the thread that compresses is gone")))?;
    read.map(|()| (file, plain.digest()))
}

fn compress(file: File, level: i32, given: &Receiver<Vec<u8>>, give_back: &SyncSender<Vec<u8>>) -> io::Result<Digest> {
    let mut encoder = zstd::stream::write::Encoder::new(Metered::new(file), level)?;
    encoder.include_checksum(true)?;
    for chunk in given {
        encoder.write_all(&chunk)?;
        // A buffer for which there is no room is freed.
        let _ = give_back.try_send(chunk);
    }
    let metered = encoder.finish()?;
    metered.inner.sync_all()?;
    Ok(metered.meter.digest())
}

/// Reads until the chunk is full or the source ends. Programs write a few kilobytes at a time, and waking up for each of
/// them costs the program and us more than the work itself: after a short read the pipe is left alone to fill.
fn fill(source: &mut impl Read, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.resize(CHUNK_BYTES, 0);
    let mut filled = 0;
    while filled < CHUNK_BYTES {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if filled < CHUNK_BYTES {
            thread::sleep(PIPE_FILLS);
        }
    }
    chunk.truncate(filled);
    Ok(())
}

/// What came out of a packed file: hashes of the file and of its content.
#[derive(Debug)]
pub struct Unpacked {
    /// Of the file.
    pub file: Digest,
    /// Of its content.
    pub plain: Digest,
}

/// Decompresses a file, bounded, and gives the pieces to `take` until it has enough (`false`).
pub fn unpack(path: &Path, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<Option<Unpacked>> {
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
