//! `check`: settings and surroundings, everything at once.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use shared::config;
use shared::entry::{Exit, Failure};
use shared::files::Lock;
use shared::findings::Findings;
use shared::process::{Limits, Program, find_program};
use shared::shutdown::Shutdown;

use super::start::surroundings;
use crate::attempt::status;
use crate::config::{Settings, neighbours};
use crate::ending::{Ending, judge};
use crate::negotiation;
use crate::plan::Plan;
use crate::script::{Rsync, words};
use crate::ssh::{Client, Keys, named};

/// A probe that takes longer than this hangs.
const PROBE_MAX: Duration = Duration::from_secs(120);
const SLOTS_SHOWN: usize = 3;

/// Reports on everything that fetching needs.
pub fn check(probe: bool) -> Result<Exit, Failure> {
    let reading = config::from_env::<Settings>(&neighbours())?;
    let mut findings = Findings::default();
    findings.good("settings can be used");
    reading.notices.iter().for_each(|notice| findings.advice(notice));
    let settings = reading.settings;
    programs(&mut findings);
    volume(&settings.state_folder(), &mut findings);
    schedules(&settings, &mut findings);
    let search_path = super::block_on(key(&settings, &mut findings))??;
    let plan = super::block_on(commands(&settings, &mut findings))?;
    if let (Some(plan), Some(search_path), true) = (plan, search_path, probe) {
        super::block_on(reach(&plan, &search_path, &mut findings))??;
    }
    super::say(findings.text());
    Ok(findings.exit())
}

fn programs(findings: &mut Findings) {
    let missing: Vec<&str> =
        ["sh", "rsync", "ssh", "ssh-keygen"].into_iter().filter(|name| find_program(name).is_err()).collect();
    if missing.is_empty() {
        findings.good("rsync, ssh and ssh-keygen are installed");
    } else {
        let what = format!("not installed: {}", missing.join(", "));
        findings.fault(Exit::Code(127), &what, "use an image that holds rsync and openssh-client");
    }
}

fn volume(folder: &Path, findings: &mut Findings) {
    let tried = std::fs::create_dir_all(folder).map_err(|error| {
        (
            error.to_string(),
            "mount the volume of the logs so that the user of this container may write, or set ANALYTICS_DIR",
        )
    });
    let tried = tried
        .and_then(|()| Lock::try_take(&folder.join("lock")).map_err(|error| (error.source.to_string(), error.help())));
    match tried {
        Ok(_) => findings.good(&format!("our state can be written in {}", folder.display())),
        Err((why, help)) => {
            findings.fault(Exit::CannotCreate, &format!("cannot write in {}: {why}", folder.display()), help);
        }
    }
}

fn schedules(settings: &Settings, findings: &mut Findings) {
    let tasks = settings.tasks.iter().map(|(name, task)| (format!("CRON_TASK_{name}"), &task.schedule));
    for (name, schedule) in std::iter::once(("RSYNC_COMMANDS".to_owned(), &settings.cron)).chain(tasks) {
        let schedule = schedule.clone().in_zone(&settings.zone);
        let zone = schedule.zone().clone();
        let next = schedule.next_runs(Timestamp::now(), SLOTS_SHOWN);
        let next: Vec<String> =
            next.iter().map(|slot| slot.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string()).collect();
        findings.good(&format!("{name} runs {}: next {}", schedule.in_words(), next.join(", ")));
    }
}

