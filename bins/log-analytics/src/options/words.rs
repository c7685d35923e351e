//! The words themselves, as the command line parser knows them, and how they are sorted into groups.

use std::path::PathBuf;

use clap::{ArgAction, Parser};

use super::own::OwnWords;
use super::value::{self, Pairs};
use super::{ImportOptions, ImportOptionsError, ServerOptions, SiteOptions};
use crate::format::{FormatOptions, Moment};
use crate::hit::{HitOptions, Replay};

/// Import access logs into Matomo. The options are those of Matomo's own log importer; long ones may be abbreviated.
#[derive(Debug, Parser)]
#[command(
    name = "log-analytics import",
    no_binary_name = true,
    infer_long_args = true,
    args_override_self = true,
    disable_version_flag = true,
    next_line_help = false
)]
pub(super) struct Words {
    /// Log files, plain or compressed; - reads standard input.
    files: Vec<PathBuf>,

    /// Base address of Matomo.
    #[arg(long)]
    url: Option<String>,
    /// Other base address for API requests.
    #[arg(long)]
    api_url: Option<String>,
    /// Path of the tracker, below the base address.
    #[arg(long, value_name = "PATH")]
    tracker_endpoint_path: Option<String>,
    /// Token. Anyone on the machine can read it here; the environment or a mounted file is the better place.
    #[arg(long, value_name = "TOKEN")]
    token_auth: Option<String>,
    /// User for HTTP Basic authentication.
    #[arg(long, value_name = "USER")]
    auth_user: Option<String>,
    /// Password for HTTP Basic authentication.
    #[arg(long, value_name = "PASSWORD")]
    auth_password: Option<String>,
    /// Do not verify the server's certificate.
    #[arg(long)]
    accept_invalid_ssl_certificate: bool,
    /// Time a request may take.
    #[arg(long, value_name = "SECONDS")]
    request_timeout: Option<u64>,
    /// Attempts per request.
    #[arg(long, value_name = "N")]
    retry_max_attempts: Option<u32>,
    /// Pause between attempts.
    #[arg(long, value_name = "SECONDS")]
    retry_delay: Option<u64>,
    /// Requests at the same time.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = value::recorders)]
    recorders: Option<usize>,
    /// Hits per request.
    #[arg(long, value_name = "N", value_parser = value::payload)]
    recorder_max_payload_size: Option<usize>,
    /// Text appended to the query of every request.
    #[arg(long, value_name = "TEXT")]
    request_suffix: Option<String>,

    /// Matomo's number of the site that gets all lines.
    #[arg(long, value_name = "ID")]
    idsite: Option<u32>,
    /// Site of lines whose host matches no site.
    #[arg(long, value_name = "ID")]
    idsite_fallback: Option<u32>,
    /// Create a site for each host that matches none.
    #[arg(long)]
    add_sites_new_hosts: bool,
    /// Host of every line.
    #[arg(long, value_name = "HOST")]
    log_hostname: Option<String>,
    /// Keep only hosts that match this shell pattern; may be repeated.
    #[arg(long = "hostname", value_name = "PATTERN")]
    hostnames: Vec<String>,
    /// Keep only this host; may be repeated.
    #[arg(long = "include-host", value_name = "HOST")]
    include_hosts: Vec<String>,
    /// Drop this host; may be repeated.
    #[arg(long = "exclude-host", value_name = "HOST")]
    exclude_hosts: Vec<String>,

    /// Keep HTTP errors (4xx, 5xx).
    #[arg(long)]
    enable_http_errors: bool,
    /// Keep HTTP redirects (3xx; 304 is always kept).
    #[arg(long)]
    enable_http_redirects: bool,
    /// Keep static files, as downloads.
    #[arg(long)]
    enable_static: bool,
    /// Keep bots, marked as such.
    #[arg(long)]
    enable_bots: bool,
    /// Drop paths that match this shell pattern; may be repeated.
    #[arg(long = "exclude-path", value_name = "PATTERN")]
    exclude_paths: Vec<String>,
    /// Drop paths that match a pattern of this file, one a line.
    #[arg(long, value_name = "FILE")]
    exclude_path_from: Option<PathBuf>,
    /// Keep only paths that match this shell pattern; may be repeated.
    #[arg(long = "include-path", value_name = "PATTERN")]
    include_paths: Vec<String>,
    /// Keep only paths that match a pattern of this file, one a line.
    #[arg(long, value_name = "FILE")]
    include_path_from: Option<PathBuf>,
    /// Part of user agents that mean a bot; may be repeated.
    #[arg(long = "useragent-exclude", value_name = "TEXT")]
    useragent_excludes: Vec<String>,
    /// Extensions of downloads, in place of the built-in ones.
    #[arg(long, value_name = "LIST")]
    download_extensions: Option<String>,
    /// More extensions of downloads.
    #[arg(long, value_name = "LIST")]
    add_download_extensions: Option<String>,
    /// Drop hits before this date, written YYYY-MM-DD hh:mm:ss +hhmm.
    #[arg(long, value_name = "DATE", value_parser = value::moment)]
    exclude_older_than: Option<Moment>,
    /// Drop hits after this date, written YYYY-MM-DD hh:mm:ss +hhmm.
    #[arg(long, value_name = "DATE", value_parser = value::moment)]
    exclude_newer_than: Option<Moment>,
    /// Ignore this many lines at the start of the run.
    #[arg(long, value_name = "N")]
    skip: Option<u64>,
    /// Stop before this matching line of a file.
    #[arg(long, value_name = "N")]
    debug_request_limit: Option<u64>,

