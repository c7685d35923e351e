//! Import options in the words of Matomo's own log importer, from a command line or from `MATOMO_IMPORT_OPTIONS`.

mod abbreviated;
mod own;
mod refused;
mod server;
mod value;
mod words;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use clap::error::ErrorKind;
use shared::quoting::{self, OpenQuote};

use crate::format::{self, FormatError, FormatOptions};
use crate::hit::{HitOptions, OptionError};

/// Options whose values are no secrets, whatever they are. Not among them: tokens, passwords, users, addresses, and what is
/// appended to requests.
pub const SHOWN: &[&str] = &[
    "add-download-extensions",
    "download-extensions",
    "dimension",
    "encoding",
    "exclude-ai-crawlers",
    "exclude-host",
    "exclude-ip",
    "exclude-url",
    "exclude-newer-than",
    "exclude-older-than",
    "exclude-path",
    "exclude-path-from",
    "hostname",
    "ignore-groups",
    "include-host",
    "include-ip",
    "include-path",
    "include-url",
    "log-timezone",
    "include-path-from",
    "json-fields",
    "log-date-format",
    "log-format",
    "log-format-name",
    "log-format-regex",
    "log-hostname",
    "query-string-delimiter",
    "regex-group-to-page-cvar",
    "regex-group-to-visit-cvar",
    "replay-tracking-expected-tracker-file",
    "show-progress-delay",
    "title-category-delimiter",
    "track-http-method",
    "useragent-exclude",
    "w3c-field-regex",
    "w3c-fields",
    "w3c-map-field",
];

/// Everything the words said. What they did not say is `None` or empty, so that settings can fill it in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Files to import; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Where hits go.
    pub server: ServerOptions,
    /// Which site they go to.
    pub site: SiteOptions,
    /// Which records become hits.
    pub hits: HitOptions,
    /// How lines are read.
    pub format: FormatOptions,
    /// Parse and count, send nothing.
    pub dry_run: bool,
    /// Encoding of the files.
    pub encoding: Option<String>,
    /// Lines to ignore at the start of the run, over all files.
    pub skip: u64,
    /// Stop before this matching line of a file.
    pub debug_request_limit: Option<u64>,
    /// Where to write the counters as JSON.
    pub summary_json: Option<PathBuf>,
    /// The words themselves, to be read again.
    words: Words,
    /// One sentence for each option that was accepted and has no effect.
    pub notices: Vec<String>,
}

/// What was read. It may hold a token, so it is never printed; what it says is compared, not how.
#[derive(Clone, Default, Eq)]
struct Words(Vec<OsString>);

impl PartialEq for Words {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} words", self.0.len())
    }
}

/// Where hits go, and how.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerOptions {
    /// Base address of Matomo, always with a scheme.
    pub url: Option<String>,
    /// Other base address for the API.
    pub api_url: Option<String>,
    /// Path of the tracker.
    pub tracker_endpoint_path: Option<String>,
    /// Token; never printed.
    pub token_auth: Option<String>,
    /// User for HTTP Basic.
    pub auth_user: Option<String>,
    /// Password for HTTP Basic; never printed.
    pub auth_password: Option<String>,
    /// Do not verify certificates.
    pub accept_invalid_ssl_certificate: bool,
    /// Time a request may take, in seconds.
    pub request_timeout_seconds: Option<u64>,
    /// Attempts in all.
    pub retry_max_attempts: Option<u32>,
    /// Pause between attempts, in seconds.
    pub retry_delay_seconds: Option<u64>,
    /// Senders at the same time; at least 1.
    pub recorders: Option<usize>,
    /// Hits in a request; at least 1.
    pub recorder_max_payload_size: Option<usize>,
    /// Appended to the query of every request.
    pub request_suffix: Option<String>,
}

/// Which site hits go to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteOptions {
    /// The site of all lines.
    pub idsite: Option<u32>,
    /// The site of lines whose host matches none.
    pub idsite_fallback: Option<u32>,
    /// Create a site for a host that matches none.
    pub add_sites_new_hosts: bool,
}

