//! `import`: files now, with the options, the summary and the exit codes of Matomo's own importer.
//!
//! A file below the logs folder of its site goes through the same ledger and lease as in a pass; any other file, and standard
//! input, is imported without one.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use shared::config;
use shared::entry::{Exit, Failure};
use tokio::task::LocalSet;
use tracing::{info, warn};

use crate::config::ImportSettings;
use crate::discover::{LogFile, SiteId};
use crate::file::TextEncoding;
use crate::ledger::Ledger;
use crate::matomo::{ApiError, ConcurrencyLimit, Delivery, Matomo, RetryPolicy, Size, Throttle};
use crate::options::{ImportOptions, ImportOptionsError};
use crate::pipeline::{Import, ImportError, Shape, SiteImport, Target, TimeSlice};
use crate::summary::Counts;

/// The importer this one replaces ends so when its options are wrong.
const WRONG_OPTIONS: Exit = Exit::Code(2);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
const RETRY_DELAY: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
const BATCH_HITS: usize = 200;

/// Imports files.
pub fn import(words: Vec<OsString>) -> Result<Exit, Failure> {
    let mut options = match ImportOptions::from_words(words).and_then(ImportOptions::with_a_format) {
        Ok(options) => options,
        Err(ImportOptionsError::Help { text }) => {
            super::say(&text);
            return Ok(Exit::Done);
        }
        Err(error) => return Err(wrong(error)),
    };
    if options.files.is_empty() {
        return Err(Failure::new(WRONG_OPTIONS, "no log file is named").help("name files, or - for standard input"));
    }
    options.files = super::argument::files(options.files);
    let settings = config::from_env::<ImportSettings>(&config::Neighbours::default())?.settings;
    shared::logging::start(&settings.log);
    for notice in &options.notices {
        warn!(notice, "An option has no effect");
    }
    let matomo = connect(&options, &settings)?;
    let begin = Instant::now();
    let (counts, result) = super::block_on(LocalSet::new().run_until(run(&options, &settings, matomo)))?;
    write_counters(&options, &counts)?;
    if let Err(error) = result {
        // Where nothing was sent, nothing can be counted twice.
        let help = matches!(error, ImportError::Stopped { .. }) || counts.recorded > 0;
        let failure = Failure::new(Exit::Failed, error);
        return Err(if help { failure.help(advice(&counts)) } else { failure });
    }
    super::say(&counts.text(begin.elapsed()));
    Ok(Exit::Done)
}

async fn run(
    options: &ImportOptions,
    settings: &ImportSettings,
    mut matomo: Matomo,
) -> (Counts, Result<(), ImportError>) {
    if let Some(site) = matomo.ledger_site().filter(|_| !options.dry_run) {
        match matomo.site(site).await {
            Ok(facts) => matomo.mark_on(&facts),
            Err(error) => return (Counts::default(), Err(ImportError::Site { site, error })),
        }
    }
    let shutdown = match shared::shutdown::Shutdown::listen() {
        Ok(shutdown) => shutdown,
        Err(_) => shared::shutdown::Shutdown::never(),
    };
    super::watchdog::guard(&shutdown, settings.grace.get());
    let by_hand = ByHand { options, settings, matomo: &matomo, shutdown: &shutdown };
    let (with_ledger, others) = by_hand.divided();
    let mut counts = Counts::default();
    for (site, files) in with_ledger {
        let result = by_hand.through_ledger(site, files, &mut counts).await;
        if result.is_err() {
            return (counts, result);
        }
    }
    if others.is_empty() {
        return (counts, Ok(()));
    }
    let options = &options.for_files(others);
    let (more, result) =
        Import { options, matomo: &matomo, delivery: by_hand.delivery(), shape: by_hand.shape() }.run().await;
    counts.recorded += more.recorded;
    let recorded = counts.recorded;
    counts += &more;
    counts.recorded = recorded;
    (counts, result)
}

/// An import of files that a person names.
struct ByHand<'a> {
    options: &'a ImportOptions,
    settings: &'a ImportSettings,
    matomo: &'a Matomo,
    shutdown: &'a shared::shutdown::Shutdown,
}

