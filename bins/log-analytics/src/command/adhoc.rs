//! `import`: files now, with the options, the summary and the exit codes of Matomo's own importer.

use std::cell::Cell;
use std::ffi::OsString;
use std::rc::Rc;
use std::time::{Duration, Instant};

use shared::config;
use shared::entry::{Exit, Failure};
use tokio::task::LocalSet;
use tracing::warn;

use crate::config::ImportSettings;
use crate::file::TextEncoding;
use crate::matomo::{Delivery, Hands, Matomo, Patience, Size, Throttle};
use crate::options::{ImportOptions, ImportOptionsError};
use crate::pipeline::{Adhoc, AdhocError, Shape, Target};
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
        let help = matches!(error, AdhocError::Stopped { .. }) || counts.recorded > 0;
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
) -> (Counts, Result<(), AdhocError>) {
    if let Some(site) = matomo.ledger_site().filter(|_| !options.dry_run) {
        match matomo.site(site).await {
            Ok(facts) => matomo.mark_on(&facts),
            Err(error) => return (Counts::default(), Err(AdhocError::Site { site, error })),
        }
    }
    let server = &options.server;
    let shape = Shape {
        recorders: server.recorders.unwrap_or(1),
        batch_hits_max: server.recorder_max_payload_size.unwrap_or(BATCH_HITS),
        window_hits_max: settings.window.as_usize(),
        ledger_site: matomo.ledger_site().filter(|_| !options.dry_run),
        ..Shape::default()
    };
    let shutdown = match shared::shutdown::Shutdown::listen() {
        Ok(shutdown) => shutdown,
        Err(_) => shared::shutdown::Shutdown::never(),
    };
    let target = if options.dry_run { Target::Nowhere } else { Target::Matomo(Box::new(matomo.clone())) };
    let delivery = Delivery {
        sink: target,
        patience: Patience {
            attempts_max: server.retry_max_attempts.unwrap_or(ATTEMPTS),
            retry_delay: server.retry_delay_seconds.map_or(RETRY_DELAY, Duration::from_secs),
            doubt_least: settings.in_doubt_wait.get(),
            grace: settings.grace.get(),
            slowest: Cell::new(None),
        },
        hands: Hands::new(shape.recorders),
        size: Size::new(shape.batch_hits_max),
        throttle: Throttle::new(settings.requests_per_second.map(|count| count.get() as u32)),
        shutdown,
    };
    Adhoc { options, matomo: &matomo, delivery: Rc::new(delivery), shape }.run().await
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
        "{} hits are in Matomo; an ad hoc import keeps no ledger, so running it again counts them twice: \
         put the files below logs/<SITE_ID>/ and use `log-analytics once`, which goes on where it stopped",
        counts.recorded
    )
}
