//! The jobs that the settings ask for, each with its name, its schedule and its command line.

use shared::entry::{Exit, Failure};
use shared::schedule::Schedule;

use crate::config::{Settings, Sites, When, site_list};
use crate::raw_data::Range;

/// The name of the main job.
pub const ARCHIVE: &str = "archive";
/// The name of the job that frees rows nobody works on.
pub const FREE: &str = "free";

/// What a job does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Compute reports.
    Archive,
    /// Free rows of the archiving queue.
    Free,
    /// Run Matomo's scheduled tasks.
    ScheduledTasks,
    /// Delete raw data older than some days.
    DeleteRawData {
        /// How many days stay.
        days: u64,
        /// Whose.
        sites: Sites,
    },
    /// Any command of the console.
    Console(Vec<String>),
}

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    /// What `once` calls it.
    pub name: String,
    /// When `run` runs it; none for those that only `once` runs.
    pub schedule: Option<Schedule>,
    /// What it does.
    pub work: Work,
}

/// Every job that the settings describe, scheduled or not.
///
/// # Errors
/// When settings do not fit each other; all such faults at once.
pub fn plan(settings: &Settings) -> Result<Vec<Job>, Failure> {
    let mut faults = Vec::new();
    let mut jobs = Vec::new();
    let mut add = |name: &str, when: Option<&When>, work: Work| {
        let schedule = when.and_then(|when| when.0.clone()).map(|schedule| schedule.in_zone(&settings.zone));
        jobs.push(Job { name: name.to_owned(), schedule, work });
    };
    add(ARCHIVE, Some(&settings.archive), Work::Archive);
    add(FREE, None, Work::Free);
    add("scheduled-tasks", settings.scheduled_tasks.as_ref(), Work::ScheduledTasks);
    add("ldap", settings.ldap.as_ref(), Work::Console(vec!["loginldap:synchronize-users".to_owned()]));
    match (settings.days_to_keep, &settings.sites_to_delete) {
        (Some(days), Some(sites)) => {
            let work = Work::DeleteRawData { days: days.get(), sites: sites.clone() };
            add("delete-raw-data", settings.delete.as_ref(), work);
        }
        (days, sites) if settings.delete.as_ref().is_some_and(|when| when.0.is_some()) => {
            if days.is_none() {
                faults.push(
                    "MATOMO_DELETE_CRON is set, but not DAYS_TO_KEEP: how many days of raw data stay, for example 730",
                );
            }
            if sites.is_none() {
                faults.push("MATOMO_DELETE_CRON is set, but not SITE_TO_DELETE: whose raw data is deleted, for example 1,2 or all");
            }
        }
        _ => {}
    }
    for (name, job) in settings.jobs.iter() {
        add(&name.to_lowercase(), Some(&When(Some(job.schedule.clone()))), Work::Console(job.command.clone()));
    }
    let mut twice = None;
    for (at, job) in jobs.iter().enumerate() {
        if jobs[..at].iter().any(|other| other.name == job.name) {
            twice =
                Some(format!("CONSOLE_JOB_{} takes the name of a job that is there already", job.name.to_uppercase()));
        }
    }
    faults.extend(twice.as_deref());
    if faults.is_empty() { Ok(jobs) } else { Err(unusable(&faults)) }
}

fn unusable(faults: &[&str]) -> Failure {
    let count = faults.len();
    let settings = if count == 1 { "setting does" } else { "settings do" };
    let list: String = faults.iter().map(|fault| format!("\n  - {fault}")).collect();
    Failure::new(Exit::Config, format!("{count} {settings} not fit the others{list}"))
        .help("correct the environment of the container and start it again; nothing was done")
}

/// The words after `php` that run a command of the console: no colours, no questions.
pub fn console_words(settings: &Settings, console: &str, command: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(memory) = &settings.memory {
        words.extend(["-d".to_owned(), memory.directive()]);
    }
    words.push(console.to_owned());
    words.extend(command.iter().cloned());
    words.extend(["--no-ansi", "--no-interaction"].map(str::to_owned));
    words
}

/// `core:archive` with everything the settings say about it.
pub fn archive_command(settings: &Settings) -> Vec<String> {
    let mut words = vec!["core:archive".to_owned()];
    let mut option = |name: &str, value: Option<String>| words.extend(value.map(|value| format!("--{name}={value}")));
    let list = |sites: &[_]| Some(site_list(sites)).filter(|list| !list.is_empty());
    option("url", settings.matomo_url.as_ref().map(|url| public(url.as_str())));
    option("concurrent-archivers", settings.archivers.map(|count| count.0.to_string()));
    option("concurrent-requests-per-website", settings.requests.map(|count| count.0.to_string()));
    option("force-idsites", list(&settings.sites));
    option("skip-idsites", list(&settings.skip_sites));
    // The processes that Matomo starts for itself do not inherit it.
    option("php-cli-options", settings.memory.as_ref().map(|memory| format!("-d {}", memory.directive())));
    if settings.scheduled_tasks.as_ref().is_some_and(|when| when.0.is_some()) {
        words.push("--disable-scheduled-tasks".to_owned());
    }
    words.extend(settings.options.0.iter().cloned());
    words
}

