//! Matomo's reporting API, always by POST and with the token in the body.
//! Errors come with status 200 as often as not, so only the body tells.

use jiff::tz::{Offset, TimeZone};
use serde_json::Value;
use shared::http::{FORM, HttpError, form};

use super::{Matomo, bulk, sentence};
use crate::discover::SiteId;

/// A call to the API did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer.
    #[error("Matomo cannot be asked ({method})")]
    Http {
        /// The API's method.
        method: &'static str,
        /// Why.
        #[source]
        error: HttpError,
    },
    /// Matomo answered that it will not.
    #[error("Matomo refuses {method}: {message}")]
    Refused {
        /// The API's method.
        method: &'static str,
        /// Matomo's words.
        message: String,
    },
    /// The answer is longer than is read.
    #[error("the answer to {method} is too long")]
    TooLong {
        /// The API's method.
        method: &'static str,
    },
    /// The token is not valid.
    #[error("Matomo does not know the token (status 401)")]
    Token,
    /// The answer is not Matomo's.
    #[error("the answer to {method} (status {status}) is not Matomo's JSON: {excerpt}")]
    NotMatomo {
        /// The API's method.
        method: &'static str,
        /// Status code.
        status: u16,
        /// How it begins.
        excerpt: String,
    },
}

impl ApiError {
    /// The error and its causes in one sentence.
    pub fn sentence(&self) -> String {
        sentence(self)
    }
}

/// What Matomo knows about one of its sites.
#[derive(Debug, Clone)]
pub struct SiteFacts {
    /// The site.
    pub id: SiteId,
    /// Its main address, as Matomo has it.
    pub main_url: String,
    /// Its time zone, in which days begin.
    pub zone: TimeZone,
}

impl Matomo {
    /// Calls a method of the API.
    ///
    /// # Errors
    /// When there is no answer, or one that is an error.
    pub(super) async fn api(&self, method: &'static str, parameters: &[(&str, &str)]) -> Result<Value, ApiError> {
        let token = self.address.token.as_ref().map(|token| ("token_auth", token.reveal()));
        let call = [("module", "API"), ("format", "json"), ("method", method)];
        let pairs: Vec<_> = call.iter().chain(parameters).copied().chain(token).collect();
        let mut url = format!("{}/index.php", self.address.api_url);
        if let Some(suffix) = &self.address.suffix {
            url.push('?');
            url.push_str(suffix);
        }
        let asked = self.http.post(&url, FORM, form(&pairs)).await;
        let answer = asked.map_err(|error| match error {
            HttpError::TooLarge { .. } => ApiError::TooLong { method },
            error => ApiError::Http { method, error },
        })?;
        self.clock.note(answer.date);
        if answer.status == 401 && !names_a_site(&answer.body) {
            return Err(ApiError::Token);
        }
        let not_matomo = || ApiError::NotMatomo { method, status: answer.status, excerpt: bulk::excerpt(&answer.body) };
        let value: Value = serde_json::from_slice(&answer.body).map_err(|_| not_matomo())?;
        if value["result"] == "error" {
            let message = value["message"].as_str().unwrap_or("(no reason given)").to_owned();
            return Err(ApiError::Refused { method, message });
        }
        if answer.status == 200 { Ok(value) } else { Err(not_matomo()) }
    }

    /// Matomo's version: proof that it is up, its database too, and that the token is valid.
    ///
    /// # Errors
    /// When it does not answer or does not know the token.
    pub async fn version(&self) -> Result<String, ApiError> {
        let value = self.api("API.getMatomoVersion", &[]).await?;
        Ok(value["value"].as_str().unwrap_or("unknown").to_owned())
    }

    /// What Matomo knows about a site.
    ///
    /// # Errors
    /// When the site does not exist or the token may not see it.
    pub async fn site(&self, id: SiteId) -> Result<SiteFacts, ApiError> {
        let method = "SitesManager.getSiteFromId";
        let value = self.api(method, &[("idSite", &id.to_string())]).await?;
        // Matomo before 4 answers with a list of one.
        let facts = value.get(0).unwrap_or(&value);
        let Some(main_url) = facts["main_url"].as_str() else {
            return Err(ApiError::Refused { method, message: format!("site {id} has no main address") });
        };
        let zone = facts["timezone"].as_str().and_then(zone_of);
        Ok(SiteFacts { id, main_url: main_url.to_owned(), zone: zone.unwrap_or(TimeZone::UTC) })
    }

