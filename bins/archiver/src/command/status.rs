//! `status`: what is known about each site and each job, read from the history; nothing is asked or changed.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;
use shared::entry::{Exit, Failure};

use super::history::moment;
use crate::history::{Run, State, UnderWay};
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
    /// How old that is: what came in since then is in no report yet.
    stale_minutes: Option<i64>,
    /// The latest day whose reports were computed.
    latest_day: Option<Date>,
    /// Errors of its last run.
    errors: u64,
    /// Matomo leaves it out, because its rows of the queue are stuck.
    stuck: bool,
    /// The last archiving that went through did not mention it: nothing new came in, or it was left out.
    not_in_last_run: bool,
}

/// What is known about a job.
#[derive(Debug, Serialize)]
struct Job {
    job: String,
    last_run: Timestamp,
    seconds: f64,
    outcome: Class,
    sentence: String,
    last_good: Option<Timestamp>,
    failures_in_a_row: usize,
}

#[derive(Debug, Serialize)]
struct Status {
    /// The job that is at work now, if any.
    under_way: Option<UnderWay>,
    jobs: Vec<Job>,
    sites: Vec<Site>,
}

/// Shows every job and every site.
pub fn status(json: bool) -> Result<Exit, Failure> {
    let (settings, runs) = super::look()?;
    let now = Timestamp::now();
    let state = State::look(&settings.state_dir, usize::MAX);
    let under_way = state.under_way().filter(|run| run.is_alive(now));
    let status = Status { under_way, jobs: jobs(&runs), sites: sites(&runs, now) };
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
        let failed = run.outcome.is_failure();
        let job = Job {
            job: run.job.clone(),
            last_run: run.ended,
            seconds: run.seconds(),
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
        // A pause says nothing about sites.
        for site in sites.values_mut().filter(|_| !run.outcome.is_pause()) {
            site.not_in_last_run = run.outcome.is_good();
            // A run that was cut off has not always read the queue.
            site.stuck &= run.outcome.is_unclean();
        }
        for id in &run.stuck {
            known(&mut sites, *id).stuck = true;
        }
        for (id, did) in &run.sites {
            let site = known(&mut sites, *id);
            site.not_in_last_run = false;
            site.errors = did.errors;
            site.latest_day = site.latest_day.max(did.last_day);
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

fn known(sites: &mut BTreeMap<u32, Site>, id: u32) -> &mut Site {
    sites.entry(id).or_insert_with(|| Site { site: id, ..Site::default() })
}

impl Site {
    fn note(&self) -> String {
        let errors = format!("{} error{}", self.errors, if self.errors == 1 { "" } else { "s" });
        let notes = [
            (self.stuck, "stuck: archiver once free"),
            (self.errors > 0, &errors),
            (self.slow, "slow"),
            (self.not_in_last_run && !self.stuck, "not in the last run"),
        ];
        notes.into_iter().filter(|(applies, _)| *applies).map(|(_, note)| note).collect::<Vec<_>>().join(", ")
    }
}

/// `12m`, `5h`, `3d`
fn age(minutes: i64) -> String {
    match minutes {
        ..120 => format!("{minutes}m"),
        120..2_880 => format!("{}h", minutes / 60),
        _ => format!("{}d", minutes / 1_440),
    }
}

fn median(times: &[f64]) -> Option<f64> {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

fn text(status: &Status, zone: &TimeZone) -> String {
    let under_way = status.under_way.as_ref().map_or_else(String::new, |run| {
        format!("Job {} is under way on host {} since {}\n\n", run.job, run.host, moment(run.started, zone))
    });
    if status.jobs.is_empty() {
        return format!("{under_way}No run has ended yet\n");
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
                seconds(Some(job.seconds)),
                job.outcome.to_string(),
                shown(job.last_good),
                job.failures_in_a_row.to_string(),
                job.sentence.clone(),
            ]
        })
        .collect();
    let sites: Vec<Vec<String>> = status
        .sites
        .iter()
        .map(|site| {
            vec![
                site.site.to_string(),
                shown(site.last_finished),
                site.stale_minutes.map_or_else(|| "-".to_owned(), age),
                site.latest_day.map_or_else(|| "-".to_owned(), |day| day.to_string()),
                seconds(site.seconds),
                seconds(site.usual_seconds),
                site.note(),
            ]
        })
        .collect();
    let jobs = super::table(&["JOB", "LAST RUN", "SECONDS", "OUTCOME", "LAST GOOD", "FAILURES", "WHAT"], &jobs);
    let sites = super::table(&["SITE", "LAST FINISHED", "STALE", "LATEST DAY", "SECONDS", "USUALLY", "NOTE"], &sites);
    format!("{under_way}{jobs}\n{sites}")
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
            stuck: Vec::new(),
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
    fn a_site_that_is_stuck_or_not_mentioned_is_told() {
        let notes = |runs: &[Run]| {
            let sites = sites(runs, runs[0].ended);
            sites.iter().map(|site| (site.site, site.note())).collect::<Vec<_>>()
        };
        let before = run(0, Class::Ok, &[(1, 1.0, 0), (2, 1.0, 0)]);
        let stuck = Run { stuck: vec![2, 5], ..run(60, Class::Warnings, &[]) };
        let told = |site: u32, note: &str| (site, note.to_owned());
        let is_stuck = "stuck: archiver once free";
        assert_eq!(
            notes(&[before.clone(), stuck.clone()]),
            [told(1, "not in the last run"), told(2, is_stuck), told(5, is_stuck)]
        );
        let after = run(120, Class::Ok, &[(2, 1.0, 1)]);
        assert_eq!(
            notes(&[before.clone(), stuck, after]),
            [told(1, "not in the last run"), told(2, "1 error"), told(5, "not in the last run")]
        );
        assert_eq!(notes(&[before, run(60, Class::Skipped, &[])]), [told(1, ""), told(2, "")], "a pause says nothing");
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        assert_eq!([0, 119, 120, 2_879, 2_880].map(age), ["0m", "119m", "2h", "47h", "2d"]);
    }

    #[test]
    fn neither_a_pause_nor_a_stop_is_a_failure() {
        let runs = [Class::Ok, Class::Failed, Class::Maintenance, Class::Failed, Class::Stopped]
            .map(|class| run(0, class, &[]));
        assert_eq!(jobs(&runs)[0].failures_in_a_row, 2);
        assert_eq!(jobs(&runs[..1])[0].failures_in_a_row, 0);
    }
}
