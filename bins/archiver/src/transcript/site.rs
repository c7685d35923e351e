//! What `core:archive` says about one site.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::between;

/// What a run did for a site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SiteRun {
    /// Whether Matomo said that it was done with the site.
    pub finished: bool,
    /// How long that took.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds: Option<f64>,
    /// Requests that it took.
    pub requests: u64,
    /// Requests that failed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub errors: u64,
    /// The latest day whose reports were computed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_day: Option<Date>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this shape")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Notes what a line says about a site; answers with the site when Matomo is done with it.
pub(super) fn hear(sites: &mut BTreeMap<u32, SiteRun>, text: &str, sites_max: usize) -> Option<(u32, SiteRun)> {
    let (site, said) = said(text)?;
    if sites.len() >= sites_max && !sites.contains_key(&site) {
        return None;
    }
    let run = sites.entry(site).or_default();
    match said {
        Said::Archived(day) => run.last_day = run.last_day.max(day),
        Said::Failed => run.errors += 1,
        Said::Finished { requests, seconds } => {
            run.finished = true;
            run.requests += requests;
            run.seconds = seconds;
            return Some((site, run.clone()));
        }
    }
    None
}

enum Said {
    Archived(Option<Date>),
    Failed,
    Finished { requests: u64, seconds: Option<f64> },
}

fn said(text: &str) -> Option<(u32, Said)> {
    if let Some(rest) = text.strip_prefix("Finished archiving for site ") {
        let (site, rest) = leading_number(rest)?;
        let requests = between(rest, ", ", " API requests").and_then(|count| count.parse().ok()).unwrap_or(0);
        return Some((site, Said::Finished { requests, seconds: seconds(rest) }));
    }
    if let Some(rest) = text.strip_prefix("Archived website id ") {
        let (site, rest) = leading_number(rest)?;
        let day = rest.contains("period = day").then(|| between(rest, "date = ", ",")).flatten();
        return Some((site, Said::Archived(day.and_then(|day| day.trim().parse().ok()))));
    }
    // Matomo lists the same errors again in its summary, each behind `Error:`.
    let asked = text
        .strip_prefix("Got invalid response from API request")
        .or_else(|| text.strip_prefix("Empty or invalid response"))?;
    let (site, _) = leading_number(asked.split_once("idSite=")?.1)?;
    Some((site, Said::Failed))
}

fn seconds(text: &str) -> Option<f64> {
    between(text, "Time elapsed: ", "s")
        .and_then(|seconds| seconds.parse().ok())
        .filter(|seconds: &f64| seconds.is_finite())
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}
