//! Where Matomo is: beside us, with PHP and its console, or behind an address.

use std::ffi::OsString;
use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Deserialize;
use shared::entry::{Exit, Failure};
use shared::process::{Limits, Line, StartError, Stream, find_program};
use shared::shutdown::Shutdown;

use crate::config::{Mode, Settings};
use crate::database;
use crate::installation::{Installation, Missing};
use crate::matomo_config::{self, Unconfigured};
use crate::queue::{self, Row, StuckSite};
use crate::web::{self, Web};

/// Our own questions to PHP take a moment; a database under load takes some.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(120);
/// An answer longer than this is none: a queue of a hundred thousand rows fits.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A Matomo that can be asked for work.
#[derive(Debug)]
pub enum Place {
    /// By its console.
    Console(Installation),
    /// Over HTTP.
    Http(Web),
}

/// Matomo cannot be asked for work.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It is not configured.
    #[error(transparent)]
    Unconfigured(#[from] Unconfigured),
    /// Its database does not answer.
    #[error(transparent)]
    Database(#[from] database::Silent),
    /// It does not answer over HTTP, or says no.
    #[error(transparent)]
    Web(#[from] web::Silent),
}

/// What PHP can do here.
#[derive(Clone, Debug, Deserialize)]
pub struct Php {
    /// Its version.
    pub version: String,
    /// Whether a script can hear signals.
    pub pcntl: bool,
    /// Whether a script can start programs, as `core:archive` does for each site.
    pub shell: bool,
    /// Whether a script can talk to the database as we do.
    pub mysqli: bool,
    /// Its memory limit.
    pub memory: String,
}

const PROBE: &str = r#"$off = array_map("trim", explode(",", ini_get("disable_functions")));
$has = fn($name) => function_exists($name) && !in_array($name, $off, true);
echo json_encode(["version" => PHP_VERSION, "pcntl" => $has("pcntl_signal"), "shell" => $has("shell_exec"),
"mysqli" => class_exists("mysqli"), "memory" => (string) ini_get("memory_limit")]), "\n";"#;

/// A question that PHP did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It did not start.
    #[error("cannot ask PHP")]
    Start(#[from] StartError),
    /// It ended badly.
    #[error("{sentence}: {tail}")]
    Ended {
        /// How.
        sentence: String,
        /// Its last words.
        tail: String,
    },
    /// The answer is too large to be one.
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    /// The answer cannot be read.
    #[error("PHP's answer cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// The list of rows cannot be read.
    #[error(transparent)]
    Queue(#[from] queue::QueueError),
    /// The database says no.
    #[error("the database refuses: {0}")]
    Database(String),
}

impl Place {
    /// Looks for Matomo as the settings say.
    ///
    /// # Errors
    /// When neither way is possible.
    pub fn find(settings: &Settings) -> Result<Self, Failure> {
        let found = (settings.mode != Mode::Http).then(|| Installation::find(settings));
        match (settings.mode, found) {
            (_, Some(Ok(installation))) => Ok(Place::Console(installation)),
            // Somebody named the console or the user: that is a wish to use it.
            (Mode::Auto, Some(Err(Missing::Console { .. } | Missing::Php { .. })))
                if settings.console.is_none() && settings.matomo_url.is_some() && settings.matomo_token.is_some() =>
            {
                Self::http(settings)
            }
            (_, Some(Err(missing))) => {
                let help = missing.help();
                Err(Failure::new(Exit::Config, missing).help(help))
            }
            (_, None) => Self::http(settings),
        }
    }

    fn http(settings: &Settings) -> Result<Self, Failure> {
        match (&settings.matomo_url, &settings.matomo_token) {
            (Some(url), Some(token)) => Ok(Place::Http(Web::new(settings, url.clone(), token.clone())?)),
            _ => Err(Failure::new(Exit::Config, "HTTP mode needs an address and a token")
                .help("set MATOMO_URL and MATOMO_TOKEN (of a superuser)")),
        }
    }

    /// Whether Matomo is configured and its database answers; the sentence says what is there.
    ///
    /// # Errors
    /// What is missing.
    pub async fn is_ready(&self) -> Result<String, NotReady> {
        match self {
            Place::Console(installation) => {
                let server = matomo_config::database(installation.root())?;
                Ok(format!("Matomo is configured and its database ({}) answers", database::greet(&server).await?))
            }
            Place::Http(web) => {
                Ok(format!("Matomo {} answers at {} and knows the token", web.version().await?, web.address()))
            }
        }
    }
}

impl Installation {
    /// What PHP can do here.
    ///
    /// # Errors
    /// When PHP does not answer.
    pub async fn probe(&self, shutdown: &Shutdown) -> Result<Php, Unanswered> {
        Ok(serde_json::from_str(self.ask(["-r", PROBE], shutdown).await?.trim())?)
    }

    /// Whether Matomo's archiver finds what it needs to start its own processes; without, it turns to HTTP, silently.
    pub fn has_ps(&self) -> bool {
        ["ps", "awk"].iter().all(|name| find_program(name).is_ok())
    }

    /// Rows of the archiving queue that claim to be worked on.
    ///
    /// # Errors
    /// When the console does not answer with a list.
    pub async fn queue(&self, shutdown: &Shutdown) -> Result<Vec<Row>, Unanswered> {
        let console = self.console.to_string_lossy();
        let text = self
            .ask([&*console, "diagnostics:archiving-queue", "--json", "--no-ansi", "--no-interaction"], shutdown)
            .await?;
        Ok(queue::under_way(&text)?)
    }

    /// Gives rows that nobody works on back to the queue; answers how many.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn free(&self, sites: &[StuckSite], shutdown: &Shutdown) -> Result<u64, Unanswered> {
        let until = |site: &StuckSite| site.until.unwrap_or_else(Timestamp::now);
        let pairs = sites.iter().map(|site| format!("{}={}", site.site, sql_time(until(site))));
        self.database("free", pairs, shutdown).await
    }

    /// Counts visits that ended before a moment, of these sites or of all.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_visits(&self, before: Date, sites: &str, shutdown: &Shutdown) -> Result<u64, Unanswered> {
        self.database("count-visits", [format!("{before} 00:00:00"), sites.to_owned()], shutdown).await
    }

    async fn database(
        &self,
        operation: &str,
        arguments: impl IntoIterator<Item = String>,
        shutdown: &Shutdown,
    ) -> Result<u64, Unanswered> {
        #[derive(Deserialize)]
        struct Answer {
            count: Option<u64>,
            error: Option<String>,
        }
        let script = include_str!("database.php").trim_start_matches("<?php");
        let root = self.root().to_string_lossy().into_owned();
        let words = ["-r", script, "--", operation].map(str::to_owned).into_iter().chain([root]).chain(arguments);
        // An error is an answer, too, whatever the exit code.
        let text = match self.ask(words, shutdown).await {
            Err(Unanswered::Ended { tail, .. }) if tail.contains("\"error\"") => tail,
            other => other?,
        };
        let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
        let answer: Answer = serde_json::from_str(line)?;
        answer.count.ok_or_else(|| Unanswered::Database(answer.error.unwrap_or_default()))
    }

    /// A short run of PHP; answers with its standard output.
    async fn ask(
        &self,
        words: impl IntoIterator<Item = impl Into<OsString>>,
        shutdown: &Shutdown,
    ) -> Result<String, Unanswered> {
        let limits = Limits { hard: Some(QUESTION_TIMEOUT), ..Limits::default() };
        let mut answer = Vec::new();
        let mut too_large = false;
        let program = self.php(words).env_remove("MATOMO_TOKEN").label("php");
        let keep = |line: Line<'_>| {
            too_large |= answer.len() + line.bytes.len() > ANSWER_BYTES_MAX;
            if line.stream == Stream::Out && !too_large {
                if !line.continues && !answer.is_empty() {
                    answer.push(b'\n');
                }
                answer.extend_from_slice(line.bytes);
            }
        };
        let ended = program.run_with(&limits, shutdown, keep).await?;
        if too_large {
            return Err(Unanswered::TooLarge);
        }
        if !ended.succeeded() {
            let (sentence, tail) = (ended.sentence(), ended.tail);
            return Err(Unanswered::Ended { sentence, tail: crate::transcript::hide(&tail) });
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// `2026-11-24 10:00:00`, UTC, as Matomo's tables have it.
fn sql_time(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
