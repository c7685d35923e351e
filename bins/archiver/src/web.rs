//! Matomo over HTTP, for a container without PHP: its archiving entry, by POST, so that the token is in no address and
//! in no log of a web server. What a healthy Matomo answers to `API.getMatomoVersion` is measured (5.0.2); what its
//! archiving entry answers is not: it is judged by the same words as the console, and is never good without them.

mod answer;
mod lines;

use std::time::Duration;

use serde_json::Value;
use shared::config::Address;
use shared::entry::Exit;
use shared::http::{Answer, FORM, Http, HttpError, HttpOptions, SetupError, form};
use shared::secret::Secret;

use self::answer::{BodyKind, beginning, elsewhere, no_answer, outcome};
use self::lines::Lines;
use crate::config::Settings;
use crate::judge::Kind;
use crate::outcome::{Class, Outcome};
use crate::transcript::{Heard, Transcript};

/// Asking for the version, not for archiving.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

const HELP_TOKEN: &str = "set MATOMO_TOKEN to the token of a superuser";
const HELP_503: &str = "see that a Matomo runs behind MATOMO_URL, and that the proxy in front of it finds it";
const HELP_GZIP: &str =
    "nobody asked for a compressed answer: let the proxy in front of Matomo pass answers on as they are";

/// What Matomo is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Compute reports.
    Archive,
    /// Run the scheduled tasks.
    ScheduledTasks,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Archive => "CoreAdminHome.runCronArchiving",
            Method::ScheduledTasks => "CoreAdminHome.runScheduledTasks",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Method::Archive => Kind::Archive,
            Method::ScheduledTasks => Kind::ScheduledTasks,
        }
    }
}

/// A Matomo that is asked over HTTP.
#[derive(Clone, Debug)]
pub struct Web {
    address: Address,
    token: Secret,
    http: Http,
}

/// Matomo does not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum Silent {
    /// No answer.
    #[error("Matomo does not answer")]
    Http(#[from] HttpError),
    /// None in time.
    #[error("Matomo does not answer within {} seconds", PROBE_TIMEOUT.as_secs())]
    Slow,
    /// It is in maintenance mode.
    #[error("Matomo is in maintenance mode (status 503)")]
    Maintenance,
    /// Nobody tells whether it is in maintenance mode or not there at all.
    #[error("status 503, for matomo.js too: either no Matomo is behind the address, or it has no time for us")]
    Busy,
    /// The token is not good.
    #[error("Matomo refuses the token (status {status})")]
    Token {
        /// The status.
        status: u16,
    },
    /// An answer that sends us elsewhere.
    #[error("Matomo sends us elsewhere (status {status}, {to})")]
    Elsewhere {
        /// The status.
        status: u16,
        /// Where.
        to: String,
    },
    /// An answer that says no, or something else.
    #[error("Matomo answers with status {status}: {text}")]
    Refuses {
        /// The status.
        status: u16,
        /// How the answer begins.
        text: String,
    },
}

impl Silent {
    /// The outcome of a run that could not begin, when waiting would not help.
    pub fn settled(&self) -> Option<Outcome> {
        match self {
            Silent::Maintenance => Some(Outcome::new(Class::Maintenance, self.to_string())),
            Silent::Token { .. } => {
                Some(Outcome::new(Class::Failed, self.to_string()).exit(Exit::Unavailable).help(HELP_TOKEN))
            }
            _ => None,
        }
    }
}

