//! The Reporting API: the few methods that an importer asks, and an archiving over HTTP.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::reply::Reply;
use super::store::Store;
use super::{Rights, Switch, live, query};

/// What an archiving over HTTP says, with the answer of the API at its end.
const ARCHIVED: &str = "\
INFO CoreAdminHome[2026-11-24 10:00:00 UTC] [77] Start processing archives for site 4.
INFO CoreAdminHome[2026-11-24 10:00:00 UTC] [77] Finished archiving for site 4, 4 API requests, Time elapsed: 0.123s [1 / 1 done]
INFO CoreAdminHome[2026-11-24 10:00:00 UTC] [77] Done archiving!
INFO CoreAdminHome[2026-11-24 10:00:00 UTC] [77] Processed 4 archives.
{\"result\":\"success\",\"message\":\"ok\"}";

const BAD_TOKEN: &str = "<!DOCTYPE html><html><body>Unable to authenticate with the provided token. It is either invalid, \
                         expired or is required to be sent as a POST parameter.</body></html>";

/// What a call says: its parameters from query and body, the later one wins.
#[derive(Debug)]
pub struct Call(BTreeMap<String, String>);

impl Call {
    /// Read a call.
    pub fn open(query: &str, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        Self(query::pairs(query).into_iter().chain(query::pairs(&body)).collect())
    }

    /// The method, or a question mark.
    pub fn method(&self) -> &str {
        self.0.get("method").map_or("?", String::as_str)
    }

    /// A parameter, or nothing.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The site it is about; 0 when it is about none.
    pub fn site(&self) -> u64 {
        self.text("idSite").parse().unwrap_or(0)
    }
}

/// Answer a call.
pub fn answer(store: &Store, call: &Call) -> Reply {
    let (maintenance, database_down) = store.look(|kept| (kept.is(Switch::Maintenance), kept.is(Switch::DatabaseDown)));
    if maintenance {
        return Reply::Page(503, "<!DOCTYPE html><html><body>Matomo is in scheduled maintenance</body></html>");
    }
    if database_down {
        return Reply::Json(500, json!({"result": "error", "message": "SQLSTATE[HY000] [2002] Connection refused"}));
    }
    if let Some(refusal) = refuse_token(store, call.text("token_auth")).or_else(|| refuse_site(store, call)) {
        return refusal;
    }
    match call.method() {
        "CoreAdminHome.runCronArchiving" if is_superuser(store) => Reply::Page(200, ARCHIVED),
        _ => Reply::Json(200, value(store, call)),
    }
}

fn is_superuser(store: &Store) -> bool {
    store.setup().rights == Rights::Superuser
}

/// A wrong token is answered with a page, whatever the format asked for.
fn refuse_token(store: &Store, token: &str) -> Option<Reply> {
    match token {
        "" => Some(refusal("You must be logged in to access this functionality.")),
        token if token == store.setup().token => None,
        _ => Some(Reply::Page(401, BAD_TOKEN)),
    }
}

/// To all but a superuser a site that does not exist is one that they may not see.
fn refuse_site(store: &Store, call: &Call) -> Option<Reply> {
    let is_about_a_site = call.method() == "SitesManager.getSiteFromId" || call.method().starts_with("Live.");
    if is_superuser(store) || !is_about_a_site || store.sees(call.site()) {
        return None;
    }
    let site = call.text("idSite");
    let message = format!("You can't access this resource as it requires 'view' access for the website id = {site}.");
    Some(refusal(&message))
}

fn refusal(message: &str) -> Reply {
    Reply::Json(401, error(message))
}

fn value(store: &Store, call: &Call) -> Value {
    match call.method() {
        "API.getMatomoVersion" | "API.getPiwikVersion" => json!({"value": "5.0.2"}),
        "SitesManager.getSiteFromId" => store.look(|kept| kept.sites.show(call.site())).unwrap_or_else(|| {
            error(&format!(
                "An unexpected website was found in the request: website id was set to '{}'",
                call.text("idSite")
            ))
        }),
        "SitesManager.getAllSites" => store.look(|kept| kept.sites.show_all()),
        "SitesManager.getSitesIdFromSiteUrl" => store.look(|kept| kept.sites.with_host_of(call.text("url"))),
        "SitesManager.addSite" => add_site(store, call),
        "Live.getLastVisitsDetails" => live::last_visits(store, call),
        "Live.getMostRecentVisitorId" => live::most_recent_visitor(store, call),
        "CoreAdminHome.invalidateArchivedReports" if is_superuser(store) => invalidate(store, call),
        other => error(&format!("The method '{other}' does not exist or is not available.")),
    }
}

/// How Matomo says that something went wrong, with any status.
pub fn error(message: &str) -> Value {
    json!({"result": "error", "message": message})
}

fn add_site(store: &Store, call: &Call) -> Value {
    let named = ["urls[0]", "urls", "siteName"].into_iter().map(|name| call.text(name)).find(|text| !text.is_empty());
    let main_url = match named {
        Some(url) if url.contains("//") => url.to_owned(),
        Some(host) => format!("http://{host}"),
        None => return error("Please specify a value for 'siteName'."),
    };
    json!({"value": store.change(|kept| kept.sites.add(&main_url))})
}

fn invalidate(store: &Store, call: &Call) -> Value {
    let list = |name: &str| {
        let items = call.0.iter().filter(|(key, _)| key.as_str() == name || key.starts_with(&format!("{name}[")));
        let split = items.flat_map(|(_, value)| value.split(','));
        split.map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect::<Vec<_>>()
    };
    let dates = list("dates");
    let sites: Vec<u64> = list("idSites").iter().filter_map(|site| site.parse().ok()).collect();
    if dates.is_empty() || sites.is_empty() || !store.look(|kept| sites.iter().all(|site| kept.sites.contains(*site))) {
        return error("Specify a value for 'dates' and for 'idSites'.");
    }
    store.change(|kept| {
        for site in sites {
            kept.invalidated.entry(site).or_default().extend(dates.iter().cloned());
        }
    });
    json!([format!("Success. The following dates were invalidated successfully: {}", dates.join(", "))])
}
