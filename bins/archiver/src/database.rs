//! Whether the database answers: a server of MySQL's family greets everyone who connects, before any password.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::matomo_config::Server;

const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// The first byte of a greeting is the version of the protocol; there has been no other for twenty years.
const PROTOCOL: u8 = 10;
/// In its place: the server refuses us, and says why.
const REFUSAL: u8 = 0xff;
const GREETING_BYTES_MAX: usize = 512;

/// The database does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Silent {
    /// Nobody is there.
    #[error("cannot connect to the database at {place}")]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Somebody is there and says no, or something else.
    #[error("the database at {place} does not greet: {reason}")]
    Refuses {
        /// Where.
        place: String,
        /// What it says.
        reason: String,
    },
}

/// Connects, reads the greeting, and answers with the version in it.
///
/// # Errors
/// When there is no greeting within some seconds.
pub async fn greet(server: &Server) -> Result<String, Silent> {
    let place = place(server);
    let unreachable = |error| Silent::Unreachable { place: place.clone(), error };
    let greeting = timeout(GREETING_TIMEOUT, async {
        match server {
            Server::Network { host, port } => read(TcpStream::connect((host.as_str(), *port)).await?).await,
            Server::Socket(path) => read(UnixStream::connect(path).await?).await,
        }
    });
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no greeting within 5 seconds");
    let packet = greeting.await.map_err(|_| unreachable(late()))?.map_err(unreachable)?;
    version(&packet).map_err(|reason| Silent::Refuses { place, reason })
}

fn place(server: &Server) -> String {
    match server {
        Server::Network { host, port } => format!("{host}:{port}"),
        Server::Socket(path) => path.display().to_string(),
    }
}

/// A packet: three bytes of length, one of sequence, then the body.
async fn read(mut stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    let mut body = vec![0; length.min(GREETING_BYTES_MAX)];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

fn version(packet: &[u8]) -> Result<String, String> {
    match packet {
        [PROTOCOL, rest @ ..] => Ok(text(rest.split(|byte| *byte == 0).next().unwrap_or_default())),
        // Two bytes hold the number of the error.
        [REFUSAL, _, _, rest @ ..] => Err(text(rest)),
        _ => Err("this is no greeting of MySQL or MariaDB".to_owned()),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_a_refusal_and_a_stranger_are_told_apart() {
        assert_eq!(version(b"\x0a10.11.14-MariaDB\0rest"), Ok("10.11.14-MariaDB".to_owned()));
        assert_eq!(version(b"\xff\x10\x04Too many connections"), Err("Too many connections".to_owned()));
        assert!(version(b"SSH-2.0").is_err() && version(b"").is_err());
    }
}
