//! What to keep and what to send, as plain values.

use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::group::Group;
use crate::format::Moment;

/// Which records become hits, and what a hit carries. Names are those of the reference importer's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HitOptions {
    /// Keep 4xx and 5xx.
    pub enable_http_errors: bool,
    /// Keep 3xx; 304 is always kept.
    pub enable_http_redirects: bool,
    /// Keep static files, as downloads.
    pub enable_static: bool,
    /// Keep bots, marked as such.
    pub enable_bots: bool,
    /// Shell patterns of paths to drop.
    pub exclude_paths: Vec<String>,
    /// Shell patterns of paths to keep; empty keeps all.
    pub include_paths: Vec<String>,
    /// Shell patterns of path and query to drop.
    pub exclude_urls: Vec<String>,
    /// Shell patterns of path and query to keep; empty keeps all.
    pub include_urls: Vec<String>,
    /// Networks whose clients are dropped.
    pub exclude_ips: Vec<IpNet>,
    /// The only networks whose clients are kept; empty keeps all.
    pub include_ips: Vec<IpNet>,
    /// Bytes of client addresses that are not sent, 0 to 4.
    pub masked_ip_bytes: u8,
    /// Drop crawlers of AI services.
    pub exclude_ai_crawlers: bool,
    /// Custom dimensions: number, and the field that fills it (`agent_class` for human, bot or ai).
    pub dimensions: Vec<(u32, String)>,
    /// Zone of dates in formats that write none.
    pub zone: Option<TimeZone>,
    /// More parts of user agents that mean a bot.
    pub useragent_excludes: Vec<String>,
    /// Shell patterns of hosts to keep; empty keeps all.
    pub hostnames: Vec<String>,
    /// The only hosts to keep; empty keeps all.
    pub include_hosts: Vec<String>,
    /// Hosts to drop.
    pub exclude_hosts: Vec<String>,
    /// Replaces the built-in download extensions; those of the built-in list that are missing here are dropped.
    pub download_extensions: Option<Vec<String>>,
    /// More download extensions.
    pub add_download_extensions: Vec<String>,
    /// Drop what is older; equal is kept.
    pub exclude_older_than: Option<Moment>,
    /// Drop what is newer; equal is kept.
    pub exclude_newer_than: Option<Moment>,
    /// Leave the query off the address.
    pub strip_query_string: bool,
    /// Separates path and query; not empty.
    pub query_string_delimiter: String,
    /// Lower-case the path before anything else.
    pub force_lowercase_path: bool,
    /// Separates the parts of the titles of errors and redirects.
    pub title_category_delimiter: String,
    /// Ask Matomo to look up the names of visitors' addresses.
    pub reverse_dns: bool,
    /// Send the HTTP method as a page variable.
    pub track_http_method: bool,
    /// Fields to send as visit variables: field, name.
    pub visit_variables: Vec<(String, String)>,
    /// Fields to send as page variables: field, name.
    pub page_variables: Vec<(String, String)>,
    /// Fields to forget once the variables are made.
    pub ignore_groups: Vec<String>,
    /// Added to every date.
    pub add_to_date_seconds: i64,
    /// The host of every line, as given.
    pub log_hostname: Option<String>,
    /// Lines are tracker requests, to be sent again.
    pub replay: Option<Replay>,
}

/// How to tell tracker requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Ends of their paths, in any case.
    pub tracker_files: Vec<String>,
}

impl Default for Replay {
    fn default() -> Self {
        Self { tracker_files: vec!["piwik.php".to_owned(), "matomo.php".to_owned()] }
    }
}

impl Default for HitOptions {
    fn default() -> Self {
        Self {
            enable_http_errors: false,
            enable_http_redirects: false,
            enable_static: false,
            enable_bots: false,
            exclude_paths: Vec::new(),
            include_paths: Vec::new(),
            exclude_urls: Vec::new(),
            include_urls: Vec::new(),
            exclude_ips: Vec::new(),
            include_ips: Vec::new(),
            masked_ip_bytes: 0,
            exclude_ai_crawlers: false,
            dimensions: Vec::new(),
            zone: None,
            useragent_excludes: Vec::new(),
            hostnames: Vec::new(),
            include_hosts: Vec::new(),
            exclude_hosts: Vec::new(),
            download_extensions: None,
            add_download_extensions: Vec::new(),
            exclude_older_than: None,
            exclude_newer_than: None,
            strip_query_string: false,
            query_string_delimiter: "?".to_owned(),
            force_lowercase_path: false,
            title_category_delimiter: "/".to_owned(),
            reverse_dns: false,
            track_http_method: false,
            visit_variables: Vec::new(),
            page_variables: Vec::new(),
            ignore_groups: Vec::new(),
            add_to_date_seconds: 0,
            log_hostname: None,
            replay: None,
        }
    }
}

/// Options that cannot be used together with the rest of the world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Every text contains the empty text.
    #[error("--query-string-delimiter must not be empty")]
    EmptyDelimiter,
    /// The field makes the hit.
    #[error("--ignore-groups={group}: a hit cannot do without this field")]
    NeededGroup {
        /// Name of the field.
        group: String,
    },
}

impl HitOptions {
    /// Whether a [`super::Judge`] can be made of them.
    ///
    /// # Errors
    /// The first option that cannot be used.
    pub fn check(&self) -> Result<(), OptionError> {
        if self.query_string_delimiter.is_empty() {
            return Err(OptionError::EmptyDelimiter);
        }
        match self.ignore_groups.iter().find(|name| Group::from_name(name).is_needed()) {
            Some(group) => Err(OptionError::NeededGroup { group: group.clone() }),
            None => Ok(()),
        }
    }
}
