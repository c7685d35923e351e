//! Matomo over HTTP, for a container without PHP: its archiving entry, by POST, so that the token is in no address and
//! in no log of a web server.

use std::time::Duration;

use serde_json::Value;
use shared::config::Address;
use shared::entry::Exit;
use shared::http::{Answer, FORM, Http, HttpError, HttpOptions, SetupError, form};
use shared::secret::Secret;

use crate::config::Settings;
use crate::judge::{Cause, Ending, Kind, Status, judge};
use crate::outcome::{Class, Outcome};
use crate::transcript::{Heard, Mark, Transcript};

/// Asking for the version, not for archiving.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// A piece of a line is taken for a line when the rest does not come within this.
const LINE_BYTES_MAX: usize = 16_000;

const HELP_GATEWAY: &str = "raise the time limit of the web server or proxy in front of Matomo (it must outlast an archiving), or use console mode; Matomo may still be at work";
const HELP_TOKEN: &str = "set MATOMO_TOKEN to the token of a superuser";
const HELP_NOT_MATOMO: &str = "see what answers at MATOMO_URL: it must be Matomo's own address, without index.php";

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
            Method::ScheduledTasks => Kind::Other,
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
    /// It is in maintenance mode, or has no time for us.
    #[error("Matomo is in maintenance mode (status 503)")]
    Maintenance,
    /// An answer that says no.
    #[error("Matomo answers with status {status}: {text}")]
    Refuses {
        /// The status.
        status: u16,
        /// How the answer begins.
        text: String,
    },
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
            None if answer.status == 503 => Err(Silent::Maintenance),
            None => Err(Silent::Refuses { status: answer.status, text: beginning(&answer.body) }),
        }
    }

    /// Asks for a job and reads its answer to the end; each line of it is given to `heard` as well.
    pub async fn run(&self, method: Method, said: &mut Transcript, mut heard: impl FnMut(Heard, &[u8])) -> Outcome {
        let mut lines = Lines::default();
        let (url, form) = (self.url(), self.form(method.name()));
        let each_part = |part: &[u8]| lines.feed(part, &mut |line| heard(said.hear(line), line));
        let ended = self.http.post_through(&url, FORM, form, each_part).await;
        lines.finish(&mut |line| heard(said.hear(line), line));
        match ended {
            Ok(answer) => outcome(method, said, &answer),
            Err(error) => no_answer(method, said, &error),
        }
    }
}

fn outcome(method: Method, said: &Transcript, answer: &Answer) -> Outcome {
    let is_page = answer.content_type.as_deref().is_some_and(|kind| kind.contains("html"));
    match answer.status {
        200 if is_page && !said.is_telling() && method == Method::Archive => {
            Outcome::new(Class::Failed, "the answer is a web page, not the report of an archiving")
                .exit(Exit::Unavailable)
                .help(HELP_NOT_MATOMO)
        }
        200 => judge(method.kind(), said, Ending::code(0)),
        401 | 403 => {
            Outcome::new(Class::Failed, format!("Matomo refuses the token (status {})", answer.status)).help(HELP_TOKEN)
        }
        502 | 504 => {
            let sentence = format!("the web server gave up waiting for Matomo (status {})", answer.status);
            Outcome::new(Class::Failed, sentence).help(HELP_GATEWAY)
        }
        503 => Outcome::new(Class::Maintenance, "Matomo is in maintenance mode (status 503), nothing was done"),
        300..=399 => {
            let to = answer.location.as_deref().map(crate::transcript::hide).unwrap_or_default();
            Outcome::new(Class::Failed, format!("Matomo sends us elsewhere (status {}, {to})", answer.status))
                .help(HELP_NOT_MATOMO)
        }
        500 if said.has(Mark::Memory) || said.has(Mark::Database) || said.errors_total.is_some() => {
            judge(method.kind(), said, Ending::code(255))
        }
        status => {
            let text = said.tail().last().unwrap_or("nothing");
            Outcome::new(Class::Failed, format!("Matomo answered with status {status}: {text}"))
        }
    }
}

fn no_answer(method: Method, said: &Transcript, error: &HttpError) -> Outcome {
    let sentence = crate::sentence(error);
    match error {
        HttpError::NotSent { .. } => {
            Outcome::new(Class::Failed, sentence).exit(Exit::Unavailable).help(HELP_NOT_MATOMO)
        }
        HttpError::TimedOut { .. } => {
            judge(method.kind(), said, Ending { status: Status::Code(0), cause: Cause::Limit })
        }
        HttpError::Closed { .. } | HttpError::TooLarge { .. } => {
            Outcome::new(Class::Failed, sentence).help(HELP_GATEWAY)
        }
    }
}

fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    crate::transcript::hide(&text.chars().take(200).collect::<String>())
}

/// Pieces of an answer to lines.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, mut part: &[u8], give: &mut impl FnMut(&[u8])) {
        while let Some(end) = part.iter().position(|byte| *byte == b'\n') {
            self.keep(&part[..end]);
            self.finish(give);
            part = &part[end + 1..];
        }
        self.keep(part);
    }

    /// The rest of an endless line is let go.
    fn keep(&mut self, part: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn finish(&mut self, give: &mut impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            give(self.begun.trim_ascii_end());
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str) -> Answer {
        let content_type = Some(content_type.to_owned());
        Answer { status, body: Vec::new(), content_type, location: None, elapsed: Duration::ZERO }
    }

    fn said(text: &str) -> Transcript {
        let mut said = Transcript::default();
        text.lines().for_each(|line| {
            said.hear(line.as_bytes());
        });
        said
    }

    #[test]
    fn an_answer_is_judged_by_status_and_text() {
        let class = |status, kind: &str, text: &str| outcome(Method::Archive, &said(text), &answer(status, kind)).class;
        assert_eq!(class(200, "text/plain", include_str!("transcript/samples/ok.txt")), Class::Ok);
        assert_eq!(class(200, "text/html", include_str!("transcript/samples/ok.txt")), Class::Ok);
        assert_eq!(class(200, "text/html", "<html>Installation</html>"), Class::Failed);
        assert_eq!(class(200, "application/json", "{\"result\":\"error\",\"message\":\"no\"}"), Class::Failed);
        assert_eq!(class(401, "application/json", ""), Class::Failed);
        assert_eq!(class(503, "text/html", ""), Class::Maintenance);
        assert_eq!(class(504, "text/html", ""), Class::Failed);
        assert_eq!(class(302, "text/html", ""), Class::Failed);
        assert_eq!(class(500, "text/html", "Allowed memory size of 1 bytes exhausted"), Class::Failed);
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces_and_bounded() {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for part in ["on", "e\r\ntw", "o\n\nthree", ""] {
            lines.feed(part.as_bytes(), &mut |line: &[u8]| found.push(String::from_utf8_lossy(line).into_owned()));
        }
        lines.finish(&mut |line: &[u8]| found.push(String::from_utf8_lossy(line).into_owned()));
        assert_eq!(found, ["one", "two", "three"]);
        let mut lines = Lines::default();
        (0..1_000).for_each(|_| lines.feed(&[b'x'; 1_000], &mut |_| {}));
        assert_eq!(lines.begun.len(), LINE_BYTES_MAX);
    }
}