impl Web {
    /// A client for an address and a token.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(settings: &Settings, address: Address, token: Secret) -> Result<Self, SetupError> {
        let options = HttpOptions {
            deadline: settings.timeout.get(),
            https: address.as_str().starts_with("https:"),
            ca_file: settings.ca_file.clone(),
            ..HttpOptions::named(concat!("matomo-archiver/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self { address, token, http: Http::new(options)? })
    }

    /// Where it is, for people.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn url(&self) -> String {
        format!("{}/index.php", self.address.as_str())
    }

    fn form(&self, method: &str) -> String {
        let token = self.token.reveal();
        form(&[("module", "API"), ("format", "json"), ("method", method), ("token_auth", token)])
    }

    /// The version of Matomo: it is up, its database too, and it knows the token.
    ///
    /// # Errors
    /// When one of these is not so.
    pub async fn version(&self) -> Result<String, Silent> {
        let url = self.url();
        let asked = self.http.post(&url, FORM, self.form("API.getMatomoVersion"));
        let answer = tokio::time::timeout(PROBE_TIMEOUT, asked).await.map_err(|_| Silent::Slow)??;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match value["value"].as_str().filter(|_| answer.status == 200) {
            Some(version) => Ok(version.to_owned()),
            None => Err(self.refusal(&answer).await),
        }
    }

    /// Whether the token is a superuser's, which archiving needs: `API.getMatomoVersion` answers to any token. Asked by
    /// `UsersManager.hasSuperUserAccess`, which answers for the token's own user when it names none; `None` when the
    /// answer is neither yes nor no.
    ///
    /// # Errors
    /// When Matomo does not answer.
    pub async fn is_superuser(&self) -> Result<Option<bool>, Silent> {
        let url = self.url();
        let asked = self.http.post(&url, FORM, self.form("UsersManager.hasSuperUserAccess"));
        let answer = tokio::time::timeout(PROBE_TIMEOUT, asked).await.map_err(|_| Silent::Slow)??;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(match &value["value"] {
            Value::Bool(yes) => Some(*yes),
            Value::Number(number) => Some(number.as_u64() == Some(1)),
            _ if value["result"] == "error" => Some(false),
            _ => None,
        })
    }

    async fn refusal(&self, answer: &Answer) -> Silent {
        let status = answer.status;
        match status {
            503 if self.serves_files().await => Silent::Maintenance,
            503 => Silent::Busy,
            401 | 403 => Silent::Token { status },
            300..=399 => Silent::Elsewhere { status, to: elsewhere(answer) },
            _ => Silent::Refuses { status, text: beginning(&answer.body) },
        }
    }

    /// In maintenance mode the web server goes on serving `matomo.js` (measured); a proxy with nobody behind it does not.
    async fn serves_files(&self) -> bool {
        let url = format!("{}/matomo.js", self.address.as_str());
        let asked = tokio::time::timeout(PROBE_TIMEOUT, self.http.get(&url)).await;
        asked.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
    }

    /// Asks for a job and reads its answer to the end; each line of it is given to `heard` as well.
    pub async fn run(&self, method: Method, said: &mut Transcript, mut heard: impl FnMut(Heard, &[u8])) -> Outcome {
        let mut lines = Lines::default();
        let mut kind = None;
        let (url, form) = (self.url(), self.form(method.name()));
        let each_part = |part: &[u8]| {
            if *kind.get_or_insert_with(|| BodyKind::of(part)) != BodyKind::Compressed {
                lines.feed(part, &mut |line| heard(said.hear(line), line));
            }
        };
        let ended = self.http.post_through(&url, FORM, form, each_part).await;
        lines.finish(&mut |line| heard(said.hear(line), line));
        let is_page = kind == Some(BodyKind::Page);
        let outcome = match ended {
            Ok(_) if kind == Some(BodyKind::Compressed) => {
                Outcome::new(Class::Unclear, "the answer is compressed and was not read").help(HELP_GZIP)
            }
            Ok(answer) if answer.status == 503 => match self.refusal(&answer).await {
                paused @ Silent::Maintenance => Outcome::new(Class::Maintenance, paused.to_string()),
                trouble => Outcome::new(Class::Failed, trouble.to_string()).exit(Exit::Unavailable).help(HELP_503),
            },
            Ok(answer) => outcome(method, said, &answer, is_page),
            Err(error) => no_answer(&error),
        };
        if is_page {
            said.drop_tail();
        }
        outcome
    }
}
