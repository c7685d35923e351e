//! A stand-in for Matomo on loopback: bulk tracking, the few calls of the Reporting API that an importer needs, and
//! every way in which a real one was seen to fail.
//!
//! It answers as Matomo 5.0.2 was measured to answer. A bulk request is one transaction: all hits of it are stored, or
//! none; but requests of days that are new to a site meet at the locks of the days' salts, as soon as hits take time
//! ([`Setup::hit_pace`]). It runs on a thread of its own and stops when its [`Matomo`] is dropped.

mod api;
mod exchange;
mod hit;
mod live;
mod query;
mod reply;
mod request;
mod salt;
mod server;
mod site;
mod store;
mod tracking;
mod transaction;
mod visit;
mod wire;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

pub use hit::Hit;
pub use request::{Outcome, Request};
pub use site::Sites;
pub use store::Seen;
pub use visit::Visit;

use crate::fault::Faults;
use server::Server;
use store::Store;
use visit::Grouped;

/// The token that [`Setup::default`] accepts.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What the token's user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Everything. Only such a token is shown `invalid_indices`, and only it invalidates reports.
    Superuser,
    /// Track hits and see reports.
    Write,
    /// See reports; hits are invalid.
    View,
}

/// How a stand-in begins its life.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Sites by id, with their main URL.
    pub sites: Vec<(u64, String)>,
    /// The only token that is accepted.
    pub token: String,
    /// The site that receives only marks; it is known in addition to `sites`.
    pub ledger_site: Option<u64>,
    /// What the token's user may do.
    pub rights: Rights,
    /// Sites that exist, and that the token's user may not see unless it is a superuser.
    pub hidden_sites: Vec<u64>,
    /// Sites whose days do not begin with those of UTC, and the names of their time zones.
    pub time_zones: Vec<(u64, String)>,
    /// Which tracking requests go wrong.
    pub faults: Faults,
    /// How long a tracking request takes before its transaction begins.
    pub pace: Duration,
    /// How long each hit takes within the transaction. Without it no two transactions are ever open at once.
    pub hit_pace: Duration,
    /// How long a transaction waits for a lock (`innodb_lock_wait_timeout`).
    pub lock_wait_max: Duration,
    /// By how much its clock is ahead of this machine's, in `Date` headers and for hits without a date of their own.
    pub clock_ahead: SignedDuration,
    /// How long a request that hangs stays open.
    pub silence: Duration,
    /// Where it listens; port 0 is a free one.
    pub listen: SocketAddr,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            sites: vec![(4, "https://www.example.org".to_owned())],
            token: TOKEN.to_owned(),
            ledger_site: None,
            rights: Rights::Superuser,
            hidden_sites: Vec::new(),
            time_zones: Vec::new(),
            faults: Faults::none(),
            pace: Duration::ZERO,
            hit_pace: Duration::ZERO,
            lock_wait_max: Duration::from_secs(50),
            clock_ahead: SignedDuration::ZERO,
            silence: Duration::from_secs(30),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }
}

/// What an administrator, or bad luck, can switch while Matomo runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Switch {
    /// `record_statistics = 0`: bulk requests are answered with success and stored nowhere.
    RecordingOff,
    /// `maintenance_mode = 1`: the API answers 503, tracking goes on.
    Maintenance,
    /// Everything answers 500.
    DatabaseDown,
    /// Visits are deleted soon after they came (privacy settings, old logs): of a day none is shown. Marks are of now and stay.
    VisitsPurged,
}

/// A running stand-in.
#[derive(Debug)]
pub struct Matomo {
    store: Arc<Store>,
    server: Server,
}

