//! `status`: what is known about each site and each job, read from the history; nothing is asked or changed.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::history::moment;
use crate::history::Run;
use crate::job::ARCHIVE;
use crate::outcome::Class;

/// A site is slow when its last run took this many times what it takes as a rule, and more than a minute.
const SLOW_FACTOR: f64 = 2.0;
const SLOW_SECONDS_MIN: f64 = 60.0;

/// What is known about a site.
#[derive(Debug, Default, Serialize)]
struct Site {
    site: u32,
    /// When Matomo was last done with it, without an error.
    last_finished: Option<Timestamp>,
    /// How long that took.
    seconds: Option<f64>,
    /// How long it takes as a rule: the median.
    usual_seconds: Option<f64>,
    /// Much longer than as a rule.
    slow: bool,
    /// Since then today's reports do not change.
    stale_minutes: Option<i64>,
    /// Errors of its last run.
    errors: u64,
}

/// What is known about a job.
#[derive(Debug, Serialize)]
struct Job {
    job: String,
    last_run: Timestamp,
    outcome: Class,
    sentence: String,
    last_good: Option<Timestamp>,
    failures_in_a_row: usize,
}

#[derive(Debug, Serialize)]
struct Status {
    jobs: Vec<Job>,
    sites: Vec<Site>,
}

/// Shows every job and every site.
pub fn status(json: bool) -> Result<Exit, Failure> {
    let (settings, runs) = super::look()?;
    let status = Status { jobs: jobs(&runs), sites: sites(&runs, Timestamp::now()) };
    let text = if json {
        serde_json::to_string_pretty(&status).unwrap_or_default() + "\n"
    } else {
        text(&status, &settings.zone)
    };
    super::say(&text);
    Ok(Exit::Done)
}

fn jobs(runs: &[Run]) -> Vec<Job> {
    let mut jobs: BTreeMap<&str, Job> = BTreeMap::new();
    for run in runs {
        let earlier = jobs.remove(run.job.as_str());
        let (last_good, failures) = earlier.map_or((None, 0), |job| (job.last_good, job.failures_in_a_row));
        let good = run.outcome.is_good();
        let failed = !good && !run.outcome.is_pause();
        let job = Job {
            job: run.job.clone(),
            last_run: run.ended,
            outcome: run.outcome,
            sentence: run.sentence.clone(),
            last_good: if good { Some(run.ended) } else { last_good },
            failures_in_a_row: if good { 0 } else { failures + usize::from(failed) },
        };
        jobs.insert(&run.job, job);
    }
    jobs.into_values().collect()
}

fn sites(runs: &[Run], now: Timestamp) -> Vec<Site> {
    let mut sites: BTreeMap<u32, Site> = BTreeMap::new();
    let mut times: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.job == ARCHIVE) {
        for (id, did) in &run.sites {
            let site = sites.entry(*id).or_insert_with(|| Site { site: *id, ..Site::default() });
            site.errors = did.errors;
            if did.finished && did.errors == 0 {
                site.last_finished = Some(run.ended);
                site.seconds = did.seconds;
                times.entry(*id).or_default().extend(did.seconds);
            }
        }
    }
    for site in sites.values_mut() {
        site.usual_seconds = times.get(&site.site).and_then(|times| median(times));
        site.slow = site
            .seconds
            .zip(site.usual_seconds)
            .is_some_and(|(last, usual)| last > SLOW_SECONDS_MIN && last > SLOW_FACTOR * usual);
        site.stale_minutes = site.last_finished.map(|finished| now.duration_since(finished).as_mins());
    }
    sites.into_values().collect()
}

fn median(times: &[f64]) -> Option<f64> {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

fn text(status: &Status, zone: &TimeZone) -> String {
    if status.jobs.is_empty() {
        return "No run has ended yet\n".to_owned();
    }
    let shown = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| moment(time, zone));
    let seconds = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}"));
    let jobs: Vec<Vec<String>> = status
        .jobs
        .iter()
        .map(|job| {
            vec![
                job.job.clone(),
                shown(Some(job.last_run)),
                job.outcome.to_string(),
                shown(job.last_good),
                job.sentence.clone(),
            ]
        })
        .collect();
    let sites: Vec<Vec<String>> = status
        .sites
        .iter()
        .map(|site| {
            let note = match (site.errors, site.slow) {
                (0, false) => String::new(),
                (0, true) => "slow".to_owned(),
                (errors, _) => format!("{errors} errors"),
            };
            let stale = site.stale_minutes.map_or_else(|| "-".to_owned(), |minutes| format!("{minutes}m"));
            vec![
                site.site.to_string(),
                shown(site.last_finished),
                seconds(site.seconds),
                seconds(site.usual_seconds),
                stale,
                note,
            ]
        })
        .collect();
    let jobs = super::table(&["JOB", "LAST RUN", "OUTCOME", "LAST GOOD", "WHAT"], &jobs);
    let sites = super::table(&["SITE", "LAST FINISHED", "SECONDS", "USUALLY", "STALE SINCE", "NOTE"], &sites);
    format!("{jobs}\n{sites}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::SiteRun;

    fn run(minute: i64, outcome: Class, sites: &[(u32, f64, u64)]) -> Run {
        let moment = Timestamp::from_second(1_767_225_600 + minute * 60).unwrap();
        let site = |(site, seconds, errors): &(u32, f64, u64)| {
            (*site, SiteRun { finished: true, seconds: Some(*seconds), errors: *errors, ..SiteRun::default() })
        };
        Run {
            job: ARCHIVE.to_owned(),
            started: moment,
            ended: moment,
            outcome,
            sentence: String::new(),
            archives: None,
            sites: sites.iter().map(site).collect(),
        }
    }

    #[test]
    fn sites_are_stale_since_they_last_finished_without_an_error() {
        let runs = [
            run(0, Class::Ok, &[(1, 10.0, 0), (2, 20.0, 0)]),
            run(60, Class::Ok, &[(1, 12.0, 0), (2, 19.0, 0)]),
            run(120, Class::Failed, &[(1, 90.0, 0), (2, 5.0, 3)]),
        ];
        let now = runs[2].ended + jiff::SignedDuration::from_mins(5);
        let sites = sites(&runs, now);
        let shown: Vec<_> = sites.iter().map(|site| (site.site, site.stale_minutes, site.slow, site.errors)).collect();
        assert_eq!(shown, [(1, Some(5), true, 0), (2, Some(65), false, 3)]);
        assert_eq!(sites[0].usual_seconds, Some(12.0));
    }

    #[test]
    fn a_pause_is_no_failure() {
        let runs = [Class::Ok, Class::Failed, Class::Maintenance, Class::Failed].map(|class| run(0, class, &[]));
        assert_eq!(jobs(&runs)[0].failures_in_a_row, 2);
        assert_eq!(jobs(&runs[..1])[0].failures_in_a_row, 0);
    }
}
