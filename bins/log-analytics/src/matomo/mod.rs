//! Stage 7: where hits go. Speaks Matomo's bulk tracking API, and asks Matomo what it already has.

mod api;
mod batch;
pub mod bulk;
mod clock;
mod delivery;
mod mark;
mod preflight;
mod reports;
mod size;

use std::cell::OnceCell;
use std::collections::HashSet;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::http::{self, Answer, Http, HttpError, Url};
use shared::secret::Secret;

pub use api::{ApiError, SiteFacts};
pub use batch::{Batch, BatchBuilder, parts};
pub use bulk::{Doubt, Outcome, Rejection, Seen};
pub use clock::ServerClock;
pub use delivery::{ConcurrencyLimit, Delivery, End, Question, Resolution, RetryPolicy, Throttle, missing, resolve};
pub use mark::{Announcement, Asked, Label, PageView, RECENT_SECONDS, Span, ToldPart, Trace, Wrapped};
pub use preflight::Refusal;
pub use reports::Invalidation;
pub use shared::words::sentence;
pub use size::Size;

use crate::discover::SiteId;

/// Where batches go: Matomo, a dry run, or the simulator that breaks the wire at every point.
pub trait Sink {
    /// What stands around the hits of a batch: its marks, and the token.
    fn wrap(&self, _label: &Label<'_>) -> Wrapped {
        Wrapped::plain()
    }

    /// Sends a batch once.
    fn send(&self, batch: &Batch) -> impl Future<Output = Outcome>;

    /// What the ledger site has of each batch; `None` where that cannot be found out.
    fn traces(&self, asked: &[Asked]) -> impl Future<Output = Result<Vec<Option<Trace>>, ApiError>>;

    /// Which of these hits are stored; `None` where that cannot be found out.
    fn stored(&self, span: &Span) -> impl Future<Output = Result<Option<HashSet<PageView>>, ApiError>>;
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
    /// The ledger site, once it was seen to take marks.
    ledger: Option<SiteFacts>,
    /// `],"token_auth":"…"}`: the token travels in the body only.
    end: String,
    /// How Matomo's clock goes, by its answers.
    clock: Rc<ServerClock>,
}

impl Matomo {
    /// A server at an address; nothing is sent yet.
    pub fn new(http: Http, address: Address) -> Self {
        let token = address
            .token
            .as_ref()
            .map_or_else(String::new, |token| format!(",\"token_auth\":{}", serde_json::Value::from(token.reveal())));
        let (tracker, clock) = (OnceCell::new(), Rc::default());
        Self { http, address, tracker, ledger: None, end: format!("]{token}}}"), clock }
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
        self.ledger = Some(ledger_site.clone());
    }

    /// How Matomo's clock goes, by its answers so far.
    pub fn clock(&self) -> &ServerClock {
        &self.clock
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
                self.clock.note(answer.date);
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
    fn wrap(&self, label: &Label<'_>) -> Wrapped {
        let Some(ledger) = self.ledger.as_ref().filter(|_| label.ledger_site.is_some()) else {
            return Wrapped { tail: self.end.clone(), ..Wrapped::default() };
        };
        let (first, behind) = mark::entries(ledger, label);
        let marks = 1 + behind.len() as u64;
        let tail = behind.iter().map(|mark| format!(",{mark}")).collect::<String>();
        Wrapped { head: format!("{first},"), tail: tail + &self.end, marks }
    }

    async fn send(&self, batch: &Batch) -> Outcome {
        let sent = batch.hits() + batch.marks;
        match self.send_body(batch.body.clone(), batch.hits(), sent).await {
            // All hits refused: the site as a whole, or each of them for its own sake (older than Matomo keeps raw data)?
            Outcome::Rejected(Rejection::NotAllowed) if self.probe(batch.site).await == preflight::Probe::Ready => {
                Outcome::Delivered(crate::ledger::Receipt { invalid: batch.hits(), ..Default::default() })
            }
            outcome => outcome,
        }
    }

    async fn traces(&self, asked: &[Asked]) -> Result<Vec<Option<Trace>>, ApiError> {
        self.traces(asked).await
    }

    async fn stored(&self, span: &Span) -> Result<Option<HashSet<PageView>>, ApiError> {
        self.page_views(span).await
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
