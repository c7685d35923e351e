//! From the importer's words about the server to an address.

use std::path::PathBuf;
use std::time::Duration;

use shared::http::{BasicAuth, Http, HttpOptions, SetupError};
use shared::secret::Secret;
use shared::shutdown::Shutdown;

use super::{ImportOptions, ServerOptions};
use crate::discover::SiteId;
use crate::file::TextEncoding;
use crate::matomo::{Address, Matomo};
use crate::pipeline::Reading;

/// A list of visits is the largest answer asked for.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const ENDPOINT: &str = "/piwik.php";

impl ServerOptions {
    /// The address to talk to; what the options do not say comes from the settings.
    pub fn address(&self, url: &str, token: Option<Secret>, ledger_site: Option<SiteId>) -> Address {
        let url = self.url.as_deref().unwrap_or(url).trim_end_matches('/').to_owned();
        let api_url = self.api_url.as_deref().map_or_else(|| url.clone(), |api| api.trim_end_matches('/').to_owned());
        let endpoint = self.tracker_endpoint_path.as_deref().unwrap_or(ENDPOINT);
        let endpoint = format!("/{}", endpoint.trim_start_matches('/'));
        let token = self.token_auth.as_deref().map(Secret::new).or(token);
        Address { url, api_url, endpoint, suffix: self.request_suffix.clone(), token, ledger_site }
    }

    /// A client for an address; nothing is sent yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn connect(&self, address: Address, timeout: Duration, ca_file: Option<PathBuf>) -> Result<Matomo, SetupError> {
        let mut http = HttpOptions::named("Matomo/LogImport");
        http.https = [&address.url, &address.api_url].into_iter().any(|url| url.starts_with("https:"));
        http.deadline = timeout;
        http.answer_bytes_max = ANSWER_BYTES_MAX;
        http.ca_file = ca_file;
        http.accept_invalid_certificates = self.accept_invalid_ssl_certificate;
        http.basic_auth = self.basic_auth();
        Ok(Matomo::new(Http::new(http)?, address))
    }

    /// User and password for HTTP Basic, if a user is given.
    fn basic_auth(&self) -> Option<BasicAuth> {
        let user = self.auth_user.clone()?;
        Some(BasicAuth { user, password: Secret::new(self.auth_password.clone().unwrap_or_default()) })
    }
}

impl ImportOptions {
    /// How lines are read.
    pub fn reading(&self, shutdown: &Shutdown) -> Reading {
        Reading {
            format: self.format.clone(),
            encoding: self.encoding(),
            zone: self.hits.zone.clone(),
            shutdown: shutdown.clone(),
        }
    }

    /// How the bytes of a line become text: as `--encoding` says.
    pub fn encoding(&self) -> TextEncoding {
        self.encoding.as_deref().and_then(TextEncoding::named).unwrap_or(TextEncoding::Utf8)
    }
}