/// An address without user, password and query: everybody on the host may read a command line.
fn public(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}/{path}").trim_end_matches('/').to_owned()
}

/// `core:delete-logs-data` for a range and some sites.
pub fn delete_command(range: Range, sites: &Sites) -> Vec<String> {
    let mut words = vec!["core:delete-logs-data".to_owned(), format!("--dates={range}")];
    if let Sites::These(sites) = sites {
        words.push(format!("--idsite={}", site_list(sites)));
    }
    words
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::config::neighbours;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        shared::config::read::<Settings>(variables.iter().copied(), &neighbours()).unwrap().settings
    }

    #[test]
    fn core_archive_gets_what_the_settings_say() {
        assert_eq!(archive_command(&settings(&[])), ["core:archive"]);
        let all = settings(&[
            ("MATOMO_URL", "matomo"),
            ("CONCURRENT_ARCHIVERS", "1"),
            ("CONCURRENT_REQS_PER_WEBSITE", "-1"),
            ("IDSITE", "1, 2"),
            ("EXCLUDEIDSITE", "3"),
            ("PHP_MEMORY_LIMIT", "2G"),
            ("SCHEDULED_TASKS_CRON", "@hourly"),
            ("ARCHIVE_OPTIONS", "--skip-all-segments --force-date-range='2026-01-01,2026-02-01'"),
        ]);
        let expected = [
            "core:archive",
            "--url=http://matomo",
            "--concurrent-archivers=1",
            "--concurrent-requests-per-website=-1",
            "--force-idsites=1,2",
            "--skip-idsites=3",
            "--php-cli-options=-d memory_limit=2G",
            "--disable-scheduled-tasks",
            "--skip-all-segments",
            "--force-date-range=2026-01-01,2026-02-01",
        ];
        assert_eq!(archive_command(&all), expected);
        let words = console_words(&all, "/m/console", &["core:archive".to_owned()]);
        assert_eq!(words, ["-d", "memory_limit=2G", "/m/console", "core:archive", "--no-ansi", "--no-interaction"]);
    }

    #[test]
    fn an_address_on_a_command_line_has_no_secret() {
        for (address, shown) in
            [("http://matomo", "http://matomo"), ("https://u:p@matomo:8443/a/b?c=d", "https://matomo:8443/a/b")]
        {
            assert_eq!(public(address), shown, "{address}");
        }
    }

    #[test]
    fn jobs_follow_from_the_settings() {
        let names = |variables: &[(&str, &str)]| {
            let jobs = plan(&settings(variables)).unwrap();
            jobs.into_iter().filter(|job| job.schedule.is_some()).map(|job| job.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["archive"]);
        assert_eq!(names(&[("MATOMO_ARCHIVE_CRON", "off")]), [""; 0]);
        let all = [
            ("MATOMO_DELETE_CRON", "0 0 4 5 * *"),
            ("DAYS_TO_KEEP", "365"),
            ("SITE_TO_DELETE", "all"),
            ("MATOMO_LDAP_CRON", "0 0 23 * * *"),
            ("SCHEDULED_TASKS_CRON", "@hourly"),
            ("CONSOLE_JOB_PURGE", "@daily core:purge-old-archive-data all"),
        ];
        assert_eq!(names(&all), ["archive", "scheduled-tasks", "ldap", "delete-raw-data", "purge"]);
    }

    #[test]
    fn settings_that_do_not_fit_are_all_named_at_once() {
        let fault =
            plan(&settings(&[("MATOMO_DELETE_CRON", "@daily"), ("CONSOLE_JOB_LDAP", "@daily x:y")])).unwrap_err();
        let letter = fault.to_string();
        assert_eq!(fault.exit, Exit::Config);
        for name in ["DAYS_TO_KEEP", "SITE_TO_DELETE", "CONSOLE_JOB_LDAP"] {
            assert!(letter.contains(name), "{letter}");
        }
    }

    #[test]
    fn c_148_the_command_that_deletes_has_both_ends_of_its_range() {
        let range = Range::older_than(365, date(2025, 2, 28)).unwrap();
        let sites = Sites::These(vec![crate::config::SiteId(1), crate::config::SiteId(4)]);
        assert_eq!(
            delete_command(range, &sites),
            ["core:delete-logs-data", "--dates=2000-01-01,2024-02-29", "--idsite=1,4"]
        );
        assert_eq!(delete_command(range, &Sites::All).len(), 2);
    }
}
