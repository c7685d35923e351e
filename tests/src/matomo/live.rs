//! The visits log: `Live.getLastVisitsDetails` and the little that goes with it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Switch;
use super::api::{Call, error};
use super::store::{Kept, Store, Stored};
use super::visit::{self, Grouped};

/// Matomo's `page_maximum_length`: titles and addresses are cut to so many characters.
const CHARACTERS_MAX: usize = 1024;
/// Rows of an answer whose call names no number.
const ROWS: usize = 10;

/// What `Live.getLastVisitsDetails` says: visits, the one with the latest action first.
pub fn last_visits(store: &Store, call: &Call) -> Value {
    let asked = match Asked::of(store, call) {
        Ok(asked) => asked,
        Err(message) => return error(&message),
    };
    store.look(|kept| {
        let mut visits = asked.visits(kept, call.site());
        if kept.is(Switch::VisitsPurged) && asked.visitors.is_none() {
            visits.clear();
        }
        let page = visits.iter().skip(asked.offset).take(asked.limit);
        page.map(|visit| show(call, visit, asked.with_actions)).collect()
    })
}

/// What `Live.getMostRecentVisitorId` says: the id, or false.
pub fn most_recent_visitor(store: &Store, call: &Call) -> Value {
    match Asked::of(store, call) {
        Ok(asked) => {
            let id =
                store.look(|kept| asked.visits(kept, call.site()).first().map(|visit| visit::shown(visit.visitor)));
            json!({"value": id.map_or(Value::Bool(false), Value::String)})
        }
        Err(message) => error(&message),
    }
}

/// What a call asks for.
struct Asked {
    /// Visitors of the segment; nothing when there is no segment.
    visitors: Option<Vec<u64>>,
    /// Visits whose last action came later than this.
    after: i64,
    day: Option<Date>,
    zone: TimeZone,
    offset: usize,
    limit: usize,
    with_actions: bool,
}

impl Asked {
    fn of(store: &Store, call: &Call) -> Result<Self, String> {
        let zone = store.look(|kept| kept.sites.zone(call.site()));
        Ok(Self {
            visitors: segment(call.text("segment"))?,
            after: call.text("minTimestamp").parse().unwrap_or(i64::MIN),
            day: day(store, call, &zone)?,
            zone,
            offset: call.text("filter_offset").parse().unwrap_or(0),
            limit: rows_max(call.text("filter_limit")),
            with_actions: call.text("doNotFetchActions") != "1",
        })
    }

    /// The visits asked for, the one with the latest action first.
    fn visits<'k>(&self, kept: &'k Kept, site: u64) -> Vec<Grouped<'k>> {
        let of_segment = |stored: &&Stored| self.visitors.as_ref().is_none_or(|ids| ids.contains(&stored.visitor));
        let mut visits = visit::visits(kept.of_site(site).filter(of_segment), &self.zone, |hit| hit.visitor);
        visits.retain(|visit| visit.last > self.after);
        visits.retain(|visit| self.day.is_none_or(|day| visit::day(visit.last, &self.zone) == day));
        visits.sort_by_key(|visit| std::cmp::Reverse((visit.last, visit.number)));
        visits
    }
}

/// `visitorId==a,visitorId==b`; no other segment is known here.
fn segment(text: &str) -> Result<Option<Vec<u64>>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = |part: &str| u64::from_str_radix(part.trim().strip_prefix("visitorId==")?, 16).ok();
    let ids: Option<Vec<u64>> = text.split(',').map(id).collect();
    ids.map(Some).ok_or_else(|| format!("Segment '{text}' is not supported."))
}

/// The day asked for: without a period, any.
fn day(store: &Store, call: &Call, zone: &TimeZone) -> Result<Option<Date>, String> {
    let today = || visit::day(store.now(), zone);
    match (call.text("period"), call.text("date")) {
        ("", _) => Ok(None),
        ("day", "today") => Ok(Some(today())),
        ("day", "yesterday") => Ok(today().yesterday().ok()),
        ("day", date) => date.parse().map(Some).map_err(|_| format!("Date format must be: YYYY-MM-DD, not '{date}'.")),
        (period, _) => Err(format!("The period '{period}' is not supported.")),
    }
}

/// Matomo's default is 10, and -1 means all.
fn rows_max(text: &str) -> usize {
    text.parse::<i64>().map_or(ROWS, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

fn show(call: &Call, visit: &Grouped<'_>, with_actions: bool) -> Value {
    let actions = if with_actions { visit.hits.as_slice() } else { &[] };
    let address = visit.hits.first().map(|stored| stored.hit.text("cip")).unwrap_or_default();
    json!({
        "idSite": call.text("idSite"),
        "idVisit": visit.number.to_string(),
        "visitIp": masked(&address),
        "visitorId": visit::shown(visit.visitor),
        "serverTimestamp": visit.last,
        "firstActionTimestamp": visit.first,
        "lastActionTimestamp": visit.last,
        "actions": visit.hits.len().to_string(),
        "actionDetails": actions.iter().map(|stored| action(stored)).collect::<Vec<_>>(),
    })
}

fn action(Stored { hit, second, .. }: &Stored) -> Value {
    let kind = if hit.text("download").is_empty() { "action" } else { "download" };
    let title = cut(&hit.text("action_name"));
    json!({
        "type": kind,
        "url": cut(&hit.text("url")),
        "pageTitle": if title.is_empty() { Value::Null } else { json!(title) },
        "idpageview": hit.text("pv_id"),
        "timestamp": second,
    })
}

fn cut(text: &str) -> String {
    text.chars().take(CHARACTERS_MAX).collect()
}

/// An address without its last two bytes, or without all behind the first 48 bits, as Matomo keeps it by default.
fn masked(address: &str) -> String {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    match address.parse() {
        Ok(IpAddr::V4(address)) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 16)).to_string(),
        Ok(IpAddr::V6(address)) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80)).to_string(),
        Err(_) => "0.0.0.0".to_owned(),
    }
}
