//! What can go wrong with a request, sorted by the one question that matters: may it have arrived?

use std::{error::Error, fmt, io, path::PathBuf};

use reqwest::Url;

use crate::entry::{Exit, Failure};

/// A request that got no usable answer. It never holds a query, a user or a body.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The request certainly never left: safe to repeat.
    #[error("cannot reach {place}")]
    NotSent {
        /// Where it should have gone.
        place: Place,
        /// Why.
        source: Trouble,
    },
    /// The deadline passed: the request may have arrived.
    #[error("no answer in time from {place}")]
    TimedOut {
        /// Where it went.
        place: Place,
        /// What was waited for.
        source: Trouble,
    },
    /// The connection ended before the end of the answer: the request may have arrived.
    #[error("the connection was closed before the end of the answer from {place}")]
    Closed {
        /// Where it went.
        place: Place,
        /// How it ended.
        source: Trouble,
    },
    /// The answer is larger than agreed: the request has arrived.
    #[error("the answer from {place} is larger than {bytes_max} bytes")]
    TooLarge {
        /// Where it went.
        place: Place,
        /// The limit.
        bytes_max: usize,
    },
}

impl HttpError {
    /// Whether the request certainly never left, so that repeating it cannot do anything twice.
    pub fn never_left(&self) -> bool {
        matches!(self, HttpError::NotSent { .. })
    }

    /// What went wrong without where, for addresses that are secrets themselves.
    pub fn reason(&self) -> String {
        match self {
            HttpError::NotSent { source, .. } => format!("the server cannot be reached: {source}"),
            HttpError::TimedOut { .. } => "no answer in time".to_owned(),
            HttpError::Closed { source, .. } => {
                format!("the connection was closed before the end of the answer: {source}")
            }
            HttpError::TooLarge { bytes_max, .. } => format!("the answer is larger than {bytes_max} bytes"),
        }
    }

    pub(super) fn of(place: Place, error: reqwest::Error) -> Self {
        let never_left = error.is_connect() || error.is_builder();
        let timed_out = error.is_timeout();
        let source = Trouble::from_error(error);
        // A connection that was not made in time is a timeout too, but nothing was sent over it.
        match (never_left, timed_out) {
            (true, _) => HttpError::NotSent { place, source },
            (false, true) => HttpError::TimedOut { place, source },
            (false, false) => HttpError::Closed { place, source },
        }
    }
}

/// Host, port and path of an address: enough to find the server, and nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    pub(super) fn of(url: &Url) -> Self {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Self(format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path()))
    }

    pub(super) fn unknown() -> Self {
        Self("the server".to_owned())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an exchange failed, in the words of the layer that knows best.
#[derive(Debug)]
pub struct Trouble(String);

impl Trouble {
    pub(super) fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The innermost cause: the layers above only repeat that sending failed.
    fn from_error(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let causes = std::iter::successors(Some(&error as &(dyn Error + 'static)), |&cause| cause.source());
        Self(causes.last().map(ToString::to_string).unwrap_or_default())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Trouble {}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file of certificates cannot be read.
    #[error("cannot read the certificates at {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of certificates holds none.
    #[error("there is no usable PEM certificate in {}", path.display())]
    NoCertificates {
        /// The file.
        path: PathBuf,
    },
    /// The library refuses its options, for example a certificate or the user agent.
    #[error("cannot set up the HTTP client")]
    Client {
        /// Why.
        source: reqwest::Error,
    },
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Failure::new(Exit::Config, error).help("name a readable PEM file with at least one certificate, or none")
    }
}
