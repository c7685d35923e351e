//! Members between programs and files: a program's output is compressed and hashed as it comes, and fed back the same way.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;

use shared::process::{Limits, Program};
use shared::shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::error::SetError;
use super::manifest::{Content, Member};
use super::pack::{CHUNK_BYTES, Meter, Packer, unpack};
use crate::database::DatabaseError;

/// As much as anybody may ask of the kernel; it gives 64 KiB by itself.
const PIPE_BYTES: usize = 1 << 20;

/// Runs a program and keeps its output as a member. The member is good only if program, compression and disk all say so.
pub async fn pack_program(
    program: Program,
    (folder, name, content): (&Path, &str, Content),
    level: i32,
    (limits, shutdown): (&Limits, &Shutdown),
    mut watch: impl FnMut(&[u8]),
) -> Result<Member, SetError> {
    let path = folder.join(name);
    let action = format!("write {name}");
    let failed = |source| SetError::Io { action: "write", path: path.clone(), source };
    let program_failed = |source| SetError::Program { member: name.to_owned(), source };
    let mut packer = Packer::start(&path, level).map_err(failed)?;
    let started = program.stdout_as_stream().start();
    let mut running =
        started.map_err(|source| program_failed(DatabaseError::Start { action: action.clone(), source }))?;
    let stdout = running.take_stdout();
    if let Some(stdout) = &stdout {
        // The program and we take fewer turns on the processor; where it may not be as wide, it works as well.
        let _ = rustix::pipe::fcntl_setpipe_size(stdout, PIPE_BYTES);
    }
    let copy = async {
        let mut meter = Meter::default();
        let Some(mut stdout) = stdout else { return (meter, Ok(())) };
        loop {
            let mut chunk = packer.buffer();
            let read = fill(&mut stdout, &mut chunk).await;
            meter.feed(&chunk);
            watch(&chunk);
            let is_end = chunk.is_empty();
            if let Err(error) = read {
                return (meter, Err(error));
            }
            // Dropping the stream ends the program; the packer says why it stopped.
            if is_end || !packer.give(chunk).await {
                return (meter, Ok(()));
            }
        }
    };
    let ((meter, copied), ended) = tokio::join!(copy, running.supervise(limits, shutdown));
    // The disk's own words are better than those of a program whose pipe broke.
    let packed = packer.finish().await.map_err(failed)?;
    copied.map_err(failed)?;
    if !ended.succeeded() {
        return Err(program_failed(DatabaseError::ended(&action, &ended)));
    }
    let plain = meter.digest();
    Ok(Member {
        name: name.to_owned(),
        content,
        bytes: packed.bytes,
        sha256: packed.sha256,
        plain_bytes: plain.bytes,
        plain_sha256: plain.sha256,
    })
}

/// Reads until the buffer is full or the stream ends.
async fn fill(stream: &mut (impl tokio::io::AsyncRead + Unpin), chunk: &mut Vec<u8>) -> io::Result<()> {
    while chunk.len() < CHUNK_BYTES {
        let room = (CHUNK_BYTES - chunk.len()) as u64;
        if (&mut *stream).take(room).read_buf(chunk).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Keeps a text as a member.
pub fn pack_text(folder: &Path, name: &str, content: Content, text: &[u8]) -> Result<Member, SetError> {
    let path = folder.join(name);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text)?;
        file.sync_all()
    };
    write().map_err(|source| SetError::Io { action: "write", path: path.clone(), source })?;
    let mut meter = Meter::default();
    meter.feed(text);
    let digest = meter.digest();
    Ok(Member {
        name: name.to_owned(),
        content,
        bytes: digest.bytes,
        sha256: digest.sha256.clone(),
        plain_bytes: digest.bytes,
        plain_sha256: digest.sha256,
    })
}

/// Feeds a member's content to a program.
pub async fn unpack_into(
    program: Program,
    path: &Path,
    member: &str,
    action: &str,
    (limits, shutdown): (&Limits, &Shutdown),
) -> Result<(), SetError> {
    let program_failed = |source| SetError::Program { member: member.to_owned(), source };
    let started = program.input_as_stream().start();
    let mut running =
        started.map_err(|source| program_failed(DatabaseError::Start { action: action.to_owned(), source }))?;
    let stdin = running.take_stdin();
    let (mut chunks, end) = unpacked(path);
    let feed = async {
        let Some(mut stdin) = stdin else { return };
        while let Some(chunk) = chunks.recv().await {
            // A program that stops reading says why when it ends.
            if stdin.write_all(&chunk).await.is_err() {
                break;
            }
        }
        drop(chunks);
    };
    let ((), ended) = tokio::join!(feed, running.supervise(limits, shutdown));
    if !ended.succeeded() {
        return Err(program_failed(DatabaseError::ended(action, &ended)));
    }
    let failed = |source| SetError::Io { action: "read", path: path.to_owned(), source };
    end.await.unwrap_or_else(|_| Err(io::Error::other("the thread that decompresses is gone"))).map_err(failed)
}

type Pieces = (mpsc::Receiver<Vec<u8>>, oneshot::Receiver<io::Result<()>>);

/// The content of a packed file, piece by piece, and how its reading ended.
fn unpacked(path: &Path) -> Pieces {
    const PIECES_WAITING: usize = 8;
    let (give, chunks) = mpsc::channel(PIECES_WAITING);
    let (tell, end) = oneshot::channel();
    let path = path.to_owned();
    // Without the thread nothing is sent and no end is told, which is noticed.
    let _ = thread::Builder::new().name("zstd".to_owned()).spawn(move || {
        let result = unpack(&path, |bytes| give.blocking_send(bytes.to_vec()).is_ok());
        let _ = tell.send(result.map(drop));
    });
    (chunks, end)
}
