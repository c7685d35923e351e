//! When logs last arrived, as rsync-client wrote it down beside the logs; `docs/rsync-client.md` has the file's fields.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use crate::discover::SiteId;

/// The version of the file whose fields are known here.
const VERSION: u32 = 1;

/// What is known about the logs of a site.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub struct Arrival {
    /// When a command that writes to the site's folder last did its work.
    pub last_fetched: Option<Timestamp>,
    /// When files last arrived or changed.
    pub last_changed: Option<Timestamp>,
}

#[derive(Deserialize)]
struct File {
    version: u32,
    sites: BTreeMap<String, Arrival>,
}

/// Reads the file. Where logs come another way there is none, and a damaged one is the concern of whoever writes it.
pub fn arrivals(analytics_dir: &Path) -> BTreeMap<SiteId, Arrival> {
    let file = fs::read(analytics_dir.join("rsync/state.json")).ok();
    let file =
        file.and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok()).filter(|file| file.version == VERSION);
    let sites = file.into_iter().flat_map(|file| file.sites);
    sites.filter_map(|(site, arrival)| Some((site.parse().ok()?, arrival))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_says_nothing_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        assert!(arrivals(folder.path()).is_empty());
        fs::create_dir(folder.path().join("rsync")).unwrap();
        let write = |text: &str| fs::write(folder.path().join("rsync/state.json"), text).unwrap();
        for text in ["", "{}", r#"{"version":2,"sites":{"4":{}}}"#] {
            write(text);
            assert!(arrivals(folder.path()).is_empty(), "{text}");
        }
        write(r#"{"version":1,"more":1,"sites":{"4":{"last_fetched":"2026-01-01T00:00:00Z","files":3},"shop":{}}}"#);
        let found = arrivals(folder.path());
        let arrival = found[&"4".parse::<SiteId>().unwrap()];
        assert!(found.len() == 1 && arrival.last_fetched.is_some() && arrival.last_changed.is_none());
    }
}
