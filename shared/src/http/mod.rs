//! One HTTP client with limits; its errors say whether the request may have arrived.

mod error;
mod form;
mod roots;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

pub use reqwest::Url;
use reqwest::{Body, Client, RequestBuilder, Response, header, redirect};

pub use error::{HttpError, Place, SetupError, Trouble};
pub use form::{FORM, form};

use crate::secret::Secret;

/// Apache closes a quiet connection after 5 seconds by default; a request that meets that moment would be
/// in doubt, so ours are given up before.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(4);

/// How a client behaves; start from [`HttpOptions::named`].
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Sent as `User-Agent`.
    pub user_agent: String,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest time from the call to the last byte of the answer.
    pub deadline: Duration,
    /// Largest answer that is read.
    pub answer_bytes_max: usize,
    /// Whether an `https` address will be asked. Loading the certificates takes 2 MiB and some milliseconds.
    pub https: bool,
    /// PEM file of certificates to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Talk to a server that nobody vouches for.
    pub accept_invalid_certificates: bool,
    /// User and password, for a server behind a door.
    pub basic_auth: Option<BasicAuth>,
    /// A host name and the one address to reach it at, to ask one of several servers that share the name.
    pub at: Option<(String, SocketAddr)>,
}

/// User and password for HTTP basic authentication.
#[derive(Clone, Debug)]
pub struct BasicAuth {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

impl HttpOptions {
    /// Options that suit a server in the same stack: 10 s to connect, 60 s in all, answers up to 1 MiB.
    pub fn named(user_agent: impl Into<String>) -> Self {
        Self {
            user_agent: user_agent.into(),
            connect_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(60),
            answer_bytes_max: 1 << 20,
            https: true,
            ca_file: None,
            accept_invalid_certificates: false,
            basic_auth: None,
            at: None,
        }
    }
}

/// What a server said, whatever its status; a redirect is an answer as well and is not followed.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
    /// `Content-Type`, if given as text.
    pub content_type: Option<String>,
    /// `Location`, if given as text.
    pub location: Option<String>,
    /// `Date`: how late it was where the answer was made.
    pub date: Option<SystemTime>,
    /// From the call to the last byte.
    pub elapsed: Duration,
}

/// The client. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    basic_auth: Option<BasicAuth>,
    answer_bytes_max: usize,
}

impl Http {
    /// Makes a client; reads the root certificates, and nothing from the network.
    pub fn new(options: HttpOptions) -> Result<Self, SetupError> {
        // Another part of the program may have done it before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder();
        if let Some((name, address)) = &options.at {
            builder = builder.resolve(name, *address);
        }
        let client = builder
            .user_agent(options.user_agent)
            .connect_timeout(options.connect_timeout)
            .timeout(options.deadline)
            .pool_idle_timeout(IDLE_CONNECTION_MAX)
            .http1_only()
            .tcp_nodelay(true)
            .redirect(redirect::Policy::none())
            // Whether a request may be repeated is for the caller to decide.
            .retry(reqwest::retry::never())
            .tls_certs_only(if options.https { roots::trusted(options.ca_file.as_deref())? } else { Vec::new() })
            .tls_danger_accept_invalid_certs(options.accept_invalid_certificates)
            .build()
            .map_err(|source| SetupError::Client { source })?;
        Ok(Self { client, basic_auth: options.basic_auth, answer_bytes_max: options.answer_bytes_max })
    }

    /// Sends a body and reads the answer.
    pub async fn post(&self, url: &str, content_type: &str, body: impl Into<Body>) -> Result<Answer, HttpError> {
        self.post_to(&parse(url)?, content_type, body).await
    }

    /// The same to an address that was parsed before.
    pub async fn post_to(&self, url: &Url, content_type: &str, body: impl Into<Body>) -> Result<Answer, HttpError> {
        let request = self.client.post(url.clone()).header(header::CONTENT_TYPE, content_type).body(body);
        self.whole(url, request).await
    }

    /// As [`Http::post`], for an answer of any size: `reader` gets it piece by piece, and the body in the
    /// [`Answer`] stays empty.
    pub async fn post_through(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Body>,
        mut reader: impl FnMut(&[u8]),
    ) -> Result<Answer, HttpError> {
        let url = parse(url)?;
        let request = self.client.post(url.clone()).header(header::CONTENT_TYPE, content_type).body(body);
        let piece = |part: &[u8]| {
            reader(part);
            Ok(())
        };
        self.exchange(&url, request, piece).await
    }

    /// Asks for something.
    pub async fn get(&self, url: &str) -> Result<Answer, HttpError> {
        let url = parse(url)?;
        self.whole(&url, self.client.get(url.clone())).await
    }

    /// Keeps the answer, up to the size agreed.
    async fn whole(&self, url: &Url, request: RequestBuilder) -> Result<Answer, HttpError> {
        let mut body = Vec::new();
        let keep = |part: &[u8]| {
            if body.len() + part.len() > self.answer_bytes_max {
                return Err(HttpError::TooLarge { place: Place::of(url), bytes_max: self.answer_bytes_max });
            }
            body.extend_from_slice(part);
            Ok(())
        };
        let answer = self.exchange(url, request, keep).await?;
        Ok(Answer { body, ..answer })
    }

    async fn exchange(
        &self,
        url: &Url,
        request: RequestBuilder,
        mut piece: impl FnMut(&[u8]) -> Result<(), HttpError>,
    ) -> Result<Answer, HttpError> {
        let begin = Instant::now();
        let request = match &self.basic_auth {
            Some(door) => request.basic_auth(&door.user, Some(door.password.reveal())),
            None => request,
        };
        let failed = |error| HttpError::of(Place::of(url), error);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let content_type = text_of(&response, header::CONTENT_TYPE);
        let location = text_of(&response, header::LOCATION);
        let date = text_of(&response, header::DATE).and_then(|text| date_of(&text));
        // A body that ends early is an error here, never a short answer.
        while let Some(part) = response.chunk().await.map_err(failed)? {
            piece(&part)?;
        }
        Ok(Answer { status, body: Vec::new(), content_type, location, date, elapsed: begin.elapsed() })
    }
}

/// Reads the address of an http or https server.
pub fn parse(url: &str) -> Result<Url, HttpError> {
    let refused = |source| HttpError::NotSent { place: Place::unknown(), source };
    let url = Url::parse(url).map_err(|error| refused(Trouble::from_text(error.to_string())))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(refused(Trouble::from_text("not an http or https address".to_owned()))),
    }
}

/// Reads a date as HTTP writes it (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date_of(text: &str) -> Option<SystemTime> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(SystemTime::from(date.timestamp()))
}

fn text_of(response: &Response, name: header::HeaderName) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}