    /// Leave the query off addresses.
    #[arg(long)]
    strip_query_string: bool,
    /// Text between path and query.
    #[arg(long, value_name = "TEXT")]
    query_string_delimiter: Option<String>,
    /// Lower-case paths before anything else.
    #[arg(long)]
    force_lowercase_path: bool,
    /// Text between the parts of the titles of errors and redirects.
    #[arg(long, value_name = "TEXT")]
    title_category_delimiter: Option<String>,
    /// Let Matomo look up the names of visitors' addresses.
    #[arg(long)]
    enable_reverse_dns: bool,
    /// Any text: send the HTTP method as a page variable.
    #[arg(long, value_name = "TEXT")]
    track_http_method: Option<String>,
    /// Fields to send as visit variables: field=Name,field=Name.
    #[arg(long, value_name = "PAIRS", value_parser = value::pairs)]
    regex_group_to_visit_cvar: Vec<Pairs>,
    /// Fields to send as page variables: field=Name,field=Name.
    #[arg(long, value_name = "PAIRS", value_parser = value::pairs)]
    regex_group_to_page_cvar: Vec<Pairs>,
    /// Fields to forget once the variables are made.
    #[arg(long, value_name = "LIST")]
    ignore_groups: Option<String>,
    /// Seconds to add to every date.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    add_to_date: Option<i64>,

    /// Format of the lines; found out if not given.
    #[arg(long, value_name = "NAME")]
    log_format_name: Option<String>,
    /// Format of the lines, as a regular expression with named groups.
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    log_format_regex: Option<String>,
    /// Format of dates, with --log-format-regex.
    #[arg(long, value_name = "FORMAT")]
    log_date_format: Option<String>,
    /// Encoding of the files.
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// The #Fields: line for W3C files without one.
    #[arg(long, value_name = "LINE")]
    w3c_fields: Option<String>,
    /// Own names of W3C fields: own=known,own=known.
    #[arg(long, value_name = "PAIRS", value_parser = value::pairs)]
    w3c_map_field: Vec<Pairs>,
    /// Regular expression of a W3C field: field=regex; may be repeated.
    #[arg(long, value_name = "FIELD=REGEX", value_parser = value::pair)]
    w3c_field_regex: Vec<(String, String)>,
    /// The W3C field time-taken is in milliseconds.
    #[arg(long)]
    w3c_time_taken_millisecs: bool,

    /// Lines are tracker requests, to be sent again.
    #[arg(long)]
    replay_tracking: bool,
    /// End of the path of tracker requests, in place of piwik.php and matomo.php.
    #[arg(long, value_name = "FILE")]
    replay_tracking_expected_tracker_file: Option<String>,

    #[command(flatten)]
    own: OwnWords,

    /// Parse and count, send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write the counters of the summary to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    summary_json: Option<PathBuf>,

    #[arg(long, hide = true)]
    show_progress: bool,
    #[arg(long, hide = true)]
    no_progress: bool,
    #[arg(long, hide = true)]
    show_progress_delay: Option<String>,
    #[arg(long, short = 'd', hide = true, action = ArgAction::Count)]
    debug: u8,
    #[arg(long, hide = true)]
    debug_tracker: bool,
    #[arg(long, hide = true)]
    output: Option<String>,
}

impl Words {
    /// The words in their groups; reads the files of patterns.
    pub(super) fn sorted(mut self) -> Result<ImportOptions, ImportOptionsError> {
        if let Some(path) = &self.exclude_path_from {
            self.exclude_paths.extend(value::patterns("--exclude-path-from", path)?);
        }
        if let Some(path) = &self.include_path_from {
            self.include_paths.extend(value::patterns("--include-path-from", path)?);
        }
        Ok(ImportOptions {
            words: super::Words::default(),
            notices: self.notices(),
            files: std::mem::take(&mut self.files),
            server: self.server(),
            site: SiteOptions {
                idsite: self.idsite,
                idsite_fallback: self.idsite_fallback,
                add_sites_new_hosts: self.add_sites_new_hosts,
            },
            format: self.format(),
            dry_run: self.dry_run,
            encoding: self.encoding.take(),
            skip: self.skip.unwrap_or_default(),
            debug_request_limit: self.debug_request_limit,
            summary_json: self.summary_json.take(),
            hits: self.hits()?,
        })
    }

