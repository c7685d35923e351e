//! What the log says about a run: a line per site, a summary, and the last words of a run that failed.

use jiff::Timestamp;
use tracing::{Level, debug, enabled, error, info, warn};

use crate::job::Job;
use crate::outcome::{Class, Outcome};
use crate::transcript::{Heard, Transcript, hide, without_colours};

const SLOW_SITES_SHOWN: usize = 3;

/// A line of Matomo: sites for everybody, the rest for those who ask for details.
pub(super) fn say_line(heard: &Heard, line: &[u8]) {
    if let Heard::Site(site, run) = heard {
        let seconds = run.seconds.unwrap_or_default();
        match run.errors {
            0 => info!(site, seconds, requests = run.requests, "Site archived"),
            errors => warn!(site, seconds, requests = run.requests, errors, "Site archived with errors"),
        }
    }
    if enabled!(Level::DEBUG) {
        debug!("matomo: {}", hide(without_colours(line).trim_end()));
    }
}

/// The end of a run, with its last output when a person must act.
pub(super) fn say_end(job: &Job, outcome: &Outcome, said: &Transcript, started: Timestamp) {
    let bad = !outcome.class.is_good() && !outcome.class.is_pause();
    if bad {
        said.tail().for_each(|line| warn!("last output: {line}"));
    } else {
        said.samples.iter().for_each(|line| warn!("Matomo warns: {line}"));
    }
    let seconds = (Timestamp::now() - started).total(jiff::Unit::Second).unwrap_or_default().round();
    let (job, class, sentence) = (&job.name, outcome.class, &outcome.sentence);
    let sites = said.sites.values().filter(|site| site.finished).count();
    let slowest = slowest(said);
    let help = outcome.help;
    match class {
        Class::Ok | Class::NothingToDo => info!(job, outcome = %class, sentence, seconds, sites, slowest, "Job ended"),
        Class::Warnings | Class::Maintenance | Class::Skipped | Class::Stopped => {
            warn!(job, outcome = %class, sentence, seconds, sites, slowest, help, "Job ended");
        }
        Class::Unclear | Class::Failed | Class::TimedOut | Class::Killed => {
            error!(job, outcome = %class, sentence, seconds, sites, slowest, help, "Job ended badly");
        }
    }
}

/// `7:81s 4:12s 1:3s`, or a dash.
fn slowest(said: &Transcript) -> String {
    let mut sites: Vec<(f64, u32)> = said.sites.iter().filter_map(|(site, run)| Some((run.seconds?, *site))).collect();
    sites.sort_by(|one, other| other.0.total_cmp(&one.0));
    let shown: Vec<String> =
        sites.iter().take(SLOW_SITES_SHOWN).map(|(seconds, site)| format!("{site}:{seconds:.0}s")).collect();
    if shown.is_empty() { "-".to_owned() } else { shown.join(" ") }
}

/// The jobs and their next runs, at the start.
pub fn say_plan(jobs: &[Job], now: Timestamp) {
    const SLOTS_SHOWN: usize = 3;
    for job in jobs {
        let Some(schedule) = &job.schedule else { continue };
        let zone = schedule.zone();
        let next: Vec<String> = schedule
            .next_runs(now, SLOTS_SHOWN)
            .iter()
            .map(|slot| slot.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string())
            .collect();
        info!(job = job.name, schedule = schedule.in_words(), next = next.join(", "), "Schedule");
    }
}
