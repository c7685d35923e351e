//! Our own standard streams, where bytes only pass through: what a client of `server` sends, and what rsync hears from a
//! daemon.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tokio::net::unix::pipe::{Receiver, Sender};

/// Standard input and output, inside a tokio runtime.
///
/// # Errors
/// When they are neither pipes nor sockets.
pub fn ours() -> io::Result<(Receiver, Sender)> {
    let from = Receiver::from_owned_fd_unchecked(ready(io::stdin().as_fd())?)?;
    let to = Sender::from_owned_fd_unchecked(ready(io::stdout().as_fd())?)?;
    Ok((from, to))
}

/// A copy of a standard stream that never blocks. sshd and rsync give a socket or a pipe; as a socket either can be told
/// so.
fn ready(stream: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let copy = UnixStream::from(stream.try_clone_to_owned()?);
    copy.set_nonblocking(true)?;
    Ok(copy.into())
}