    fn server(&mut self) -> ServerOptions {
        ServerOptions {
            url: self.url.take().map(|url| value::address(&url)),
            api_url: self.api_url.take().map(|url| value::address(&url)),
            tracker_endpoint_path: self.tracker_endpoint_path.take(),
            token_auth: self.token_auth.take(),
            auth_user: self.auth_user.take(),
            auth_password: self.auth_password.take(),
            accept_invalid_ssl_certificate: self.accept_invalid_ssl_certificate,
            request_timeout_seconds: self.request_timeout,
            retry_max_attempts: self.retry_max_attempts.map(|attempts| attempts.max(1)),
            retry_delay_seconds: self.retry_delay,
            recorders: self.recorders,
            recorder_max_payload_size: self.recorder_max_payload_size,
            request_suffix: self.request_suffix.take(),
        }
    }

    fn format(&mut self) -> FormatOptions {
        FormatOptions {
            template: given(self.own.log_format.take()),
            json_fields: self.own.json_fields.take().unwrap_or_default().0,
            name: self.log_format_name.take(),
            regex: self.log_format_regex.take(),
            date_format: self.log_date_format.take(),
            w3c_fields: self.w3c_fields.take(),
            w3c_map_fields: all(std::mem::take(&mut self.w3c_map_field)),
            w3c_field_regexes: std::mem::take(&mut self.w3c_field_regex),
            w3c_time_taken_millisecs: self.w3c_time_taken_millisecs,
        }
    }

    fn hits(self) -> Result<HitOptions, ImportOptionsError> {
        let defaults = HitOptions::default();
        let mut hits = HitOptions {
            enable_http_errors: self.enable_http_errors,
            enable_http_redirects: self.enable_http_redirects,
            enable_static: self.enable_static,
            enable_bots: self.enable_bots,
            exclude_paths: self.exclude_paths,
            include_paths: self.include_paths,
            useragent_excludes: self.useragent_excludes,
            hostnames: self.hostnames,
            include_hosts: self.include_hosts,
            exclude_hosts: self.exclude_hosts,
            download_extensions: given(self.download_extensions).as_deref().map(value::list),
            add_download_extensions: self.add_download_extensions.as_deref().map(value::list).unwrap_or_default(),
            exclude_older_than: self.exclude_older_than,
            exclude_newer_than: self.exclude_newer_than,
            strip_query_string: self.strip_query_string,
            query_string_delimiter: self.query_string_delimiter.unwrap_or(defaults.query_string_delimiter),
            force_lowercase_path: self.force_lowercase_path,
            title_category_delimiter: self.title_category_delimiter.unwrap_or(defaults.title_category_delimiter),
            reverse_dns: self.enable_reverse_dns,
            track_http_method: self.track_http_method.is_some_and(|text| !text.is_empty()),
            visit_variables: all(self.regex_group_to_visit_cvar),
            page_variables: all(self.regex_group_to_page_cvar),
            ignore_groups: self.ignore_groups.as_deref().map(value::list).unwrap_or_default(),
            add_to_date_seconds: self.add_to_date.unwrap_or_default(),
            log_hostname: given(self.log_hostname),
            replay: self.replay_tracking.then(|| replay(self.replay_tracking_expected_tracker_file)),
            ..defaults
        };
        self.own.add_to(&mut hits)?;
        Ok(hits)
    }

    /// Options about the reference's output: they hurt nobody, so they are taken and named.
    fn notices(&self) -> Vec<String> {
        let given = [
            ("--show-progress", self.show_progress, "the log says what is done, one event per file"),
            ("--no-progress", self.no_progress, "the log says what is done, one event per file"),
            ("--show-progress-delay", self.show_progress_delay.is_some(), "the log says what is done"),
            ("--debug", self.debug > 0, "set the log level instead"),
            ("--debug-tracker", self.debug_tracker, "set the log level instead"),
            ("--output", self.output.is_some(), "events go to standard output"),
        ];
        let sentence = |(option, _, instead): (&str, bool, &str)| format!("{option} has no effect: {instead}");
        given.into_iter().filter(|(_, given, _)| *given).map(sentence).collect()
    }
}

/// The pairs of all lists, one after another.
fn all(lists: Vec<Pairs>) -> Vec<(String, String)> {
    lists.into_iter().flat_map(|pairs| pairs.0).collect()
}

/// As in the reference, an empty value is none.
fn given(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.is_empty())
}

fn replay(tracker_file: Option<String>) -> Replay {
    tracker_file.map_or_else(Replay::default, |file| Replay { tracker_files: vec![file] })
}
