//! The simulated Matomo.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use log_analytics::discover::SiteId;
use log_analytics::ledger::{IntentId, JournalId, Mark};
use log_analytics::matomo::{Announcement, Batch, PageView, Span, ToldPart, Trace};
use serde_json::{Value, json};
use tokio::time::Instant;

/// What the marks of a batch say.
pub struct Told {
    pub parts: Option<Vec<ToldPart>>,
    pub newest: Option<(Date, i64)>,
}

/// A request that Matomo is at work on, and what of it will be stored.
pub struct Work {
    pub due: Instant,
    pub entries: Vec<Value>,
    pub opens_days: bool,
}

/// What Matomo's database holds, and what is on its way there.
#[derive(Default)]
pub struct Server {
    pub hits: Vec<Value>,
    /// Marks by visitor, in the order in which they were stored.
    pub marks: BTreeMap<String, Vec<Value>>,
    pub told: BTreeMap<String, Told>,
    /// Days that have a salt.
    pub days: BTreeSet<String>,
    pub at_work: Vec<Work>,
    /// Whether nobody waits for a request that was given up.
    pub forgets_late: bool,
    /// What it lost and only the ledger can know of: hits of batches whose marks say that they are there, and announcements.
    pub lost: Vec<Value>,
    /// Hits that it lost out of batches of one hit: where the answer is lost as well, and nobody else visited the site on that
    /// day, a list without a visit does not tell them from hits that were purged since.
    pub unprovable: BTreeSet<String>,
    pub sent: u64,
    pub wrongs: Vec<String>,
}

impl Server {
    /// Begins to work on a request, of which it stores the entries that `keeps` names.
    pub fn begin(&mut self, batch: &Batch, due: Instant, is_late: bool, keeps: impl Fn(usize) -> bool) {
        self.catch_up();
        let body: Value = serde_json::from_slice(&batch.body).unwrap();
        let entries = body["requests"].as_array().unwrap();
        assert_eq!(entries.len() as u64, batch.hits() + batch.marks);
        let is_new = |entry: &&Value| day(entry).is_some_and(|day| !self.days.contains(day));
        let opens_days = entries.iter().any(|entry| is_new(&entry));
        if opens_days && (batch.hits() > 1 || self.at_work.iter().any(|work| work.opens_days)) {
            let days: BTreeSet<_> = entries.iter().filter(is_new).filter_map(day).collect();
            self.wrongs.push(format!("deadlock: {} hits of batch {} open {days:?}", batch.hits(), batch.intent.0));
        }
        let (kept, lost): (Vec<_>, Vec<_>) = entries.iter().cloned().enumerate().partition(|(index, _)| keeps(*index));
        let entries = kept.into_iter().map(|(_, entry)| entry).collect();
        let is_single = lost.len() == 1;
        let lost = lost.into_iter().map(|(_, entry)| entry);
        for hit in lost.clone().filter(|entry| is_single && batch.hits() == 1 && entry["url"].is_string()) {
            self.unprovable.insert(hit["url"].as_str().unwrap().to_owned());
            // Whoever takes it for stored takes its day for opened.
            self.days.extend(day(&hit).map(str::to_owned));
        }
        self.lost.extend(lost.filter(|entry| entry["mark"] == "journal" || is_single && entry["url"].is_string()));
        self.at_work.push(Work { due, entries, opens_days: opens_days && !(is_late && self.forgets_late) });
    }

    /// The process that sent what it is at work on is no more.
    pub fn is_left(&mut self) {
        let forgets = self.forgets_late;
        self.at_work.iter_mut().for_each(|work| work.opens_days &= !forgets);
    }

    /// Stores what is due.
    pub fn catch_up(&mut self) {
        let now = Instant::now();
        let (mut due, rest): (Vec<_>, _) =
            std::mem::take(&mut self.at_work).into_iter().partition(|work| work.due <= now);
        self.at_work = rest;
        due.sort_by_key(|work| work.due);
        due.into_iter().flat_map(|work| work.entries).for_each(|entry| self.store(entry));
    }

    pub fn store(&mut self, entry: Value) {
        if entry["mark"].is_string() {
            self.marks.entry(entry["cid"].as_str().unwrap().to_owned()).or_default().push(entry);
            return;
        }
        self.days.insert(day(&entry).unwrap().to_owned());
        self.hits.push(entry);
    }

    /// Whether something that it lost was not sent again so far.
    pub fn is_short(&self) -> bool {
        let is_there = |lost: &Value| match lost["cid"].as_str() {
            Some(cid) => self.marks.get(cid).into_iter().flatten().any(|mark| mark["journal"] == lost["journal"]),
            None => self.hits.iter().any(|hit| hit["url"] == lost["url"]),
        };
        !self.lost.iter().all(is_there)
    }

    pub fn count(&self, cid: &str, word: &str) -> usize {
        self.marks.get(cid).into_iter().flatten().filter(|mark| mark["mark"] == word).count()
    }

    pub fn trace(&self, mark: Mark) -> Trace {
        let cid = mark.to_string();
        let (first, last) = (self.count(&cid, "first"), self.count(&cid, "last"));
        let told = self.told.get(&cid).filter(|_| first + last > 0);
        Trace {
            times: first.max(last),
            first: first > 0,
            last: last > 0,
            parts: told.filter(|_| first > 0).and_then(|told| told.parts.clone()),
            newest: told.and_then(|told| told.newest),
            announcements: self.marks.get(&cid).into_iter().flatten().rev().filter_map(announcement).collect(),
        }
    }

    pub fn stored(&self, span: &Span) -> Option<HashSet<PageView>> {
        let is_shown = |hit: &&Value| {
            let is_of_day = span.days.iter().any(|wanted| day(hit) == Some(wanted.to_string().as_str()));
            is_of_day && seconds(hit) >= span.oldest
        };
        let shown: Vec<&Value> = self.hits.iter().filter(is_shown).collect();
        let views = shown.iter().map(|hit| hit["pv_id"].as_str().unwrap().as_bytes().try_into().unwrap());
        let found = views.filter(|view| span.page_views.contains(view)).collect();
        Some(found).filter(|_| !shown.is_empty() || !span.is_marked)
    }
}

pub fn day(hit: &Value) -> Option<&str> {
    hit["cdt"].as_str()?.split(' ').next()
}

pub fn seconds(hit: &Value) -> i64 {
    let date: jiff::civil::DateTime = hit["cdt"].as_str().unwrap().parse().unwrap();
    date.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second()
}

pub fn announced(announcement: &Announcement, site: SiteId) -> Value {
    let Announcement { journal, from, is_complete } = announcement;
    json!({
        "mark": "journal", "cid": Mark::of_journals(site).to_string(),
        "journal": journal.0, "from": from.0, "is_complete": is_complete,
    })
}

pub fn announcement(mark: &Value) -> Option<Announcement> {
    Some(Announcement {
        journal: JournalId(mark["journal"].as_u64()?),
        from: IntentId(mark["from"].as_u64()?),
        is_complete: mark["is_complete"].as_bool()?,
    })
}
