//! Old raw data: counted, deleted by Matomo, counted again.

use jiff::civil::Date;
use jiff::{Span, Timestamp};
use tracing::{info, warn};

use super::Attempt;
use crate::config::{Sites, site_list};
use crate::installation::Installation;
use crate::job::delete_command;
use crate::outcome::{Class, Outcome};
use crate::raw_data::Range;
use crate::transcript::Transcript;

impl Attempt<'_> {
    /// Deletes what is older than the days to keep.
    pub(super) async fn delete(
        &self,
        installation: &Installation,
        days: u64,
        sites: &Sites,
        said: &mut Transcript,
    ) -> Outcome {
        let today = Timestamp::now().to_zoned(self.settings.zone.clone()).date();
        let Some(range) = Range::older_than(days, today) else {
            return Outcome::new(Class::NothingToDo, format!("no raw data can be older than {days} days"));
        };
        let whose = match sites {
            Sites::All => String::new(),
            Sites::These(sites) => site_list(sites),
        };
        info!(from = %range.from(), to = %range.to(), sites = shown(&whose), "Raw data to delete");
        let before = self.count(installation, range, &whose).await;
        match (self.dry_run, before) {
            (true, Some(count)) => {
                return Outcome::new(
                    Class::Ok,
                    format!("dry run: {count} visits up to {} would be deleted", range.to()),
                );
            }
            (true, None) => return Outcome::new(Class::Failed, "dry run: the visits cannot be counted"),
            (false, Some(0)) => {
                return Outcome::new(Class::NothingToDo, format!("there is no visit up to {}", range.to()));
            }
            (false, _) => {}
        }
        let outcome = self.command(installation, &delete_command(range, sites), said).await;
        if outcome.class != Class::Ok {
            return outcome;
        }
        done(range.to(), before, self.count(installation, range, &whose).await)
    }

    /// Visits that ended up to the last day of the range.
    async fn count(&self, installation: &Installation, range: Range, sites: &str) -> Option<u64> {
        let before = range.to().saturating_add(Span::new().days(1));
        match installation.count_visits(before, sites, self.shutdown).await {
            Ok(count) => Some(count),
            Err(error) => {
                warn!(why = crate::sentence(&error), "Visits cannot be counted");
                None
            }
        }
    }
}

fn shown(sites: &str) -> &str {
    if sites.is_empty() { "all" } else { sites }
}

fn done(to: Date, before: Option<u64>, after: Option<u64>) -> Outcome {
    match (before, after) {
        (Some(before), Some(after)) if after < before => Outcome::new(
            Class::Ok,
            format!("{} visits up to {to} are deleted: {before} before, {after} now", before - after),
        ),
        (Some(before), Some(after)) => {
            let sentence =
                format!("Matomo says it is done, but no visit up to {to} is gone: {before} before, {after} now");
            Outcome::new(Class::Failed, sentence)
                .help("run Matomo's core:delete-logs-data by hand and read what it says")
        }
        _ => Outcome::new(Class::Warnings, format!("visits up to {to} are deleted, but could not be counted")),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn deleting_is_judged_by_what_is_gone() {
        let class = |before, after| done(date(2026, 1, 1), before, after).class;
        assert_eq!(class(Some(5), Some(0)), Class::Ok);
        assert_eq!(class(Some(5), Some(2)), Class::Ok, "the last day may stay");
        assert_eq!(class(Some(5), Some(5)), Class::Failed);
        assert_eq!(class(None, Some(0)), Class::Warnings);
    }
}
