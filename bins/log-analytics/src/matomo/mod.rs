//! Stage 7: where hits go. Speaks Matomo's bulk tracking API, and asks Matomo what it already has.

mod api;
mod batch;
pub mod bulk;
mod mark;
mod preflight;
mod recorder;
mod reports;
mod size;

use std::cell::OnceCell;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::http::{self, Answer, Http, HttpError, Url};
use shared::secret::Secret;

pub use api::{ApiError, SiteFacts};
pub use batch::{Batch, Filling};
pub use bulk::{Doubt, Outcome, Rejection, Seen};
pub use mark::{Asked, RECENT_SECONDS};
pub use preflight::Refusal;
pub use recorder::{Delivery, End, Hands, Patience, Settled, Throttle, resolve};
pub use reports::Invalidation;
pub use shared::words::sentence;
pub use size::Size;

use crate::discover::SiteId;
use crate::ledger::Mark;

/// Where batches go: Matomo, a dry run, or the simulator that breaks the wire at every point.
pub trait Sink {
    /// The end of a batch's body, behind its last hit.
    fn end_of_body(&self, _mark: Mark) -> String {
        "]}".to_owned()
    }

    /// Sends a batch once.
    fn send(&self, batch: &Batch) -> impl Future<Output = Outcome>;

    /// How often each of these batches arrived; `None` where that cannot be found out.
    fn arrived(&self, asked: &[Asked]) -> impl Future<Output = Result<Vec<Option<usize>>, ApiError>>;
}

/// How to reach Matomo.
#[derive(Debug, Clone)]
pub struct Address {
    /// Base address for tracking, without a trailing slash.
    pub url: String,
    /// Base address for the API.
    pub api_url: String,
    /// Path of the tracker, with its leading slash.
    pub endpoint: String,
    /// Appended to the query string of every request.
    pub suffix: Option<String>,
    /// The token, sent in bodies only.
    pub token: Option<Secret>,
    /// The site that receives marks.
    pub ledger_site: Option<SiteId>,
}

impl Address {
    fn tracker(&self) -> String {
        let suffix = self.suffix.iter().flat_map(|suffix| ["&", suffix]).collect::<String>();
        format!("{}{}?queuedtracking=0{suffix}", self.url, self.endpoint)
    }
}

/// A Matomo server.
#[derive(Clone)]
pub struct Matomo {
    http: Http,
    address: Address,
    /// Where batches go, once one was sent: to parse an address takes as long as to read a good many lines.
    tracker: OnceCell<Url>,
    mark_json: Option<String>,
    /// `],"token_auth":"…"}`: the token travels in the body only.
    end: String,
}

impl Matomo {
    /// A server at an address; nothing is sent yet.
    pub fn new(http: Http, address: Address) -> Self {
        let token = address
            .token
            .as_ref()
            .map_or_else(String::new, |token| format!(",\"token_auth\":{}", serde_json::Value::from(token.reveal())));
        Self { http, address, tracker: OnceCell::new(), mark_json: None, end: format!("]{token}}}") }
    }

    /// Its base address, as it may be shown: without user, password and query.
    pub fn url(&self) -> String {
        shown(&self.address.url)
    }

    /// The site that receives marks.
    pub fn ledger_site(&self) -> Option<SiteId> {
        self.address.ledger_site
    }

    /// Uses the ledger site from now on; its hits need an address that the site accepts.
    pub fn mark_on(&mut self, ledger_site: &SiteFacts) {
        self.mark_json = Some(mark::json(ledger_site));
    }

    async fn bulk(&self, body: Bytes) -> Result<Answer, HttpError> {
        let tracker = match self.tracker.get() {
            Some(known) => known,
            None => {
                let url = http::parse(&self.address.tracker())?;
                self.tracker.get_or_init(|| url)
            }
        };
        self.http.post_to(tracker, "application/json", body).await
    }

    async fn send_body(&self, body: Bytes, hits: u64, sent: u64) -> Outcome {
        let begin = Instant::now();
        match self.bulk(body).await {
            Ok(answer) => {
                let answered = bulk::Answered {
                    status: answer.status,
                    body: &answer.body,
                    location: answer.location.as_deref(),
                    elapsed: answer.elapsed,
                };
                bulk::judge(answered, hits, sent)
            }
            Err(error) => outcome_of(&error, begin.elapsed()),
        }
    }
}

impl Sink for Matomo {
    fn end_of_body(&self, mark: Mark) -> String {
        let mark = self.mark_json.as_ref().map_or_else(String::new, |json| format!(",{}", mark::fill(json, mark)));
        format!("{mark}{}", self.end)
    }

    async fn send(&self, batch: &Batch) -> Outcome {
        let sent = batch.hits() + u64::from(self.mark_json.is_some());
        match self.send_body(batch.body.clone(), batch.hits(), sent).await {
            // All hits refused: the site as a whole, or each of them for its own sake (older than Matomo keeps raw data)?
            Outcome::Rejected(Rejection::NotAllowed) if self.probe(batch.site).await == preflight::Probe::Ready => {
                Outcome::Delivered(crate::ledger::Receipt { invalid: batch.hits(), ..Default::default() })
            }
            outcome => outcome,
        }
    }

    async fn arrived(&self, asked: &[Asked]) -> Result<Vec<Option<usize>>, ApiError> {
        self.times_arrived(asked).await
    }
}

fn outcome_of(error: &HttpError, elapsed: Duration) -> Outcome {
    let why = sentence(error);
    let seen = match error {
        HttpError::NotSent { .. } => return Outcome::Transient(why),
        HttpError::TimedOut { .. } => Seen::Timeout,
        HttpError::Closed { .. } => Seen::Closed,
        HttpError::TooLarge { .. } => Seen::Answer,
    };
    Outcome::InDoubt(Doubt { seen, why, elapsed })
}

fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(shown("https://u:p@matomo.example/a@b?token_auth=1"), "https://matomo.example/a@b");
        assert_eq!(shown("http://matomo:8080"), "http://matomo:8080");
    }
}
