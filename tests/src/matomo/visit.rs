//! Visits as Matomo makes them: hits of one visitor, none of them half an hour after the one before.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::hit::Hit;
use super::salt::Salt;
use super::store::Stored;

/// Matomo's `visit_standard_length`.
const PAUSE_SECONDS_MAX: i64 = 30 * 60;

/// Hits that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// Its number on its site, from 1.
    pub number: u64,
    /// Who came: the `cid` if there is one, otherwise what address, user agent and the day's salt make.
    pub visitor_id: String,
    /// The second of its first action.
    pub first: i64,
    /// The second of its last action.
    pub last: i64,
    /// Its actions and their seconds, in the order of time.
    pub actions: Vec<(i64, Hit)>,
}

/// A visit among what is stored.
#[derive(Debug)]
pub struct Grouped<'s> {
    pub number: u64,
    pub visitor: u64,
    pub first: i64,
    pub last: i64,
    pub hits: Vec<&'s Stored>,
}

impl Grouped<'_> {
    /// The visit by itself.
    pub fn to_visit(&self) -> Visit {
        let actions = self.hits.iter().map(|stored| (stored.second, stored.hit.clone())).collect();
        Visit { number: self.number, visitor_id: shown(self.visitor), first: self.first, last: self.last, actions }
    }
}

/// Who a hit is of, whatever the day.
pub fn who(hit: &Hit) -> u64 {
    if let Ok(id) = u64::from_str_radix(&hit.text("cid"), 16) {
        return id;
    }
    let user = hit.text("uid");
    if user.is_empty() { hashed((hit.text("cip"), hit.text("ua"))) } else { hashed(user) }
}

/// Who Matomo takes a hit for: those that say who they are need no salt.
pub fn visitor(hit: &Hit, who: u64, salt: Salt) -> u64 {
    if is_named(hit) { who } else { hashed((who, salt)) }
}

fn is_named(hit: &Hit) -> bool {
    !hit.text("cid").is_empty() || !hit.text("uid").is_empty()
}

fn hashed(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// A visitor id as Matomo shows it.
pub fn shown(visitor: u64) -> String {
    format!("{visitor:016x}")
}

/// The visits of one site's hits, given in the order of their arrival, with `visitor` as the one who came.
pub fn visits<'s>(
    stored: impl Iterator<Item = &'s Stored>,
    zone: &TimeZone,
    visitor: impl Fn(&Stored) -> u64,
) -> Vec<Grouped<'s>> {
    let mut visits: Vec<Grouped<'s>> = Vec::new();
    let mut of: HashMap<u64, Vec<usize>> = HashMap::new();
    for hit in stored {
        let visitor = visitor(hit);
        let known = of.entry(visitor).or_default();
        let goes_on = latest(known, &visits, hit.second).filter(|at| joins(hit, &visits[*at], zone));
        let at = goes_on.unwrap_or_else(|| {
            known.push(visits.len());
            let (number, second) = (visits.len() as u64 + 1, hit.second);
            visits.push(Grouped { number, visitor, first: second, last: second, hits: Vec::new() });
            visits.len() - 1
        });
        let visit = &mut visits[at];
        // Hits that come late do not set the visit back.
        visit.last = visit.last.max(hit.second);
        visit.hits.push(hit);
    }
    for visit in &mut visits {
        visit.hits.sort_by_key(|stored| stored.second);
    }
    visits
}

/// The visit that a visitor was last seen in, half an hour later at most.
fn latest(known: &[usize], visits: &[Grouped<'_>], second: i64) -> Option<usize> {
    let near = known.iter().copied().filter(|at| visits[*at].last <= second + PAUSE_SECONDS_MAX);
    near.max_by_key(|at| (visits[*at].last, *at))
}

fn joins(hit: &Stored, visit: &Grouped<'_>, zone: &TimeZone) -> bool {
    let is_forced = !matches!(hit.hit.text("new_visit").as_str(), "" | "0");
    !is_forced && visit.last > hit.second - PAUSE_SECONDS_MAX && day(visit.last, zone) == day(hit.second, zone)
}

/// The day of a site with this zone.
pub fn day(second: i64, zone: &TimeZone) -> Date {
    Timestamp::from_second(second).unwrap_or_default().to_zoned(zone.clone()).date()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(second: i64, salt: Salt, extra: &serde_json::Value) -> Stored {
        let mut hit = json!({"cip": "192.0.2.1", "ua": "Agent/1"});
        hit.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        Stored::new(Hit(hit.as_object().unwrap().clone()), second, salt)
    }

    fn lasts(hits: &[Stored]) -> Vec<(i64, i64)> {
        let visits = visits(hits.iter(), &TimeZone::UTC, |hit| hit.visitor);
        visits.iter().map(|visit| (visit.first, visit.last)).collect()
    }

    #[test]
    fn half_an_hour_or_midnight_or_another_salt_or_a_wish_ends_a_visit() {
        let at = |second, salt| stored(second, salt, &json!({}));
        assert_eq!(lasts(&[at(0, 1), at(1_799, 1), at(3_598, 1)]), [(0, 3_598)]);
        assert_eq!(lasts(&[at(0, 1), at(1_800, 1)]), [(0, 0), (1_800, 1_800)]);
        assert_eq!(lasts(&[at(86_399, 1), at(86_401, 1)]).len(), 2);
        assert_eq!(lasts(&[at(0, 1), at(1, 2), at(2, 1)]), [(0, 2), (1, 1)]);
        assert_eq!(lasts(&[at(0, 1), stored(1, 1, &json!({"new_visit": "1"})), at(2, 1)]), [(0, 0), (1, 2)]);
    }

    #[test]
    fn who_is_named_needs_no_salt() {
        for name in [json!({"cid": "00112233445566aa"}), json!({"uid": "somebody"})] {
            assert_eq!(lasts(&[stored(0, 1, &name), stored(1, 2, &name)]).len(), 1);
        }
        assert_eq!(shown(who(&stored(0, 1, &json!({"cid": "00112233445566AA"})).hit)), "00112233445566aa");
    }

    #[test]
    fn a_hit_that_comes_late_stands_where_it_belongs() {
        let hits = [stored(100, 1, &json!({})), stored(40, 1, &json!({}))];
        let visits = visits(hits.iter(), &TimeZone::UTC, |hit| hit.visitor);
        assert_eq!(visits[0].hits.iter().map(|stored| stored.second).collect::<Vec<_>>(), [40, 100]);
        assert_eq!(visits[0].last, 100);
    }
}