impl Matomo {
    /// Start where its setup says; by default on a free port of the loopback address.
    ///
    /// # Panics
    /// When no port or thread can be had.
    pub fn start(setup: Setup) -> Self {
        let store = Arc::new(Store::new(setup));
        let server = Server::start(Arc::clone(&store));
        Self { store, server }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its base address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The token it accepts.
    pub fn token(&self) -> &str {
        &self.store.setup().token
    }

    /// The stored hits of a site, in the order of their commits.
    pub fn hits_of(&self, site: u64) -> Vec<Hit> {
        self.store.look(|kept| kept.of_site(site).map(|stored| stored.hit.clone()).collect())
    }

    /// All stored hits but marks, in the order of their commits.
    pub fn hits(&self) -> Vec<Hit> {
        self.store.look(|kept| kept.hits.iter().map(|stored| stored.hit.clone()).collect())
    }

    /// The visits of a site, in the order of their first hits' arrival.
    pub fn visits_of(&self, site: u64) -> Vec<Visit> {
        self.store.look(|kept| kept.visits_of(site).iter().map(Grouped::to_visit).collect())
    }

    /// How many visits of a site are only there because a day got several salts, so that who came once was torn in two.
    pub fn visits_torn(&self, site: u64) -> usize {
        self.store.look(|kept| {
            let whole = visit::visits(kept.of_site(site), &kept.sites.zone(site), |stored| stored.who);
            kept.visits_of(site).len().saturating_sub(whole.len())
        })
    }

    /// Marks on the ledger site: visitor id, and how many visits it has there.
    pub fn marks(&self) -> BTreeMap<String, u64> {
        let mut marks = BTreeMap::new();
        self.store.look(|kept| {
            for visit in kept.ledger_site.iter().flat_map(|site| kept.visits_of(*site)) {
                *marks.entry(visit::shown(visit.visitor)).or_default() += 1;
            }
        });
        marks
    }

    /// How many marks have more than one visit: each is a batch that was stored twice.
    pub fn marks_doubled(&self) -> usize {
        self.marks().values().filter(|count| **count > 1).count()
    }

    /// Every request so far, tracking and API, in the order of their ends.
    pub fn requests(&self) -> Vec<Request> {
        self.store.look(|kept| kept.requests.clone())
    }

    /// The highest number of tracking requests that were under way at once.
    pub fn in_flight_max(&self) -> usize {
        self.store.look(|kept| kept.in_flight_max)
    }

    /// Reports that were invalidated: per site the dates, in the order they were named.
    pub fn invalidated(&self) -> BTreeMap<u64, Vec<String>> {
        self.store.look(|kept| kept.invalidated.clone())
    }

    /// The sites it knows now, new ones included.
    pub fn sites(&self) -> Sites {
        self.store.look(|kept| kept.sites.clone())
    }

    /// Turn a switch; it counts from the next request on.
    pub fn set(&self, switch: Switch, on: bool) {
        self.store.change(|kept| if on { kept.switches.insert(switch) } else { kept.switches.remove(&switch) });
    }

    /// Let other requests go wrong from now on. Requests are still counted from the start.
    pub fn set_faults(&self, faults: Faults) {
        self.store.change(|kept| kept.faults = faults);
    }

    /// What [`Matomo::restore`] goes back to: how many hits and marks there are.
    pub fn backup(&self) -> (usize, usize) {
        self.store.look(|kept| (kept.hits.len(), kept.marks.len()))
    }

    /// Its database goes back to an earlier state.
    pub fn restore(&self, (hits, marks): (usize, usize)) {
        self.store.change(|kept| {
            kept.hits.truncate(hits);
            kept.marks.truncate(marks);
        });
    }

    /// Let its clock be ahead of this machine's by so much, or behind.
    pub fn set_clock_ahead(&self, ahead: SignedDuration) {
        self.store.change(|kept| kept.clock_ahead = ahead);
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.store.look(|kept| kept.seen())
    }

    /// Wait until `fact` holds for what it has seen; `what` names the fact when it never comes.
    ///
    /// # Panics
    /// When a minute passes first.
    pub fn wait_for(&self, what: &str, fact: impl FnMut(&Seen) -> bool) {
        self.store.wait_for(what, fact);
    }

    /// Wait until nothing is under way any more: no open request and no late commit.
    ///
    /// # Panics
    /// When a minute passes first.
    pub fn rests(&self) {
        self.wait_for("no request under way", |seen| seen.late == 0 && seen.working == 0);
    }
}

#[cfg(test)]
mod tests;
