//! Access tokens: each lasts an hour or so, and the next one is there before.

mod endpoint;
mod kept;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::config::Value as _;
use shared::http::{HttpError, SetupError};

use crate::config::{Settings, TokenSource};
use crate::value::Password;
use endpoint::Fetcher;

/// How often a file with a token is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// When a token could not be had, mail may be waiting for it.
pub const TRY_AGAIN: Duration = Duration::from_secs(10);

/// A token, and when to ask for the next.
pub struct Granted {
    /// The token.
    pub token: Password,
    /// After this.
    pub again_in: Duration,
}

/// There is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was read or given cannot be one.
    #[error("what {place} holds is no token: it must be one line")]
    Odd {
        /// The file or the server.
        place: String,
    },
    /// The client for the server cannot be made.
    #[error(transparent)]
    Client(#[from] SetupError),
    /// The server gave no answer.
    #[error("the server of MTP_OAUTH_TOKEN_URL gave no token")]
    Silent(#[from] HttpError),
    /// The server answers, but not as it should.
    #[error("{place} answers {status} without a token")]
    NoToken {
        /// The server.
        place: String,
        /// Status of the answer.
        status: u16,
    },
    /// The server refuses.
    #[error("{place} refuses a token: {why}")]
    Refused {
        /// The server.
        place: String,
        /// In its own words.
        why: String,
    },
}

impl TokenError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            TokenError::File { .. } | TokenError::Odd { .. } => "see what writes the file of MTP_OAUTH_TOKEN_FILE",
            TokenError::Client(_) => "look at MTP_CA_FILE",
            TokenError::Silent(_) => "look at MTP_OAUTH_TOKEN_URL, and whether a firewall lets this container out",
            TokenError::NoToken { .. } => "look at MTP_OAUTH_TOKEN_URL",
            TokenError::Refused { .. } => {
                "look at MTP_OAUTH_CLIENT_ID and MTP_OAUTH_CLIENT_SECRET; sign in anew and set MTP_OAUTH_REFRESH_TOKEN if it has expired"
            }
        }
    }
}

/// Where tokens come from, one after the other.
pub enum Tokens {
    /// A file that somebody else keeps fresh.
    File(PathBuf),
    /// A server.
    Endpoint(Box<Fetcher>),
}

impl Tokens {
    /// The source that the settings name; nothing when the login is by password, or there is none.
    pub fn of(settings: &Settings) -> Option<Self> {
        let source = settings.route.tokens()?;
        Some(match source {
            TokenSource::File(path) => Self::File(path.as_path().to_owned()),
            TokenSource::Endpoint(endpoint) => {
                let ca_file = settings.ca_file.as_ref().map(|path| path.as_path().to_owned());
                Self::Endpoint(Box::new(Fetcher::new(endpoint.clone(), settings.place.queue_dir.as_path(), ca_file)))
            }
        })
    }

    /// The token that is current.
    ///
    /// # Errors
    /// When none can be had now.
    pub async fn next(&mut self) -> Result<Granted, TokenError> {
        match self {
            Self::File(path) => Ok(Granted { token: from_file(path)?, again_in: LOOK_AGAIN }),
            Self::Endpoint(fetcher) => fetcher.fetch().await,
        }
    }
}

fn from_file(path: &Path) -> Result<Password, TokenError> {
    let text = std::fs::read_to_string(path).map_err(|source| TokenError::File { path: path.to_owned(), source })?;
    Password::parse(text.trim()).map_err(|_| TokenError::Odd { place: path.display().to_string() })
}
