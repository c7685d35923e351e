//! A login by an access token in place of a password (XOAUTH2): where the token that is current comes from.

use shared::config::{Address, Declared, Reader, Setting};
use shared::secret::Secret;

use crate::value::CleanPath;

shared::settings! {
    /// The variables about it.
    pub struct TokenSettings {
        /// File with the access token that logs in at MTP_RELAY in place of a password (XOAUTH2). Somebody else keeps it fresh; it is looked at every few seconds.
        pub file: Option<CleanPath> = optional("MTP_OAUTH_TOKEN_FILE").example("/run/oauth/token"),
        /// Where access tokens are fetched that log in at MTP_RELAY in place of a password (XOAUTH2), and fetched anew before they expire.
        pub url: Option<Address> = optional("MTP_OAUTH_TOKEN_URL").formerly(&["XOAUTH2_TOKEN_ENDPOINT"]).example("https://login.example.org/oauth2/token"),
        /// Name of this installation at MTP_OAUTH_TOKEN_URL.
        pub client_id: Option<String> = optional("MTP_OAUTH_CLIENT_ID").formerly(&["XOAUTH2_CLIENT_ID"]),
        /// Password of MTP_OAUTH_CLIENT_ID, where the provider gave one.
        pub client_secret: Option<Secret> = optional("MTP_OAUTH_CLIENT_SECRET").formerly(&["XOAUTH2_SECRET"]),
        /// The lasting token of somebody who has signed in: with it, access tokens are fetched.
        pub refresh_token: Option<Secret> = optional("MTP_OAUTH_REFRESH_TOKEN").formerly(&["XOAUTH2_INITIAL_REFRESH_TOKEN"]),
    }
}

/// Where the token that is current comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// A file that somebody else keeps fresh.
    File(CleanPath),
    /// A server that gives one for a lasting token.
    Endpoint(Endpoint),
}

/// A server that gives access tokens, and what it is told of us.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its address.
    pub url: Address,
    /// Our name.
    pub client_id: String,
    /// Our password.
    pub client_secret: Option<Secret>,
    /// The lasting token, as it was set.
    pub refresh_token: Secret,
}

/// A source, if one is set.
#[derive(Debug, Clone)]
pub struct Tokens(pub Option<TokenSource>);

impl Declared for Tokens {
    fn declared() -> Vec<Setting> {
        TokenSettings::declared()
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        match source(TokenSettings::read(reader)?) {
            Ok(source) => Some(Self(source)),
            Err(clash) => {
                reader.clash(clash);
                None
            }
        }
    }
}

fn source(settings: TokenSettings) -> Result<Option<TokenSource>, String> {
    let TokenSettings { file, url, client_id, client_secret, refresh_token } = settings;
    let set: Vec<&str> = [
        url.as_ref().map(|_| "MTP_OAUTH_TOKEN_URL"),
        client_id.as_ref().map(|_| "MTP_OAUTH_CLIENT_ID"),
        client_secret.as_ref().map(|_| "MTP_OAUTH_CLIENT_SECRET"),
        refresh_token.as_ref().map(|_| "MTP_OAUTH_REFRESH_TOKEN"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match (file, url, client_id, refresh_token) {
        (None, None, None, None) if set.is_empty() => Ok(None),
        (Some(file), None, None, None) if set.is_empty() => Ok(Some(TokenSource::File(file))),
        (Some(_), ..) => Err(format!(
            "MTP_OAUTH_TOKEN_FILE is set, and {} too: tokens come from a file or from a server, keep one of them",
            set.join(", ")
        )),
        (None, Some(url), Some(client_id), Some(refresh_token)) => {
            let endpoint = Endpoint { url, client_id, client_secret, refresh_token };
            endpoint.is_private().then_some(Some(TokenSource::Endpoint(endpoint))).ok_or_else(|| {
                "MTP_OAUTH_TOKEN_URL begins with http://, but tokens are secrets: set an https:// address".to_owned()
            })
        }
        _ => Err(format!(
            "{} is set, but fetching tokens needs MTP_OAUTH_TOKEN_URL, MTP_OAUTH_CLIENT_ID and MTP_OAUTH_REFRESH_TOKEN: set them all",
            set.join(", ")
        )),
    }
}

impl Endpoint {
    /// Whether nobody on the way can read what is sent: it is encrypted, or does not leave this machine.
    fn is_private(&self) -> bool {
        let Some(rest) = self.url.as_str().strip_prefix("http://") else { return true };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        name == "localhost"
            || name == "[::1]"
            || name.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback())
    }
}
