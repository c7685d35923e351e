//! What the stand-in keeps: hits, marks, sites, switches and the log of requests. Waiting for a fact happens here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::hit::Hit;
use super::request::Request;
use super::salt::{Salt, Salts};
use super::site::Sites;
use super::visit::{self, Grouped};
use super::{Rights, Setup, Switch};
use crate::fault::{Fault, Faults};

/// Far beyond anything a healthy journey needs; only a hung one meets it.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Matomo believes no older date.
const AGE_SECONDS_MAX: i64 = 20 * 365 * 86_400;

/// Counters that a journey can wait on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Tracking requests that began, probes included.
    pub received: u64,
    /// Bulk requests that were stored.
    pub stored: u64,
    /// Stored hits, marks not included.
    pub hits: usize,
    /// Tracking requests that are under way, hanging ones included.
    pub in_flight: usize,
    /// Tracking requests that are read and not yet judged.
    pub working: usize,
    /// Requests that were answered and will be stored later.
    pub late: usize,
}

/// A hit in the database.
#[derive(Debug, Clone)]
pub struct Stored {
    pub hit: Hit,
    /// When it happened, as far as Matomo believes its date.
    pub second: i64,
    /// Who it is, by what the hit says alone.
    pub who: u64,
    /// Who Matomo takes it for.
    pub visitor: u64,
}

impl Stored {
    pub fn new(hit: Hit, second: i64, salt: Salt) -> Self {
        let who = visit::who(&hit);
        let visitor = visit::visitor(&hit, who, salt);
        Self { hit, second, who, visitor }
    }
}

/// Everything behind one lock.
#[derive(Debug)]
pub struct Kept {
    pub sites: Sites,
    /// In the order of their commits, those of the ledger site apart.
    pub hits: Vec<Stored>,
    pub marks: Vec<Stored>,
    pub ledger_site: Option<u64>,
    pub salts: Salts,
    pub clock_ahead: SignedDuration,
    pub requests: Vec<Request>,
    pub invalidated: BTreeMap<u64, Vec<String>>,
    pub switches: BTreeSet<Switch>,
    pub faults: Faults,
    pub received: u64,
    pub stored: u64,
    pub in_flight: usize,
    pub in_flight_max: usize,
    pub working: usize,
    pub late: usize,
}

impl Kept {
    /// The counters.
    pub fn seen(&self) -> Seen {
        Seen {
            received: self.received,
            stored: self.stored,
            hits: self.hits.len(),
            in_flight: self.in_flight,
            working: self.working,
            late: self.late,
        }
    }

    /// Put hits and marks away.
    pub fn keep(&mut self, stored: impl IntoIterator<Item = Stored>) {
        for stored in stored {
            let is_mark = Some(stored.hit.site()) == self.ledger_site;
            if is_mark { self.marks.push(stored) } else { self.hits.push(stored) }
        }
    }

    /// The stored hits of a site.
    pub fn of_site(&self, site: u64) -> impl Iterator<Item = &Stored> {
        let all = if Some(site) == self.ledger_site { &self.marks } else { &self.hits };
        all.iter().filter(move |stored| stored.hit.site() == site)
    }

    /// The visits of a site as Matomo sees them.
    pub fn visits_of(&self, site: u64) -> Vec<Grouped<'_>> {
        visit::visits(self.of_site(site), &self.sites.zone(site), |stored| stored.visitor)
    }

    /// Is a switch on?
    pub fn is(&self, switch: Switch) -> bool {
        self.switches.contains(&switch)
    }
}

/// The lock, its bell, and the setup that never changes.
#[derive(Debug)]
pub struct Store {
    setup: Setup,
    kept: Mutex<Kept>,
    changed: Condvar,
}

impl Store {
    pub fn new(setup: Setup) -> Self {
        let kept = Kept {
            sites: sites(&setup),
            hits: Vec::new(),
            marks: Vec::new(),
            ledger_site: setup.ledger_site,
            salts: Salts::default(),
            clock_ahead: setup.clock_ahead,
            requests: Vec::new(),
            invalidated: BTreeMap::new(),
            switches: BTreeSet::new(),
            faults: setup.faults.clone(),
            received: 0,
            stored: 0,
            in_flight: 0,
            in_flight_max: 0,
            working: 0,
            late: 0,
        };
        Self { setup, kept: Mutex::new(kept), changed: Condvar::new() }
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Read what is kept.
    pub fn look<T>(&self, read: impl FnOnce(&Kept) -> T) -> T {
        read(&self.lock())
    }

    /// Change what is kept, in one step, and tell those who wait.
    pub fn change<T>(&self, write: impl FnOnce(&mut Kept) -> T) -> T {
        let answer = write(&mut self.lock());
        self.changed.notify_all();
        answer
    }

    /// A tracking request begins: its number, and how it will go wrong.
    pub fn receive(&self) -> (u64, Option<Fault>) {
        self.change(|kept| {
            kept.received += 1;
            kept.in_flight += 1;
            kept.in_flight_max = kept.in_flight_max.max(kept.in_flight);
            (kept.received, kept.faults.strike(kept.received))
        })
    }

    /// May the token see this site?
    pub fn sees(&self, site: u64) -> bool {
        let is_hidden = self.setup.rights != Rights::Superuser && self.setup.hidden_sites.contains(&site);
        !is_hidden && self.look(|kept| kept.sites.contains(site))
    }

    /// What its clock says.
    pub fn clock(&self) -> Timestamp {
        let ahead = self.look(|kept| kept.clock_ahead);
        Timestamp::now().saturating_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// The second of its clock.
    pub fn now(&self) -> i64 {
        self.clock().as_second()
    }

    /// When a hit happened: now, where its date is absent, unreadable, in the future, or older than 20 years.
    pub fn second_of(&self, hit: &Hit) -> i64 {
        let now = self.now();
        let is_believed = |second: &i64| (now - AGE_SECONDS_MAX..=now).contains(second);
        hit.second().filter(is_believed).unwrap_or(now)
    }

    /// Wait until `fact` holds.
    pub fn wait_for(&self, what: &str, mut fact: impl FnMut(&Seen) -> bool) {
        let give_up = Instant::now() + WAIT_MAX;
        let mut kept = self.lock();
        while !fact(&kept.seen()) {
            let left = give_up.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the stand-in never saw: {what}; it saw {:?}", kept.seen());
            kept = self.changed.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A test that panics while it looks leaves nothing half written, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sites(setup: &Setup) -> Sites {
    let mut sites = Sites::default();
    for (site, main_url) in &setup.sites {
        sites.insert(*site, main_url);
    }
    if let Some(ledger_site) = setup.ledger_site {
        sites.insert(ledger_site, "https://ledger.example.org");
    }
    for (site, zone) in &setup.time_zones {
        sites.set_zone(*site, zone);
    }
    sites
}