/// Looks at the key pair, without making one. Answers the search path with our ssh.
async fn key(settings: &Settings, findings: &mut Findings) -> Result<Option<String>, Failure> {
    let around = surroundings()?;
    let folder = settings.ssh.folder(&around);
    let keys = Keys::in_folder(&folder);
    if let Err(error) = named().await {
        findings.fault(Exit::Config, &error.to_string(), error.help());
        return Ok(None);
    }
    if keys.private().is_empty() {
        findings.advice(&format!(
            "no key pair is in {} yet: one is made at the first start, and its public key shown",
            folder.display()
        ));
        return Ok(None);
    }
    match keys.ensure(settings.ssh.key_type).await {
        Ok(public) => findings.good(&format!("key {}: {}", public.path.display(), public.fingerprint)),
        Err(error) => {
            let (what, help) = (error.to_string(), error.help());
            findings.fault(Failure::from(error).exit, &what, help);
            return Ok(None);
        }
    }
    match Client::new(settings.ssh.client(&around, keys.usable()?)).prepare() {
        Ok(prepared) => Ok(Some(prepared.search_path)),
        Err(error) => {
            findings.fault(Exit::CannotCreate, &error.to_string(), error.help());
            Ok(None)
        }
    }
}

async fn commands(settings: &Settings, findings: &mut Findings) -> Option<Plan> {
    let Some(script) = &settings.commands else {
        match settings.tasks.iter().count() {
            0 => findings.fault(
                Exit::Config,
                "neither RSYNC_COMMANDS nor any CRON_TASK_* is set",
                "set RSYNC_COMMANDS to the commands that fetch the logs",
            ),
            count => findings.good(&format!("{count} CRON_TASK_* and no RSYNC_COMMANDS")),
        }
        return None;
    };
    match Plan::of(script, settings.split, &settings.logs_folder()).await {
        Ok(plan) => {
            findings.good(&format!("RSYNC_COMMANDS holds {} commands", plan.units.len()));
            plan.units
                .iter()
                .enumerate()
                .for_each(|(at, unit)| findings.good(&format!("command {}: {}", at + 1, unit.shown)));
            plan.remarks.iter().for_each(|remark| findings.advice(remark));
            Some(plan)
        }
        Err(failure) => {
            findings.fault(failure.exit, &failure.error.to_string(), failure.help.as_deref().unwrap_or_default());
            None
        }
    }
}

/// Reaches every server once.
async fn reach(plan: &Plan, search_path: &str, findings: &mut Findings) -> Result<(), Failure> {
    let mut known: Vec<(String, String)> = Vec::new();
    for rsync in plan.units.iter().flat_map(|unit| &unit.rsyncs) {
        let Some((host, _)) = rsync.remote_source() else { continue };
        let way = (rsync.remote_shell().to_owned(), host.to_owned());
        if known.contains(&way) {
            continue;
        }
        match probe(rsync, host, search_path).await? {
            Ok(()) => findings.good(&format!("{host} answers and accepts our key")),
            Err((ending, said)) => {
                let what = format!("{host}: {}: {}", ending.sentence(), plan.veil.over(&said));
                let cure = negotiation::cure(&said).filter(|_| ending == Ending::NoCommonAlgorithm);
                findings.fault(ending.exit(), &what, cure.as_deref().unwrap_or(ending.help()));
            }
        }
        known.push(way);
    }
    Ok(())
}

/// Logs in and runs nothing of use. Whatever the other side makes of the command, it has accepted our key then.
async fn probe(rsync: &Rsync, host: &str, search_path: &str) -> Result<Result<(), (Ending, String)>, Failure> {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let shell = words(rsync.remote_shell()).unwrap_or_else(|| vec!["ssh".to_owned()]);
    let text: String = shell.iter().map(String::as_str).chain([host, "true"]).map(|word| quoted(word) + " ").collect();
    let limits = Limits { hard: Some(PROBE_MAX), ..Limits::default() };
    let program = Program::shell(text).env("PATH", search_path).quiet();
    let ended = program.run(&limits, &Shutdown::never()).await?;
    let ending = judge(status(&ended), &ended.tail, false);
    let reached = ended.why == shared::process::Why::Itself && !matches!(status(&ended).code(), 255 | 126 | 127);
    Ok(if reached { Ok(()) } else { Err((ending, ended.tail)) })
}
