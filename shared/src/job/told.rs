//! Who is told about runs.

use super::report::Report;
use crate::shutdown::Shutdown;

/// Who is told about runs.
#[derive(Debug, Default)]
pub(super) struct Told {
    #[cfg(feature = "notify")]
    pub(super) notifier: Option<crate::notify::Notifier>,
}

#[cfg(feature = "notify")]
impl Told {
    pub(super) async fn run_started(&mut self, job: &str, shutdown: &Shutdown) {
        if let Some(notifier) = &mut self.notifier {
            notifier.run_started(job, shutdown).await;
        }
    }

    pub(super) async fn run_ended(&mut self, job: &str, report: &Report, was_bad: bool, shutdown: &Shutdown) {
        if let Some(notifier) = &mut self.notifier {
            notifier.run_ended(job, report, was_bad, shutdown).await;
        }
    }
}

#[cfg(not(feature = "notify"))]
impl Told {
    pub(super) async fn run_started(&mut self, _job: &str, _shutdown: &Shutdown) {}

    pub(super) async fn run_ended(&mut self, _job: &str, _report: &Report, _was_bad: bool, _shutdown: &Shutdown) {}
}