impl ByHand<'_> {
    /// The files that lie in the logs folder of their site, and all others. A dry run reads all of them alike.
    fn divided(&self) -> (Vec<(SiteId, Vec<PathBuf>)>, Vec<PathBuf>) {
        let logs = std::fs::canonicalize(self.settings.analytics_dir.join("logs")).ok();
        let mut with_ledger: Vec<(SiteId, Vec<PathBuf>)> = Vec::new();
        let mut others = Vec::new();
        for path in &self.options.files {
            let site = logs.as_ref().filter(|_| !self.options.dry_run).and_then(|logs| {
                let below = std::fs::canonicalize(path).ok()?.strip_prefix(logs).ok()?.to_owned();
                let site: SiteId = below.components().next()?.as_os_str().to_str()?.parse().ok()?;
                self.options.site.idsite.is_none_or(|wanted| wanted == site.0).then_some(site)
            });
            match site {
                Some(site) => match with_ledger.last_mut().filter(|(last, _)| *last == site) {
                    Some((_, files)) => files.push(path.clone()),
                    None => with_ledger.push((site, vec![path.clone()])),
                },
                None => others.push(path.clone()),
            }
        }
        if !others.is_empty() && !self.options.dry_run {
            info!(
                files = others.len(),
                help = "files below logs/<SITE_ID>/ go through the ledger",
                "Imported without the ledger, which does not know what was imported before"
            );
        }
        (with_ledger, others)
    }

    fn shape(&self) -> Shape {
        let server = &self.options.server;
        Shape {
            connections: server.recorders.unwrap_or(1),
            batch_hits_max: server.recorder_max_payload_size.unwrap_or(BATCH_HITS),
            ledger_site: self.matomo.ledger_site().filter(|_| !self.options.dry_run),
            ..Shape::default()
        }
    }

    fn delivery(&self) -> Rc<Delivery<Target>> {
        let (server, shape) = (&self.options.server, self.shape());
        let matomo = || Target::Matomo(Box::new(self.matomo.clone()));
        Rc::new(Delivery {
            sink: if self.options.dry_run { Target::Nowhere } else { matomo() },
            ledger_site: shape.ledger_site,
            retry: RetryPolicy {
                attempts_max: server.retry_max_attempts.unwrap_or(ATTEMPTS),
                retry_delay: server.retry_delay_seconds.map_or(RETRY_DELAY, Duration::from_secs),
                doubt_least: self.settings.in_doubt_wait.get(),
                grace: self.settings.grace.get(),
                slowest: Cell::new(None),
            },
            limit: ConcurrencyLimit::new(shape.connections),
            size: Size::new(shape.batch_hits_max),
            throttle: Throttle::new(self.settings.requests_per_second.map(|count| count.get() as u32)),
            shutdown: self.shutdown.clone(),
        })
    }

    /// Imports files of one site, each line once, as a pass does.
    async fn through_ledger(&self, site: SiteId, paths: Vec<PathBuf>, counts: &mut Counts) -> Result<(), ImportError> {
        let mut lease = Ledger::open(&self.settings.ledger_folder())?.claim(site)?.ok_or(ImportError::Busy { site })?;
        let facts = self.matomo.site(site).await.map_err(|error: ApiError| ImportError::Site { site, error })?;
        let mut files = paths.into_iter().filter_map(|path| LogFile::at(path).ok()).collect::<Vec<_>>();
        let reading = self.options.reading(self.shutdown);
        let import = SiteImport {
            delivery: self.delivery(),
            shape: self.shape(),
            reading: &reading,
            hits: &self.options.hits,
            facts: &facts,
            attempts_max: 1,
            now: jiff::Timestamp::now(),
            is_all: false,
        };
        let report = import.run(&mut lease, &mut files, &mut TimeSlice::without_end()).await;
        counts.recorded += report.delivered.tracked + report.delivered.short;
        let recorded = counts.recorded;
        *counts += &report.counts;
        counts.recorded = recorded;
        match report.stop {
            Some(stop) => Err(ImportError::Stopped { tracked: counts.recorded, stop }),
            None if report.quarantined > 0 || !report.failed.is_empty() => Err(ImportError::NotAll { site }),
            None => Ok(()),
        }
    }
}

fn connect(options: &ImportOptions, settings: &ImportSettings) -> Result<Matomo, Failure> {
    let url = settings.matomo_url.as_ref().map(|url| url.as_str());
    let Some(url) = options.server.url.as_deref().or(url) else {
        return Err(
            Failure::new(WRONG_OPTIONS, "no address of Matomo").help("give --url=http://matomo or set MATOMO_URL")
        );
    };
    if let Some(unknown) = options.encoding.as_deref().filter(|label| TextEncoding::named(label).is_none()) {
        return Err(Failure::new(WRONG_OPTIONS, format!("logs cannot be read as `{unknown}`"))
            .help("give --encoding=utf8, latin1, cp1252, or another of one byte or more whose lines end as in ASCII"));
    }
    crate::format::named(&options.format).map_err(|error| Failure::new(WRONG_OPTIONS, error))?;
    let timeout = options.server.request_timeout_seconds.map_or(REQUEST_TIMEOUT, Duration::from_secs);
    let address = options.server.address(url, settings.matomo_token.clone(), settings.ledger_site);
    let matomo = options.server.connect(address, timeout, settings.ca_file.clone());
    matomo.map_err(|error| Failure::new(Exit::Failed, error))
}

fn wrong(error: ImportOptionsError) -> Failure {
    Failure::new(WRONG_OPTIONS, error).help("`log-analytics import --help` lists the options")
}

fn write_counters(options: &ImportOptions, counts: &Counts) -> Result<(), Failure> {
    let Some(path) = &options.summary_json else { return Ok(()) };
    std::fs::write(path, counts.json().to_string()).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write the counters to {}: {error}", path.display()))
    })
}

fn advice(counts: &Counts) -> String {
    format!(
        "{} hits are in Matomo. Files below logs/<SITE_ID>/ go through the ledger and go on where they stopped; others are counted \
         twice if they are imported again, from wherever: give --skip with the number of lines that were read",
        counts.recorded
    )
}
