//! One command, tried as often as it is worth it, and judged by what it said.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use shared::process::{Ended, Limits, Program, StartError, Status as Fate, Stream, Why};
use shared::retry::{Again, Policy, retry};
use shared::shutdown::Shutdown;
use tracing::{error, info, warn};

use crate::ending::{Ending, Status, in_words, judge};
use crate::negotiation;
use crate::plan::Unit;
use crate::script::Veil;
use crate::statistics::{Counter, Statistics};
use crate::tally::{self, Judgement, Tally, judge_chain};

/// What a command says is kept up to here to be judged; ssh and rsync say last why they end.
const SAID_BYTES_MAX: usize = 32 << 10;

/// How commands run.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Where commands find programs, our ssh first.
    pub search_path: String,
    /// How often a command is tried.
    pub policy: Policy,
    /// How long an attempt may take, and how it is stopped.
    pub limits: Limits,
    /// Hides passwords.
    pub veil: Veil,
    /// Folder for what is noted while a command runs.
    pub notes: PathBuf,
}

/// How a command ended at last.
#[derive(Clone, Debug)]
pub struct Report {
    /// The judgement.
    pub ending: Ending,
    /// The exit code in words.
    pub status: String,
    /// Attempts made.
    pub attempts: u32,
    /// When the first began.
    pub began: Timestamp,
    /// All of them together, pauses included.
    pub took: Duration,
    /// What rsync counted in the last one.
    pub statistics: Statistics,
    /// What to do now.
    pub help: String,
}

impl Conditions {
    /// Runs a command to its end. `mend` is called between two attempts with the reason for the next one.
    ///
    /// # Errors
    /// When there is no shell.
    pub async fn run(
        &self,
        label: &str,
        unit: &Unit,
        shutdown: &Shutdown,
        mend: impl Fn(Ending),
    ) -> Result<Report, StartError> {
        let began = Timestamp::now();
        let mut attempts = 0;
        let tried = retry(&self.policy, shutdown, async |attempt| {
            attempts = attempt;
            let once = match self.once(label, unit, shutdown).await {
                Ok(once) => once,
                Err(error) => return Err(Again::Stop(Err(error))),
            };
            if once.ending.is_good() {
                return Ok(once);
            }
            let more =
                attempt < once.ending.attempts(self.policy.attempts.saturating_sub(1)) && !shutdown.requested_at_all();
            if !more {
                return Err(Again::Stop(Ok(once)));
            }
            warn!(
                command = label,
                attempt,
                exit = once.status,
                why = once.ending.sentence(),
                "Command failed and is tried again"
            );
            mend(once.ending);
            Err(Again::Retry(Ok(once)))
        });
        let once = match tried.await {
            Ok(once) => once,
            Err(gave_up) => gave_up.into_error()?,
        };
        let took = Duration::try_from(Timestamp::now().duration_since(began)).unwrap_or_default();
        let Once { ending, status, statistics, help } = once;
        let report = Report { ending, status, attempts, began, took, statistics, help };
        report.tell(label, unit);
        Ok(report)
    }

    async fn once(&self, label: &str, unit: &Unit, shutdown: &Shutdown) -> Result<Once, StartError> {
        let mut said = Said::default();
        let mut counter = Counter::default();
        let tally = (!unit.chain.is_plain).then(|| Tally::new(&self.notes, label));
        let mut program =
            Program::shell(&unit.text).label(label).env("PATH", &self.search_path).hiding(self.veil.texts());
        if let Some(tally) = &tally {
            program = program.env(tally::VARIABLE, tally.path());
        }
        let ended = program.run_with(&self.limits, shutdown, |line| {
            let text = line.text();
            said.keep(&text);
            if line.stream == Stream::Out {
                counter.line(&text);
            }
        });
        let (status, said) = (status(&ended.await?), said.text());
        let judged = match tally {
            Some(tally) if unit.is_rsync() => judge_chain(status, &said, &tally.read(), unit.chain),
            _ => {
                let by_rsync = unit.is_rsync();
                Judgement { ending: judge(status, &said, by_rsync), status, by_rsync }
            }
        };
        let Judgement { ending, status, by_rsync } = judged;
        let cure = negotiation::cure(&said).filter(|_| ending == Ending::NoCommonAlgorithm);
        let help = cure.unwrap_or_else(|| ending.help().to_owned());
        Ok(Once { ending, status: in_words(status, by_rsync), statistics: counter.end(), help })
    }
}

struct Once {
    ending: Ending,
    status: String,
    statistics: Statistics,
    help: String,
}

/// What became of a process, and who ended it, as one.
pub fn status(ended: &Ended) -> Status {
    match (ended.why, ended.status) {
        (Why::TimedOut, _) => Status::TimedOut,
        (Why::Stopped, _) => Status::Stopped,
        (Why::Itself, Fate::Exited(code)) => Status::Exited(code.into()),
        (Why::Itself, Fate::Killed(signal)) => Status::Signalled(signal),
    }
}

/// The last lines of both streams, for the judgement.
#[derive(Default)]
struct Said {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Said {
    fn keep(&mut self, line: &str) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        while self.bytes > SAID_BYTES_MAX && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
        }
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Report {
    fn tell(&self, label: &str, unit: &Unit) {
        let Statistics { files, deleted, received, .. } = self.statistics;
        let seconds = (self.took.as_secs_f64() * 10.0).round() / 10.0;
        let (ending, exit, attempts) = (self.ending, self.status.as_str(), self.attempts);
        let target = unit.targets.first().map(|target| target.display().to_string());
        macro_rules! event {
            ($level:ident, $sentence:literal) => {
                $level!(
                    command = label,
                    exit,
                    result = ending.sentence(),
                    help = self.help,
                    seconds,
                    attempts,
                    files,
                    received,
                    deleted,
                    target,
                    what = unit.shown,
                    $sentence
                )
            };
        }
        match ending {
            Ending::Done | Ending::Vanished => {
                info!(
                    command = label,
                    exit,
                    result = ending.sentence(),
                    seconds,
                    attempts,
                    files,
                    received,
                    deleted,
                    target,
                    "Command done"
                );
            }
            Ending::Stopped => warn!(command = label, exit, result = ending.sentence(), seconds, "Command was stopped"),
            _ if ending.needs_a_person() => event!(error, "Command failed"),
            _ => event!(warn, "Command failed"),
        }
    }
}
