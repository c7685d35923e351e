//! The server that gives access tokens for a lasting one (OAuth 2.0, RFC 6749, section 6).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use shared::config::Value as _;
use shared::http::{Answer, FORM, Http, HttpOptions, form};
use shared::secret::Secret;

use super::kept::Kept;
use super::{Granted, TokenError};
use crate::config::Endpoint;
use crate::value::Password;

/// The relay starts without a token rather than wait longer for one.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// What a token lasts when the server does not say.
const LIFE_DEFAULT_SECONDS: u64 = 3_600;
const LIFE_MIN_SECONDS: u64 = 4;
/// More than a server says about an error.
const WHY_CHARS_MAX: usize = 200;

/// Fetches one token after the other.
pub struct Fetcher {
    endpoint: Endpoint,
    kept: Kept,
    ca_file: Option<PathBuf>,
}

/// An answer that holds a token.
#[derive(Deserialize)]
struct Given {
    access_token: String,
    /// Seconds; some servers write them as text.
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    /// Takes the place of the one that was used.
    #[serde(default)]
    refresh_token: Option<String>,
}

/// An answer that holds none.
#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Fetcher {
    /// The next lasting token, where the server gives one with each access token, is kept in `folder`.
    pub fn new(endpoint: Endpoint, folder: &Path, ca_file: Option<PathBuf>) -> Self {
        let kept = Kept::in_folder(folder, &endpoint.refresh_token);
        Self { endpoint, kept, ca_file }
    }

    /// Asks for a token.
    pub async fn fetch(&mut self) -> Result<Granted, TokenError> {
        let Endpoint { url, client_id, client_secret, .. } = &self.endpoint;
        let lasting = self.kept.latest();
        let mut pairs =
            vec![("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", lasting.reveal())];
        if let Some(secret) = client_secret {
            pairs.push(("client_secret", secret.reveal()));
        }
        let answer = self.client()?.post(url.as_str(), FORM, form(&pairs)).await?;
        let given = read(&answer, &url.to_string())?;
        if let Some(next) = given.refresh_token.filter(|next| next != lasting.reveal()) {
            self.kept.replace(Secret::new(next));
        }
        let odd = |_| TokenError::Odd { place: url.to_string() };
        Ok(Granted { token: Password::parse(&given.access_token).map_err(odd)?, again_in: renewal(given.expires_in) })
    }

    /// Made for each question: an hour lies between two.
    fn client(&self) -> Result<Http, TokenError> {
        let mut options = HttpOptions::named(concat!("postfix-config/", env!("CARGO_PKG_VERSION")));
        options.connect_timeout = ANSWER_MAX;
        options.deadline = ANSWER_MAX;
        options.https = self.endpoint.url.as_str().starts_with("https:");
        options.ca_file.clone_from(&self.ca_file);
        Ok(Http::new(options)?)
    }
}

fn read(answer: &Answer, place: &str) -> Result<Given, TokenError> {
    if let Ok(given) = serde_json::from_slice::<Given>(&answer.body) {
        return Ok(given);
    }
    match serde_json::from_slice::<Refused>(&answer.body) {
        Ok(Refused { error, error_description }) => {
            let why = format!("{error} {error_description}").replace(|c: char| c.is_control(), " ");
            let why = why.trim().chars().take(WHY_CHARS_MAX).collect();
            Err(TokenError::Refused { place: place.to_owned(), why })
        }
        Err(_) => Err(TokenError::NoToken { place: place.to_owned(), status: answer.status }),
    }
}

/// Three quarters of its life: the next one is there before this one ends.
fn renewal(expires_in: Option<serde_json::Value>) -> Duration {
    let seconds = expires_in.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    Duration::from_secs(seconds.unwrap_or(LIFE_DEFAULT_SECONDS).max(LIFE_MIN_SECONDS)) * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.into(), content_type: None, location: None, date: None, elapsed: Duration::ZERO }
    }

    #[test]
    fn a_token_is_renewed_before_its_end() {
        let after = |text: &str| renewal(serde_json::from_str(text).ok()).as_secs();
        assert_eq!([after("3600"), after("\"400\""), after("null"), after("0")], [2_700, 300, 2_700, 3]);
    }

    #[test]
    fn an_answer_is_a_token_a_refusal_or_neither() {
        let given = read(&answer(200, r#"{"access_token":"t","expires_in":9}"#), "p").unwrap();
        assert_eq!((given.access_token.as_str(), given.refresh_token), ("t", None));
        let refusal =
            read(&answer(400, "{\"error\":\"invalid_grant\",\"error_description\":\"gone\\nfor good\"}"), "p");
        assert_eq!(refusal.err().unwrap().to_string(), "p refuses a token: invalid_grant gone for good");
        let neither = read(&answer(502, "<html>"), "p");
        assert_eq!(neither.err().unwrap().to_string(), "p answers 502 without a token");
    }
}