    /// The sites that an address belongs to.
    ///
    /// # Errors
    /// When Matomo does not answer or refuses.
    pub async fn sites_of_host(&self, host: &str) -> Result<Vec<SiteId>, ApiError> {
        let value = self.api("SitesManager.getSitesIdFromSiteUrl", &[("url", host)]).await?;
        let ids = value.as_array().into_iter().flatten().filter_map(|site| number(&site["idsite"]));
        Ok(ids.map(SiteId).collect())
    }

    /// All sites that the token may see, with their main addresses.
    ///
    /// # Errors
    /// When Matomo does not answer or refuses.
    pub async fn all_sites(&self) -> Result<Vec<(SiteId, String)>, ApiError> {
        let value = self.api("SitesManager.getAllSites", &[]).await?;
        let sites: Vec<&Value> = match &value {
            Value::Object(sites) => sites.values().collect(),
            other => other.as_array().into_iter().flatten().collect(),
        };
        let known = |site: &&Value| Some((SiteId(number(&site["idsite"])?), site["main_url"].as_str()?.to_owned()));
        Ok(sites.iter().filter_map(known).collect())
    }

    /// Creates a site.
    ///
    /// # Errors
    /// When Matomo does not answer or the token is not a superuser's.
    pub async fn add_site(&self, name: &str, url: &str) -> Result<SiteId, ApiError> {
        let method = "SitesManager.addSite";
        let value = self.api(method, &[("siteName", name), ("urls[0]", url)]).await?;
        let refused = || ApiError::Refused { method, message: bulk::excerpt(value.to_string().as_bytes()) };
        number(&value["value"]).map(SiteId).ok_or_else(refused)
    }
}

/// Whether a refusal is about a website that the token may not see, or that does not exist: for a token that is not a
/// superuser's, Matomo says both with status 401. A token that it does not know gets a page.
fn names_a_site(body: &[u8]) -> bool {
    let message = serde_json::from_slice::<Value>(body).ok();
    message.and_then(|answer| Some(answer["message"].as_str()?.contains("website id"))).unwrap_or(false)
}

/// The zone of a site's days. Matomo knows offsets beside the names of the tz database: `UTC+5.5` is five and a half hours
/// east of Greenwich (not west, as in POSIX).
fn zone_of(name: &str) -> Option<TimeZone> {
    match name.strip_prefix("UTC") {
        // Asking the database for it reads all its folders.
        Some("") => Some(TimeZone::UTC),
        Some(hours) => {
            let seconds = hours.parse::<f64>().ok()? * 3600.0;
            Offset::from_seconds(seconds as i32).ok().map(TimeZone::fixed)
        }
        None => TimeZone::get(name).ok(),
    }
}

fn number(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u32::try_from(number).ok()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_refusal_about_a_site_is_not_about_the_token() {
        let of_a_site = r#"{"result":"error","message":"You can't access this resource as it requires 'view' access for the website id = 99."}"#;
        assert!(names_a_site(of_a_site.as_bytes()));
        let of_the_token =
            ["<html>Unable to authenticate with the provided token", r#"{"result":"error","message":"no"}"#, ""];
        assert!(!of_the_token.iter().any(|body| names_a_site(body.as_bytes())));
    }

    #[test]
    fn the_zone_of_a_site_is_a_name_or_hours_east_of_greenwich() {
        let hours = |name| {
            let zone: TimeZone = zone_of(name)?;
            Some(f64::from(zone.to_offset(Timestamp::UNIX_EPOCH).seconds()) / 3600.0)
        };
        assert_eq!(hours("UTC"), Some(0.0));
        assert_eq!(hours("UTC+5.5"), Some(5.5));
        assert_eq!(hours("UTC-11"), Some(-11.0));
        assert_eq!(hours("Europe/Copenhagen"), Some(1.0));
        assert_eq!(hours("UTC+infinity"), None);
        assert_eq!(hours("Atlantis/Harbour"), None);
    }
}