/// Words that are no import options.
#[derive(Debug, thiserror::Error)]
pub enum ImportOptionsError {
    /// Not an error: the text that `--help` asks for.
    #[error("{text}")]
    Help {
        /// The text.
        text: String,
    },
    /// A word that is unknown, incomplete or has an unusable value.
    #[error("cannot use the import options: {why}")]
    Word {
        /// What is wrong; names the word.
        why: String,
    },
    /// An option of the reference importer that this one does not have.
    #[error("cannot use the import option {option}: {why}")]
    Refused {
        /// The option.
        option: &'static str,
        /// What to do instead.
        why: &'static str,
    },
    /// A quote that nothing closes.
    #[error("cannot read the import options: {0}")]
    OpenQuote(OpenQuote),
    /// A file named by an option.
    #[error("cannot read the patterns of {option} from {}", path.display())]
    ReadPatterns {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A format that is none.
    #[error("cannot use the import options")]
    Format(#[from] FormatError),
    /// Options that contradict themselves.
    #[error("cannot use the import options: {0}")]
    Hits(#[from] OptionError),
}

impl ImportOptions {
    /// The same for these files.
    #[must_use]
    pub fn for_files(&self, files: Vec<PathBuf>) -> Self {
        Self { files, ..self.clone() }
    }

    /// Reads the words behind `import`, program name not included.
    ///
    /// # Errors
    /// The first word that cannot be used, or a file of patterns that cannot be read.
    pub fn from_words(words: impl IntoIterator<Item = OsString>) -> Result<Self, ImportOptionsError> {
        let words: Vec<OsString> = words.into_iter().collect();
        let spelled = abbreviated::spelled_out(&words);
        let read = <words::Words as clap::Parser>::try_parse_from(spelled).map_err(|error| explain(&error))?;
        let options = Self { words: Words(words), ..read.sorted()? };
        options.hits.check()?;
        Ok(options)
    }

    /// The same words read again, and so the files of patterns that they name.
    ///
    /// # Errors
    /// When a file cannot be read any more, or holds something else by now.
    pub fn read_again(&self) -> Result<Self, ImportOptionsError> {
        Self::from_words(self.words.0.clone())?.with_a_format()
    }

    /// Reads a text such as `MATOMO_IMPORT_OPTIONS`, split into words as a shell does it: quotes and backslashes,
    /// nothing is expanded.
    ///
    /// # Errors
    /// As [`ImportOptions::from_words`]; also an open quote, and a word that is no option: files have no place here.
    pub fn from_text(text: &str) -> Result<Self, ImportOptionsError> {
        let options = Self::from_words(
            quoting::words(text).map_err(ImportOptionsError::OpenQuote)?.into_iter().map(OsString::from),
        )?;
        match options.files.first() {
            Some(file) => Err(ImportOptionsError::Word { why: format!("`{}` is not an option", file.display()) }),
            None => options.with_a_format(),
        }
    }

    /// The options, if lines can be read by them.
    ///
    /// # Errors
    /// A format that is unknown or cannot be read.
    pub fn with_a_format(self) -> Result<Self, ImportOptionsError> {
        format::named(&self.format)?;
        Ok(self)
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |value: &Option<String>| value.as_ref().map(|_| "***");
        formatter
            .debug_struct("ServerOptions")
            .field("url", &self.url)
            .field("api_url", &self.api_url)
            .field("tracker_endpoint_path", &self.tracker_endpoint_path)
            .field("token_auth", &secret(&self.token_auth))
            .field("auth_user", &self.auth_user)
            .field("auth_password", &secret(&self.auth_password))
            .field("accept_invalid_ssl_certificate", &self.accept_invalid_ssl_certificate)
            .field("request_timeout_seconds", &self.request_timeout_seconds)
            .field("retry_max_attempts", &self.retry_max_attempts)
            .field("retry_delay_seconds", &self.retry_delay_seconds)
            .field("recorders", &self.recorders)
            .field("recorder_max_payload_size", &self.recorder_max_payload_size)
            .field("request_suffix", &self.request_suffix)
            .finish()
    }
}

fn explain(error: &clap::Error) -> ImportOptionsError {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelp {
        return ImportOptionsError::Help { text };
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(refused) = refused::find(&text)
    {
        return ImportOptionsError::Refused { option: refused.option, why: refused.why };
    }
    // The first line says it all; the rest is usage.
    let first = text.lines().next().unwrap_or_default();
    ImportOptionsError::Word { why: first.trim_start_matches("error: ").to_owned() }
}

#[cfg(test)]
mod tests;
