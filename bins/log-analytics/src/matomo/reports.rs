//! Tells Matomo which days have new hits, so that their reports are computed again.
//! Matomo notes past days by itself too; the call only makes it sooner. Superuser tokens only in Matomo 5.

use jiff::civil::Date;

use super::{ApiError, Matomo};
use crate::discover::SiteId;

/// What became of the wish to invalidate reports.
#[derive(Debug)]
pub enum Invalidation {
    /// Matomo will compute them again.
    Done,
    /// The token may not ask for it (`result: error`, with status 200); Matomo notes past days by itself.
    LeftToMatomo(String),
}

impl Matomo {
    /// Invalidates the reports of some days of a site.
    ///
    /// # Errors
    /// When Matomo does not answer.
    pub async fn invalidate(&self, site: SiteId, days: impl Iterator<Item = &Date>) -> Result<Invalidation, ApiError> {
        let days: Vec<String> = days.map(Date::to_string).collect();
        let parameters = [("idSites", &*site.to_string()), ("dates", &days.join(","))];
        match self.api("CoreAdminHome.invalidateArchivedReports", &parameters).await {
            Ok(_) => Ok(Invalidation::Done),
            Err(ApiError::Refused { message, .. }) => Ok(Invalidation::LeftToMatomo(message)),
            Err(error) => Err(error),
        }
    }
}
