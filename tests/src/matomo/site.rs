//! The sites that the stand-in knows, as SitesManager shows them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// Sites by id.
#[derive(Debug, Clone, Default)]
pub struct Sites(BTreeMap<u64, Site>);

#[derive(Debug, Clone)]
struct Site {
    main_url: String,
    zone: TimeZone,
}

impl Sites {
    /// Know this site too; its days are those of UTC.
    pub fn insert(&mut self, site: u64, main_url: &str) {
        self.0.insert(site, Site { main_url: main_url.to_owned(), zone: TimeZone::UTC });
    }

    /// Let the days of a site be those of another time zone, by its name in the tz database.
    ///
    /// # Panics
    /// When there is no such zone.
    #[expect(clippy::expect_used, reason = "a zone that nobody knows is a mistake in the journey")]
    pub fn set_zone(&mut self, site: u64, name: &str) {
        if let Some(site) = self.0.get_mut(&site) {
            site.zone = TimeZone::get(name).expect("a zone of the tz database");
        }
    }

    /// The time zone in which a site's days begin.
    pub fn zone(&self, site: u64) -> TimeZone {
        self.0.get(&site).map_or(TimeZone::UTC, |site| site.zone.clone())
    }

    /// Is there such a site?
    pub fn contains(&self, site: u64) -> bool {
        self.0.contains_key(&site)
    }

    /// The main URL of a site.
    pub fn main_url(&self, site: u64) -> Option<&str> {
        self.0.get(&site).map(|site| site.main_url.as_str())
    }

    /// Create a site, numbered after the highest one; answers its id.
    pub fn add(&mut self, main_url: &str) -> u64 {
        let site = self.0.keys().next_back().map_or(1, |highest| highest + 1);
        self.insert(site, main_url);
        site
    }

    /// What `SitesManager.getSiteFromId` says.
    pub fn show(&self, site: u64) -> Option<Value> {
        let Site { main_url, zone } = self.0.get(&site)?;
        let zone = zone.iana_name().unwrap_or("UTC");
        Some(json!({
            "idsite": site.to_string(), "name": format!("site {site}"), "main_url": main_url, "timezone": zone,
        }))
    }

    /// What `SitesManager.getAllSites` says: an object with the ids as names.
    pub fn show_all(&self) -> Value {
        Value::Object(self.0.keys().filter_map(|site| Some((site.to_string(), self.show(*site)?))).collect())
    }

    /// What `SitesManager.getSitesIdFromSiteUrl` says: the sites on the host of `url`.
    pub fn with_host_of(&self, url: &str) -> Value {
        let ids = self.0.iter().filter(|(_, site)| host(&site.main_url) == host(url));
        Value::Array(ids.map(|(site, _)| json!({"idsite": site.to_string()})).collect())
    }
}

fn host(url: &str) -> &str {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_found_by_host_and_new_ones_are_numbered_on() {
        let mut sites = Sites::default();
        sites.insert(4, "https://www.example.org/sub");
        assert_eq!(sites.with_host_of("http://www.example.org"), json!([{"idsite": "4"}]));
        assert_eq!(sites.with_host_of("http://other.example.org"), json!([]));
        assert_eq!(sites.add("http://new.example.org"), 5);
        assert_eq!(sites.show(6), None);
    }
}
