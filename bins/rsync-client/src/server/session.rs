//! One session: a client that speaks rsync over ssh, and rsync's daemon that speaks its own greeting first.
//!
//! After the greeting, the module and the arguments, both sides speak the same protocol, and bytes only pass through
//! (rsync 3.5.0 with protocols 29 to 32; main.c and clientserver.c).

use std::io;
use std::path::Path;
use std::time::Duration;

use shared::entry::{Exit, Failure};
use shared::process::{Limits, Program, StartError};
use shared::shutdown::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_buf};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::timeout;

use super::module::NAME;
use super::request::Request;
use crate::streams;

/// Bytes that pass at once.
const BUFFER_BYTES: usize = 64 << 10;
/// A greeting is no longer than this.
const LINE_BYTES_MAX: u64 = 4 << 10;
/// A client that does not say which protocol it speaks is none.
const GREETING_MAX: Duration = Duration::from_secs(60);
/// Since this protocol (rsync 3.0, 2008) arguments end with a zero byte, before with a line end.
const PROTOCOL_WITH_ZEROS: u32 = 30;
/// What a daemon of protocol 32 wants to hear behind the number: how passwords could be hashed. None is asked for.
const DIGESTS: &str = "sha512 sha256 sha1 md5 md4";

/// The session broke off, or the daemon refused it.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no rsync.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The client or the daemon went away.
    #[error("the session broke off")]
    Broken(#[source] io::Error),
    /// The client does not speak rsync.
    #[error("the client does not say which protocol it speaks")]
    Silent,
    /// The daemon does not serve the folder.
    #[error("rsync does not serve the folder of your key: {0}")]
    Refused(String),
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let exit = match &error {
            SessionError::Start(error) => error.exit(),
            _ => Exit::Failed,
        };
        Failure::new(exit, error).help("ask who runs the server to look at its log and at SSH_SERVER_DIR")
    }
}

/// Serves one client by rsync's daemon with this configuration.
///
/// # Errors
/// When there is no rsync, or one side goes away before the other.
pub async fn serve(config: &Path, request: &Request, shutdown: &Shutdown) -> Result<Exit, SessionError> {
    let mut client = Client::ours()?;
    let protocol = client.protocol().await?;
    let arguments = ["--server", "--daemon"].map(str::to_owned);
    let program = Program::new("rsync").args(arguments).arg(format!("--config={}", config.display())).arg(".").quiet();
    let mut running = program.input_as_stream().stdout_as_stream().start()?;
    let (Some(to), Some(from)) = (running.take_stdin(), running.take_stdout()) else {
        return Err(SessionError::Broken(io::ErrorKind::BrokenPipe.into()));
    };
    let relayed = async {
        let daemon = Daemon { to, from: BufReader::with_capacity(BUFFER_BYTES, from) };
        daemon.relay(client, protocol, request).await
    };
    let limits = Limits::default();
    let (ended, relayed) = tokio::join!(running.supervise(&limits, shutdown), relayed);
    relayed.map(|()| ended.exit())
}

/// Our own standard streams, which sshd connects to the client.
struct Client {
    from: BufReader<Receiver>,
    to: Sender,
}

impl Client {
    fn ours() -> Result<Self, SessionError> {
        let (from, to) = streams::ours().map_err(SessionError::Broken)?;
        Ok(Self { from: BufReader::with_capacity(BUFFER_BYTES, from), to })
    }

    /// The number with which a client begins.
    async fn protocol(&mut self) -> Result<u32, SessionError> {
        match timeout(GREETING_MAX, self.from.read_u32_le()).await {
            Ok(protocol) => protocol.map_err(SessionError::Broken),
            Err(_) => Err(SessionError::Silent),
        }
    }
}

/// rsync's daemon.
struct Daemon {
    to: Sender,
    from: BufReader<Receiver>,
}

impl Daemon {
    /// Brings both together, and lets them talk.
    async fn relay(mut self, mut client: Client, protocol: u32, request: &Request) -> Result<(), SessionError> {
        let theirs = self.greet(protocol).await?;
        client.to.write_all(&theirs.to_le_bytes()).await.map_err(SessionError::Broken)?;
        self.send(&arguments(request, theirs.min(protocol))).await?;
        let Self { mut to, mut from } = self;
        let up = async {
            // A client that is done says so by closing its end, and the daemon must see that.
            let _ = copy_buf(&mut client.from, &mut to).await;
            drop(to);
            std::future::pending::<()>().await;
        };
        let down = copy_buf(&mut from, &mut client.to);
        tokio::select! {
            () = up => Ok(()),
            copied = down => copied.map(|_| ()).map_err(SessionError::Broken),
        }
    }

    /// Answers its greeting and names the module; says which protocol it speaks.
    async fn greet(&mut self, protocol: u32) -> Result<u32, SessionError> {
        let greeting = self.line().await?;
        let number = greeting.strip_prefix("@RSYNCD: ").and_then(|rest| rest.split(['.', ' ']).next());
        let theirs = number.and_then(|number| number.parse().ok()).ok_or(SessionError::Refused(greeting))?;
        self.send(format!("@RSYNCD: {protocol}.0 {DIGESTS}\n{NAME}\n").as_bytes()).await?;
        let answer = self.line().await?;
        if answer == "@RSYNCD: OK" { Ok(theirs) } else { Err(SessionError::Refused(answer)) }
    }

    async fn line(&mut self) -> Result<String, SessionError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.from).take(LINE_BYTES_MAX);
        bounded.read_until(b'\n', &mut line).await.map_err(SessionError::Broken)?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.to.write_all(bytes).await.map_err(SessionError::Broken)
    }
}

/// The arguments as the daemon reads them, with the name of the module in front of each path.
fn arguments(request: &Request, protocol: u32) -> Vec<u8> {
    let end = if protocol >= PROTOCOL_WITH_ZEROS { b'\0' } else { b'\n' };
    let paths = request.paths.iter().map(|path| format!("{NAME}/{path}"));
    let words = request.options.iter().cloned().chain([".".to_owned()]).chain(paths);
    let mut bytes: Vec<u8> = words.flat_map(|word| [word.into_bytes(), vec![end]].concat()).collect();
    bytes.push(end);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_end_as_the_protocol_wants() {
        let request = Request::read("rsync --server --sender -le.L . /a b").unwrap();
        assert_eq!(arguments(&request, 31), b"--server\0--sender\0-le.L\0.\0folder/a\0folder/b\0\0");
        assert_eq!(arguments(&request, 29), b"--server\n--sender\n-le.L\n.\nfolder/a\nfolder/b\n\n");
    }
}
