//! The tracking end point: what a body holds, what Matomo thinks of each hit, and the answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::hit::Hit;
use super::reply::Reply;
use super::request::Outcome;
use super::store::Store;
use super::transaction::{End, Transaction};
use super::{Rights, Switch, query};
use crate::fault::{Broken, Fault};

const LOGIN_PAGE: &str = "<!DOCTYPE html><html><body>Please log in</body></html>";
const GATEWAY_PAGE: &str = "<html>Bad Gateway</html>";

/// What a tracking request carries.
#[derive(Debug, PartialEq)]
pub enum Parcel {
    /// A bulk request: hits, or empty entries, and the token.
    Bulk(Vec<Option<Hit>>, String),
    /// One hit as a query, perhaps without any parameter.
    Single(Hit, String),
    /// Looks like a bulk request, but PHP's JSON reader would refuse it.
    Unreadable,
}

impl Parcel {
    /// Read query and body. Matomo tells a bulk request by the word `"requests"` in the body, whatever its type.
    pub fn open(query: &str, body: &[u8]) -> Self {
        if !mentions(body, br#""requests""#) && !mentions(body, b"'requests'") {
            let mut map = query::parameters(query);
            map.append(&mut query::parameters(&String::from_utf8_lossy(body)));
            let token = map.remove("token_auth").and_then(|token| token.as_str().map(str::to_owned));
            return Parcel::Single(Hit(map), token.unwrap_or_default());
        }
        let Ok(Value::Object(document)) = serde_json::from_slice::<Value>(body) else {
            return Parcel::Unreadable;
        };
        let Some(Value::Array(entries)) = document.get("requests") else {
            return Parcel::Unreadable;
        };
        let token = document.get("token_auth").and_then(Value::as_str).unwrap_or_default();
        Parcel::Bulk(entries.iter().filter_map(entry).collect(), token.to_owned())
    }

    /// How many entries it has.
    pub fn entries(&self) -> usize {
        match self {
            Parcel::Bulk(hits, _) => hits.len(),
            Parcel::Single(hit, _) => usize::from(!hit.0.is_empty()),
            Parcel::Unreadable => 0,
        }
    }
}

/// One entry of the list; a query string without parameters is dropped, so that later indices shift, as in Matomo.
fn entry(value: &Value) -> Option<Option<Hit>> {
    match value {
        Value::Object(map) => Some(Some(Hit(map.clone()))),
        Value::String(text) => {
            let map = text.split_once('?').map_or_else(Map::new, |(_, query)| query::parameters(query));
            (!map.is_empty()).then_some(Some(Hit(map)))
        }
        _ => Some(None),
    }
}

fn mentions(body: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(body, word).is_some()
}

/// Judge a request and store its hits: the answer, and how the request ended.
pub async fn track(store: &Arc<Store>, path: &str, parcel: Parcel, fault: Option<Fault>) -> (Reply, Outcome) {
    if let Some(refused) = refuse(store, path, &parcel, fault) {
        return refused;
    }
    match parcel {
        Parcel::Bulk(hits, token) => track_bulk(store, hits, &token, fault).await,
        Parcel::Single(hit, token) => track_single(store, hit, &token).await,
        Parcel::Unreadable => (nothing_tracked(), Outcome::Unreadable),
    }
}

async fn track_bulk(store: &Arc<Store>, hits: Vec<Option<Hit>>, token: &str, fault: Option<Fault>) -> (Reply, Outcome) {
    let mut batch = Batch::of(store, hits, token);
    batch.loses_hits(fault);
    if let Some(fault) = fault
        && let Some((reply, delay)) = late(fault)
    {
        store_later(store, batch, delay);
        return (reply, Outcome::Fault(fault));
    }
    let deadlock_at = match fault {
        Some(Fault::Deadlock(lost)) => Some(lost.of(batch.good.len())),
        _ => None,
    };
    let good = std::mem::take(&mut batch.good);
    let end = Transaction::begin(store).run(good, deadlock_at).await;
    let reply = match (fault, batch.reply(end, fault)) {
        (Some(Fault::CommitThenDrop), _) => Reply::Drop,
        (Some(Fault::CommitThenHang), _) => Reply::Silence,
        (Some(Fault::Truncate), Reply::Json(_, answer)) => Reply::Half(answer),
        (_, reply) => reply,
    };
    (reply, fault.map_or_else(|| batch.outcome(end), Outcome::Fault))
}

/// A bulk request that is welcome, at least in parts.
struct Batch {
    good: Vec<Option<Hit>>,
    invalid: Vec<usize>,
    is_probe: bool,
    shows_invalid: bool,
}

impl Batch {
    fn of(store: &Store, hits: Vec<Option<Hit>>, token: &str) -> Self {
        let welcome: Vec<bool> = hits.iter().map(|hit| welcome(store, hit.as_ref(), token)).collect();
        let invalid: Vec<usize> = (0..hits.len()).filter(|at| !welcome[*at]).collect();
        let is_probe = invalid.is_empty() && !hits.is_empty() && hits.iter().flatten().all(Hit::is_probe);
        let good = hits.into_iter().zip(welcome).filter_map(|(hit, welcome)| welcome.then_some(hit)).collect();
        let shows_invalid = store.setup().rights == Rights::Superuser && token == store.setup().token;
        Self { good, invalid, is_probe, shows_invalid }
    }

    /// What a lock that does not come takes away.
    fn loses_hits(&mut self, fault: Option<Fault>) {
        match fault {
            Some(Fault::Short) => drop(self.good.pop()),
            Some(Fault::LockWait(lost)) => {
                let lost = lost.min(self.good.len());
                let from = (self.good.len() - lost) / 2;
                self.good.drain(from..from + lost);
            }
            _ => {}
        }
    }

