//! The way of mail that leaves with an access token (XOAUTH2). No plugin of Debian 12 lets Postfix log in by token, so Postfix
//! hands such mail over on the loopback, and this gate encrypts, logs in and passes on what the two say to each other.

mod session;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use shared::entry::{Exit, Failure};
use tracing::{error, info};

use crate::config::{Settings, Upstream};
use crate::relay_probe::Client;
use crate::token::{Granted, TRY_AGAIN, TokenError, Tokens};
use crate::value::{Password, Port};

/// The token that is current; none while none could be had, and then mail waits.
#[derive(Clone, Default)]
struct Current(Arc<Mutex<Option<Password>>>);

impl Current {
    fn get(&self) -> Option<Password> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is another one than before.
    fn set(&self, token: Password) -> bool {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = current.as_ref().is_none_or(|old| old.reveal() != token.reveal());
        *current = Some(token);
        is_new
    }
}

/// All that a connection needs to know.
struct Way {
    relay: Upstream,
    client: Client,
    current: Current,
}

/// The gate, and where its tokens come from.
pub struct Gate {
    tokens: Tokens,
    current: Current,
}

impl Gate {
    /// Opens it, if the login is by token.
    ///
    /// # Errors
    /// When somebody else listens there.
    pub fn open(settings: &Settings) -> Result<Option<Self>, Failure> {
        let (Some(tokens), Some(address), Some(relay)) =
            (Tokens::of(settings), settings.gate(), settings.route.relay.clone())
        else {
            return Ok(None);
        };
        let listener = TcpListener::bind(address).map_err(|error| busy(address, &error))?;
        let current = Current::default();
        serve(listener, Way { relay, client: Client::of(settings), current: current.clone() })?;
        Ok(Some(Self { tokens, current }))
    }

    /// Opens one for a token that is at hand, on a port that nobody has, as long as this program runs: for a trial.
    ///
    /// # Errors
    /// When there is no port.
    pub fn open_for(settings: &Settings, relay: &Upstream, token: &Password) -> Result<Port, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(address).map_err(|error| busy(address, &error))?;
        let port = listener.local_addr().map_err(|error| busy(address, &error))?.port();
        let current = Current::default();
        current.set(token.clone());
        serve(listener, Way { relay: relay.clone(), client: Client::of(settings), current })?;
        Ok(Port::new(port))
    }

    /// Gets the first token; after how long the next is due. Postfix starts without one too: what it accepts waits.
    pub async fn begin(&mut self) -> Duration {
        match self.tokens.next().await {
            Ok(Granted { token, again_in }) => {
                if self.current.set(token) {
                    info!("there is a new token for the relay");
                }
                again_in
            }
            Err(error) => tell(&error),
        }
    }

    /// Keeps the token current from then on.
    pub async fn keep(mut self, mut pause: Duration) -> Infallible {
        loop {
            tokio::time::sleep(pause).await;
            pause = self.begin().await;
        }
    }
}

fn busy(address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Unavailable, format!("cannot listen on {address}: {error}"))
        .help("stop the other program, or set MTP_OAUTH_PORT")
}

fn tell(error: &TokenError) -> Duration {
    let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
    error!(
        reason = format!("{error}{why}"),
        help = error.help(),
        "there is no token for the relay: mail waits until there is one"
    );
    TRY_AGAIN
}

fn serve(listener: TcpListener, way: Way) -> Result<(), Failure> {
    let listening = thread::Builder::new().name("gate".to_owned()).spawn(move || listen(&listener, &Arc::new(way)));
    listening.map(drop).map_err(|error| Failure::new(Exit::Software, error))
}

fn listen(listener: &TcpListener, way: &Arc<Way>) {
    for stream in listener.incoming().flatten() {
        let way = Arc::clone(way);
        // Postfix itself limits how many there are; one that cannot be served is closed, and mail waits.
        let _ = thread::Builder::new().name("gate".to_owned()).spawn(move || session::serve(stream, &way));
    }
}
