//! A command of Matomo's console as a child: heard line by line, stopped with patience, judged at its end.

use std::convert::Infallible;

use shared::process::{Ended, StartError, Status as ProcessStatus, Why};
use shared::shutdown::Shutdown;
use tracing::{info, warn};

use super::{Attempt, report, stuck};
use crate::installation::Installation;
use crate::job::{archive_command, console_words};
use crate::judge::{Cause, Ending, Kind, Status, judge};
use crate::neighbour;
use crate::outcome::{Class, Outcome};
use crate::transcript::Transcript;

impl Attempt<'_> {
    /// `core:archive`, unless all places are taken by archivers that somebody else started.
    pub(super) async fn archive(&self, installation: &Installation, said: &mut Transcript) -> Outcome {
        let stuck = stuck::look(self, installation, &self.cut_off()).await;
        self.unless_crowded(installation, said).await.with_stuck(stuck)
    }

    async fn unless_crowded(&self, installation: &Installation, said: &mut Transcript) -> Outcome {
        if self.shutdown.requested() {
            return Outcome::new(Class::Stopped, "was asked to stop before it began");
        }
        if let Some(skipped) = self.crowded() {
            return skipped;
        }
        match (installation.has_ps(), &self.settings.matomo_url) {
            (true, _) => {}
            (false, Some(_)) => info!(
                "There is no `ps` here: Matomo's archiver asks MATOMO_URL over HTTP and does not see other archivers"
            ),
            (false, None) => warn!(
                help = "install procps in the image, or set MATOMO_URL",
                "There is no `ps` here: Matomo will ask itself over HTTP and does not know its address"
            ),
        }
        self.command(installation, &archive_command(self.settings), said).await
    }

    /// A command of the console, watched to its end and judged.
    pub(super) async fn command(
        &self,
        installation: &Installation,
        command: &[String],
        said: &mut Transcript,
    ) -> Outcome {
        match self.watched(installation, command, said).await {
            Ok(ended) => judge(Kind::of(command), said, ending(&ended)),
            Err(error) => {
                let exit = error.exit();
                Outcome::new(Class::Failed, crate::sentence(&error))
                    .exit(exit)
                    .help("see that PHP can be run here: `archiver check`")
            }
        }
    }

    /// The same count that Matomo makes; made before, it names the processes.
    fn crowded(&self) -> Option<Outcome> {
        let others = neighbour::archivers();
        let limit = usize::try_from(self.settings.archivers?.0).ok()?;
        if others.len() < limit {
            return None;
        }
        let pids = others.iter().map(|other| other.pid.to_string()).collect::<Vec<_>>().join(", ");
        let sentence =
            format!("an archiver that was started by hand or by another program is at work (process {pids})");
        Some(
            Outcome::new(Class::Skipped, sentence)
                .help("nothing, if it is meant to run; else end it, or raise CONCURRENT_ARCHIVERS"),
        )
    }

    async fn watched(
        &self,
        installation: &Installation,
        command: &[String],
        said: &mut Transcript,
    ) -> Result<Ended, StartError> {
        let console = installation.console.to_string_lossy();
        let label = command.first().map_or("console", String::as_str);
        let program =
            installation.php(console_words(self.settings, &console, command)).label(label).env_remove("MATOMO_TOKEN");
        let limits = self.settings.limits();
        let wish = self.shutdown.own_wish();
        let run = program.run_with(&limits, &wish, |line| report::say_line(&said.hear(line.bytes), line.bytes));
        tokio::select! {
            biased;
            ended = run => ended,
            never = self.pass_on(&wish) => match never {},
        }
    }

    /// Passes the wish to stop on to the job when patience is over, and the second one at once.
    async fn pass_on(&self, wish: &Shutdown) -> Infallible {
        self.patience_is_over().await;
        wish.request();
        self.shutdown.wait_insisted().await;
        wish.request();
        std::future::pending().await
    }
}

fn ending(ended: &Ended) -> Ending {
    let status = match ended.status {
        ProcessStatus::Exited(code) => Status::Code(code),
        ProcessStatus::Killed(signal) => Status::Signal(signal),
    };
    let cause = match ended.why {
        Why::Itself => Cause::Itself,
        Why::TimedOut => Cause::Limit,
        Why::Stopped => Cause::Stop,
    };
    Ending { status, cause }
}