    fn reply(&self, end: End, fault: Option<Fault>) -> Reply {
        let error =
            |tracked, invalid| Reply::Json(500, json!({"status": "error", "tracked": tracked, "invalid": invalid}));
        match (end, fault) {
            (End::Committed(counted), Some(Fault::Uncounted(missed))) => self.success(counted.saturating_sub(missed)),
            (End::Committed(counted), _) => self.success(counted),
            (End::Lost(tracked), _) => error(tracked, self.invalid.len()),
            (End::RolledBack(tracked), _) => error(tracked, 0),
        }
    }

    fn success(&self, tracked: usize) -> Reply {
        let mut answer = json!({"status": "success", "tracked": tracked, "invalid": self.invalid.len()});
        if self.shows_invalid {
            answer["invalid_indices"] = json!(self.invalid);
        }
        Reply::Json(200, answer)
    }

    fn outcome(&self, end: End) -> Outcome {
        match end {
            End::Committed(_) if self.is_probe => Outcome::Probe,
            End::Committed(tracked) => Outcome::Tracked { tracked, invalid: self.invalid.len() },
            End::Lost(tracked) => Outcome::Deadlock { tracked },
            End::RolledBack(tracked) => Outcome::RolledBack { tracked },
        }
    }
}

/// The answer that leaves before anything is stored, and how long before.
fn late(fault: Fault) -> Option<(Reply, Duration)> {
    let (broken, delay) = match fault {
        Fault::Late(delay) => (Broken::Status(504), delay),
        Fault::LateAfter(broken, delay) => (broken, delay),
        _ => return None,
    };
    let reply = match broken {
        Broken::Close => Reply::Drop,
        Broken::Reset => Reply::Reset,
        Broken::Html => Reply::Page(200, LOGIN_PAGE),
        Broken::Status(504) => Reply::Page(504, "<html>Gateway Time-out</html>"),
        Broken::Status(status) => Reply::Page(status, GATEWAY_PAGE),
    };
    Some((reply, delay))
}

fn store_later(store: &Arc<Store>, batch: Batch, delay: Duration) {
    store.change(|kept| kept.late += 1);
    let store = Arc::clone(store);
    tokio::spawn(async move {
        sleep(delay).await;
        Transaction::begin(&store).run(batch.good, None).await;
        store.change(|kept| kept.late -= 1);
    });
}

async fn track_single(store: &Arc<Store>, hit: Hit, token: &str) -> (Reply, Outcome) {
    if !welcome(store, Some(&hit), token) {
        return (Reply::Empty(400), Outcome::Refused);
    }
    Transaction::begin(store).run(vec![Some(hit)], None).await;
    (Reply::Empty(204), Outcome::Tracked { tracked: 1, invalid: 0 })
}

/// The answers that store nothing, whatever the hits are.
fn refuse(store: &Store, path: &str, parcel: &Parcel, fault: Option<Fault>) -> Option<(Reply, Outcome)> {
    let recording_off = store.look(|kept| kept.is(Switch::RecordingOff));
    if let Parcel::Single(hit, _) = parcel {
        if recording_off {
            return Some((Reply::Empty(503), Outcome::RecordingOff));
        }
        if hit.0.is_empty() {
            return Some((Reply::Page(200, "This resource is part of Matomo."), Outcome::Refused));
        }
    }
    if store.look(|kept| kept.is(Switch::DatabaseDown)) {
        return Some((Reply::Json(500, json!({"status": "error", "tracked": 0, "invalid": 0})), Outcome::DatabaseDown));
    }
    if recording_off {
        return Some((nothing_tracked(), Outcome::RecordingOff));
    }
    let fault = fault?;
    break_off(fault, path, parcel).map(|reply| (reply, Outcome::Fault(fault)))
}

/// The answer of a fault that happens before anything is stored.
fn break_off(fault: Fault, path: &str, parcel: &Parcel) -> Option<Reply> {
    let reply = match fault {
        // The count is that of the hits before the one that failed; all of them were rolled back.
        Fault::Status(500) => {
            Reply::Json(500, json!({"status": "error", "tracked": parcel.entries() / 2, "invalid": 0}))
        }
        Fault::Status(status) => Reply::Page(status, GATEWAY_PAGE),
        Fault::Hang => Reply::Silence,
        Fault::Close => Reply::Drop,
        Fault::Reset => Reply::Reset,
        Fault::Redirect => Reply::Redirect(path.to_owned()),
        Fault::Html => Reply::Page(200, LOGIN_PAGE),
        Fault::ErrorText => Reply::Page(200, "Error:SQLSTATE[HY000]: General error: 2006 MySQL server has gone away"),
        Fault::Disabled => nothing_tracked(),
        Fault::CommitThenDrop | Fault::CommitThenHang | Fault::Truncate | Fault::Short => return None,
        Fault::Deadlock(_) | Fault::LockWait(_) | Fault::Uncounted(_) => return None,
        Fault::Late(_) | Fault::LateAfter(..) => return None,
    };
    Some(reply)
}

fn nothing_tracked() -> Reply {
    Reply::Json(200, json!({"status": "success", "tracked": 0, "invalid": 0}))
}

/// Empty entries are counted as tracked; a hit needs a token that may write, a site it may see, and a readable visitor id
/// if any.
fn welcome(store: &Store, hit: Option<&Hit>, token: &str) -> bool {
    let setup = store.setup();
    let may_write = token == setup.token && setup.rights != Rights::View;
    hit.is_none_or(|hit| hit.0.is_empty() || (may_write && store.sees(hit.site()) && !hit.has_bad_visitor_id()))
}
