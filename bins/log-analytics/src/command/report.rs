//! `report`: how every site stands, as a page to look at.

use std::path::Path;

use jiff::Timestamp;
use shared::entry::{Exit, Failure};
use shared::health_http::Page;
use tracing::warn;

use crate::config::Settings;
use crate::matomo::sentence;
use crate::report::{Report, ReportError, page};

/// Writes the page to a file, or to standard output.
pub fn report(out: Option<&Path>) -> Result<Exit, Failure> {
    let settings = super::settings()?;
    let page = page(&Report::gather(&settings, Timestamp::now())?);
    match out {
        Some(file) => shared::files::replace(file, page.as_bytes())?,
        None => super::say(&page),
    }
    Ok(Exit::Done)
}

/// Rewrites the page of REPORT_FILE, if it is set. A page that cannot be written stops no import.
pub fn rewrite(settings: &Settings) {
    let Some(file) = &settings.report_file else { return };
    match Report::gather(settings, Timestamp::now()) {
        Ok(report) => {
            if let Err(error) = shared::files::replace(file, page(&report).as_bytes()) {
                warn!(why = sentence(&error), help = error.help(), "Report cannot be written");
            }
        }
        Err(error) => warn!(why = sentence(&error), "Report cannot be written"),
    }
}

/// The page for whoever looks at `/report` of the health listener.
pub fn for_visitors(settings: &Settings) -> Page {
    let (settings, token) = (settings.clone(), settings.report_token.clone());
    let shown = Page::new("/report", move || match Report::gather(&settings, Timestamp::now()) {
        Ok(report) => page(&report),
        Err(error) => {
            warn!(why = sentence(&error), "Report cannot be drawn");
            "<!DOCTYPE html>\n<title>No report</title><p>The report cannot be drawn; the log says why.\n".to_owned()
        }
    });
    shown.behind(token)
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        Failure::new(Exit::Config, error).help("mount the volume with the logs, or set ANALYTICS_DIR")
    }
}
