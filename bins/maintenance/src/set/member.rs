//! Members between programs and files: a program's output is compressed and hashed as it comes, and fed back the same way.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;

use shared::process::{Limits, Line, Program};
use shared::shutdown::Shutdown;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, oneshot};

use super::error::SetError;
use super::manifest::{Content, Member};
use super::pack::{Meter, pack, unpack};
use crate::database::DatabaseError;

/// As much as anybody may ask of the kernel; it gives 64 KiB by itself.
const PIPE_BYTES: usize = 1 << 20;

/// Runs a program and keeps its output as a member; `watch` sees all of it. The member is good only if program, compression
/// and disk all say so.
pub async fn pack_program<S: Send + 'static>(
    program: Program,
    (folder, name, content): (&Path, &str, Content),
    level: i32,
    (limits, shutdown): (&Limits, &Shutdown),
    watch: (S, fn(&mut S, &[u8])),
) -> Result<(Member, S), SetError> {
    let path = folder.join(name);
    let action = format!("write {name}");
    let failed = |source| SetError::Io { action: "write", path: path.clone(), source };
    let program_failed = |source| SetError::Program { member: name.to_owned(), source };
    let started = program.stdout_as_stream().start();
    let mut running =
        started.map_err(|source| program_failed(DatabaseError::Start { action: action.clone(), source }))?;
    let stdout = running.take_stdout().ok_or_else(|| failed(io::Error::other("the program has no output")))?;
    let stdout = File::from(stdout.into_blocking_fd().map_err(failed)?);
    // The program and we take fewer turns on the processor; where it may not be as wide, it works as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
    let end = pack(stdout, &path, level, watch).map_err(failed)?;
    let (packed, ended) = tokio::join!(end, running.supervise(limits, shutdown));
    let packed = packed.unwrap_or_else(|_| Err(io::Error::other("the thread that reads is gone"))).map_err(failed)?;
    if !ended.succeeded() {
        return Err(program_failed(DatabaseError::ended(&action, &ended)));
    }
    let member = Member {
        name: name.to_owned(),
        content,
        bytes: packed.file.bytes,
        sha256: packed.file.sha256,
        plain_bytes: packed.plain.bytes,
        plain_sha256: packed.plain.sha256,
    };
    Ok((member, packed.watched))
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
    control: (&Limits, &Shutdown),
) -> Result<(), SetError> {
    unpack_and_read(program, path, member, action, control, |_| {}).await
}

/// Feeds a member's content to a program, and shows what that writes to `reader`.
pub async fn unpack_and_read(
    program: Program,
    path: &Path,
    member: &str,
    action: &str,
    (limits, shutdown): (&Limits, &Shutdown),
    reader: impl FnMut(Line<'_>),
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
    let ((), ended) = tokio::join!(feed, running.supervise_with(limits, shutdown, reader));
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
