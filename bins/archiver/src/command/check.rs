//! `check`: settings and surroundings, everything at once; nothing is changed but our own state folder.

use jiff::Timestamp;
use shared::config;
use shared::entry::{Exit, Failure};
use shared::files::Lock;
use shared::findings::Findings;
use shared::shutdown::Shutdown;

use crate::config::Settings;
use crate::history::State;
use crate::installation::Installation;
use crate::job::{self, Job};
use crate::neighbour;
use crate::place::{NotReady, Php, Place};
use crate::web::{Silent, Web};

/// Reports on everything that a job needs.
pub fn check() -> Result<Exit, Failure> {
    let reading = config::from_env::<Settings>(&crate::config::neighbours())?;
    let settings = reading.settings;
    let mut findings = Findings::default();
    findings.good("settings can be used");
    reading.notices.iter().for_each(|notice| findings.advice(notice));
    state(&settings, &mut findings);
    let jobs = job::plan(&settings);
    let place = Place::find(&settings);
    match (&jobs, &place) {
        (Ok(jobs), Ok(place)) => {
            plan(jobs, &mut findings);
            if let Err(failure) = super::fits(jobs, place) {
                findings.failure(&failure);
            }
        }
        _ => [jobs.as_ref().err(), place.as_ref().err()]
            .into_iter()
            .flatten()
            .for_each(|failure| findings.failure(failure)),
    }
    if let Ok(place) = &place {
        super::block_on(matomo(&settings, place, &mut findings))?;
    }
    super::say(findings.text());
    Ok(findings.exit())
}

fn state(settings: &Settings, findings: &mut Findings) {
    let folder = settings.state_dir.display();
    let tried = State::open(&settings.state_dir, 1).map_err(|error| error.to_string()).and_then(|state| {
        Lock::try_take(&state.lock_file()).map(|lock| lock.is_some()).map_err(|error| crate::sentence(&error))
    });
    match tried {
        Ok(true) => findings.good(&format!("our state can be written in {folder}")),
        Ok(false) => findings.good(&format!("our state can be written in {folder}; a job is under way")),
        Err(error) => findings.fault(
            Exit::CannotCreate,
            &format!("our state cannot be written in {folder}: {error}"),
            "mount a volume there that this user may write to, or set STATE_DIR",
        ),
    }
}

fn plan(jobs: &[Job], findings: &mut Findings) {
    for job in jobs {
        let Some(schedule) = &job.schedule else { continue };
        let next: Vec<String> = schedule
            .next_runs(Timestamp::now(), 3)
            .iter()
            .map(|slot| super::history::moment(*slot, schedule.zone()))
            .collect();
        findings.good(&format!("job {} runs {}: next {}", job.name, schedule.in_words(), next.join(", ")));
    }
    if jobs.iter().all(|job| job.schedule.is_none()) {
        findings.advice("no job has a schedule: `run` would wait for ever");
    }
}

async fn matomo(settings: &Settings, place: &Place, findings: &mut Findings) {
    if let Place::Console(installation) = place {
        console(settings, installation, findings).await;
    }
    match place.is_ready().await {
        Ok(sentence) => findings.good(&sentence),
        Err(NotReady::Web(Silent::Maintenance)) => findings.advice("Matomo is in maintenance mode: archivings pause"),
        Err(error) => {
            let help = match place {
                Place::Console(_) => {
                    "install Matomo, and see that its database runs; jobs wait for it (WAIT_FOR_MATOMO)"
                }
                Place::Http(_) => "see that Matomo runs at MATOMO_URL and that MATOMO_TOKEN is a superuser's",
            };
            findings.fault(Exit::Unavailable, &crate::sentence(&error), help);
            return;
        }
    }
    if let Place::Http(web) = place {
        superuser(web, findings).await;
    }
    if let Place::Console(installation) = place {
        match installation.queue(&Shutdown::never()).await {
            Ok(rows) if rows.is_empty() => findings.good("no row of the archiving queue is under way"),
            Ok(rows) => findings.advice(&format!("rows of the archiving queue that are under way: {}", rows.len())),
            Err(error) => findings.advice(&format!(
                "the archiving queue cannot be read, so stuck sites are not noticed: {}",
                crate::sentence(&error)
            )),
        }
    }
}

/// Matomo knows many tokens, and archives for few.
async fn superuser(web: &Web, findings: &mut Findings) {
    match web.is_superuser().await {
        Ok(Some(true)) => findings.good("the token is a superuser's, as archiving needs"),
        Ok(Some(false)) => findings.fault(
            Exit::Config,
            "the token is not a superuser's, and Matomo archives for no other",
            "set MATOMO_TOKEN to the token of a user with superuser access",
        ),
        Ok(None) => findings.advice("Matomo does not say whether the token is a superuser's, which archiving needs"),
        Err(error) => {
            findings
                .advice(&format!("could not find out whether the token is a superuser's: {}", crate::sentence(&error)));
        }
    }
}

async fn console(settings: &Settings, installation: &Installation, findings: &mut Findings) {
    let user = installation
        .user
        .map_or_else(|| "the user of this process".to_owned(), |user| format!("user {}:{}", user.uid, user.gid));
    findings.good(&format!("{} is run by {} as {user}", installation.console.display(), installation.php.display()));
    let shell = match installation.probe(&Shutdown::never()).await {
        Ok(php) => {
            php_can(&php, findings);
            php.shell
        }
        Err(error) => {
            findings.fault(
                Exit::Code(126),
                &format!("PHP cannot be run: {}", crate::sentence(&error)),
                "see that the PHP command line works in this image",
            );
            true
        }
    };
    let lacks = match (shell, installation.has_ps()) {
        (true, true) => None,
        (true, false) => Some("there is no ps or no awk here"),
        (false, _) => Some("PHP may not start programs (disable_functions)"),
    };
    match (lacks, &settings.matomo_url) {
        (None, _) => findings.good("Matomo finds ps and awk, so its archiver starts its own processes"),
        (Some(lacks), Some(_)) => findings
            .advice(&format!("{lacks}: Matomo's archiver asks MATOMO_URL over HTTP instead, and does not see other archivers")),
        (Some(lacks), None) => findings.fault(
            Exit::Config,
            &format!("{lacks}: Matomo's archiver asks itself over HTTP and does not know its address, so every archive would fail"),
            "install procps and an awk in the image and allow shell_exec, or set MATOMO_URL",
        ),
    }
    let others = neighbour::archivers();
    if !others.is_empty() {
        let pids = others.iter().map(|other| other.pid.to_string()).collect::<Vec<_>>().join(", ");
        findings.advice(&format!("core:archive is at work in this process space: process {pids}"));
    }
}

fn php_can(php: &Php, findings: &mut Findings) {
    findings.good(&format!("PHP {} answers (memory_limit {})", php.version, php.memory));
    if !php.pcntl {
        findings.advice("PHP has no pcntl: a signal ends core:archive at once, and its sites stay unarchived for a day. A stop waits for SHUTDOWN_GRACE first");
    }
    if !php.mysqli {
        findings.advice("PHP has no mysqli: stuck rows cannot be freed and visits cannot be counted");
    }
}
