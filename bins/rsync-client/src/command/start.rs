//! What every command that fetches does first: read the settings, have a key, prepare ssh, say what is in force.

use shared::config;
use shared::entry::{Exit, Failure};
use shared::job::{Job, Report, RunResult};
use shared::notify::Notifier;
use shared::process::Limits;
use shared::schedule::Schedule;
use shared::shutdown::Shutdown;
use tracing::{error, info, warn};

use crate::announce::Announcement;
use crate::attempt::Conditions;
use crate::config::{Settings, Surroundings, neighbours};
use crate::ending::Ending;
use crate::pass::{Pass, PassReport};
use crate::plan::{Plan, Unit};
use crate::script::{Veil, host_key_remark, path_remarks};
use crate::ssh::{Client, Keys, SshError};

/// Everything that a pass needs, made once.
pub struct Ready {
    pub settings: Settings,
    /// `None` when there are only tasks.
    pub plan: Option<Plan>,
    pub tasks: Vec<ReadyTask>,
    conditions: Conditions,
    keys: Keys,
    announcement: Announcement,
}

/// A task with its name.
#[derive(Clone)]
pub struct ReadyTask {
    pub label: String,
    pub schedule: Schedule,
    pub unit: Unit,
    pub conditions: Conditions,
}

impl Ready {
    /// Reads the settings and starts the log with what is in force.
    pub fn read() -> Result<Settings, Failure> {
        let reading = config::from_env::<Settings>(&neighbours())?;
        shared::logging::start(&reading.settings.log);
        info!(version = env!("CARGO_PKG_VERSION"), "rsync-client starts");
        reading.announce();
        Ok(reading.settings)
    }

    /// Prepares all that a pass needs.
    pub async fn prepare(settings: Settings) -> Result<Self, Failure> {
        let around = surroundings()?;
        let logs = settings.logs_folder();
        let plan = match &settings.commands {
            Some(script) => Some(Plan::of(script, settings.split, &logs).await?),
            None => None,
        };
        for remark in plan.iter().flat_map(|plan| &plan.remarks) {
            warn!(remark, "RSYNC_COMMANDS deserves a look");
        }
        let keys = Keys::in_folder(&settings.ssh.folder(&around));
        let public_key = keys.ensure(settings.ssh.key_type).await?;
        let prepared = Client::new(settings.ssh.client(&around, keys.usable()?)).prepare()?;
        prepared.try_out().await;
        let units = plan.iter().flat_map(|plan| plan.units.iter().cloned()).collect::<Vec<_>>();
        let announcement = Announcement::new(public_key, &units, settings.log.format);
        announcement.show();
        let veil = plan.as_ref().map(|plan| plan.veil.clone()).unwrap_or_default();
        let conditions = Conditions {
            search_path: prepared.search_path,
            policy: settings.policy(),
            limits: Limits { hard: Some(settings.timeout.get()), ..settings.job.stop.limits() },
            veil,
            notes: settings.state_folder(),
        };
        let tasks = tasks(&settings, &conditions).await?;
        Ok(Self { settings, plan, tasks, conditions, keys, announcement })
    }

    /// When passes are due.
    pub fn schedule(&self) -> Schedule {
        self.settings.cron.clone().in_zone(&self.settings.zone)
    }

    /// The job whose runs are passes.
    ///
    /// # Errors
    /// When those who are to be told about runs cannot be.
    pub fn job(&self) -> Result<Job, Failure> {
        let Settings { job, notify, listen, .. } = &self.settings;
        let job = Job::new("rsync", job.clone(), self.settings.state_folder(), self.settings.health_file());
        Ok(job.notify(Notifier::new(notify)?).listen(listen.clone()))
    }

    /// One pass.
    pub async fn pass(&self, plan: &Plan, shutdown: &Shutdown) -> Report {
        let pass = Pass {
            plan,
            conditions: &self.conditions,
            logs: self.settings.logs_folder(),
            state: self.settings.state_folder(),
            keys: &self.keys,
            announcement: &self.announcement,
            shutdown,
        };
        match pass.run().await {
            Ok(report) => report.into(),
            Err(failure) => {
                let help = failure.help.as_deref().unwrap_or_default();
                error!(why = failure.error.to_string(), help, "Pass could not run");
                Report::failed(failure.exit, failure.error.to_string())
            }
        }
    }
}

impl From<PassReport> for Report {
    fn from(pass: PassReport) -> Self {
        let (exit, sentence) = (pass.exit(), pass.sentence());
        let report = match exit {
            Exit::Done => Report::success(sentence),
            _ if exit == Ending::Stopped.exit() => {
                Report { result: RunResult::Stopped, exit, ..Report::success(sentence) }
            }
            _ => Report::failed(exit, sentence).may_retry(exit == Exit::Unavailable),
        };
        report.tail(pass.complaints.join("\n"))
    }
}

/// The tasks, each checked by a shell, and remarked upon as commands are.
async fn tasks(settings: &Settings, conditions: &Conditions) -> Result<Vec<ReadyTask>, Failure> {
    let mut tasks = Vec::new();
    for (name, task) in settings.tasks.iter() {
        let (label, name) = (crate::task::label(name), format!("CRON_TASK_{name}"));
        if let Err(why) = crate::plan::check_syntax(task.script.text()).await? {
            return Err(Failure::new(
                Exit::Config,
                format!("{name} cannot be used: the shell does not understand it: {why}"),
            )
            .help("write five fields, then a command as `sh -c` takes it"));
        }
        let unit = Unit::new(task.script.text(), &settings.logs_folder());
        let text = task.script.text();
        let remarks = unit.rsyncs.iter().flat_map(|rsync| rsync.remarks());
        let remarks = remarks.chain(host_key_remark(text)).chain(path_remarks(text));
        remarks.for_each(|remark| warn!(remark, setting = name, "A task deserves a look"));
        // cron runs a task once in each slot, and as long as it takes.
        let conditions = Conditions {
            veil: Veil::of(task.script.text()),
            policy: shared::retry::Policy { attempts: 1, ..conditions.policy },
            limits: settings.job.stop.limits(),
            ..conditions.clone()
        };
        let schedule = task.schedule.clone().in_zone(&settings.zone);
        tasks.push(ReadyTask { label, schedule, unit, conditions });
    }
    Ok(tasks)
}

/// What every Unix program is given.
pub fn surroundings() -> Result<Surroundings, Failure> {
    Ok(config::from_env::<Surroundings>(&config::Neighbours::default())?.settings)
}

impl From<SshError> for Failure {
    fn from(error: SshError) -> Self {
        let help = error.help();
        let exit = if matches!(error, SshError::Missing) { Exit::Code(127) } else { Exit::CannotCreate };
        Failure::new(exit, error).help(help)
    }
}
