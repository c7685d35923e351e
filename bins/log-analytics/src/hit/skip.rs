//! Why a line does not become a hit.

/// Why a record does not become a hit. Every reason has a counter, a word and a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// A file type that `--download-extensions` leaves out.
    Download,
    /// The host matches no `--hostname`.
    Hostname,
    /// 4xx or 5xx without `--enable-http-errors`.
    HttpError,
    /// 3xx but 304 without `--enable-http-redirects`.
    HttpRedirect,
    /// `--exclude-path` or `--include-path`.
    Path,
    /// A static file without `--enable-static`.
    Static,
    /// A bot without `--enable-bots`.
    Bot,
    /// A date that does not exist or a zone that is no number.
    InvalidDate,
    /// `--exclude-host`.
    HostExcluded,
    /// Not in `--include-host`.
    HostNotIncluded,
    /// `--exclude-older-than`.
    TooOld,
    /// `--exclude-newer-than`.
    TooNew,
    /// Later than now: Matomo would store it as if it happened at the time of the import.
    InFuture {
        /// How far ahead, rounded up to whole seconds.
        seconds_ahead: i64,
    },
    /// More than 20 years back: Matomo would store it as if it happened at the time of the import.
    BeforeMatomoLimit,
    /// `--exclude-url` or `--include-url`.
    Url,
    /// `--exclude-ip`.
    IpExcluded,
    /// Not in `--include-ip`.
    IpNotIncluded,
    /// `--exclude-ai-crawlers`.
    AiCrawler,
    /// `--replay-tracking`, and the line is no request to a tracker for some site.
    NoTrackerRequest,
}

/// A skipped record: the reason, and whether it counts as a download all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// Why.
    pub reason: Skip,
    /// The path has a download extension. The reference counts such a line as a download even when a later filter
    /// drops it.
    pub download: bool,
}

impl Skip {
    /// Number of reasons.
    pub const COUNT: usize = 19;

    /// One of each, in the order of [`Skip::index`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::Download,
        Self::Hostname,
        Self::HttpError,
        Self::HttpRedirect,
        Self::Path,
        Self::Static,
        Self::Bot,
        Self::InvalidDate,
        Self::HostExcluded,
        Self::HostNotIncluded,
        Self::TooOld,
        Self::TooNew,
        Self::InFuture { seconds_ahead: 0 },
        Self::BeforeMatomoLimit,
        Self::NoTrackerRequest,
        Self::Url,
        Self::IpExcluded,
        Self::IpNotIncluded,
        Self::AiCrawler,
    ];

    /// Place of the reason's counter, below [`Skip::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Download => 0,
            Self::Hostname => 1,
            Self::HttpError => 2,
            Self::HttpRedirect => 3,
            Self::Path => 4,
            Self::Static => 5,
            Self::Bot => 6,
            Self::InvalidDate => 7,
            Self::HostExcluded => 8,
            Self::HostNotIncluded => 9,
            Self::TooOld => 10,
            Self::TooNew => 11,
            Self::InFuture { .. } => 12,
            Self::BeforeMatomoLimit => 13,
            Self::NoTrackerRequest => 14,
            Self::Url => 15,
            Self::IpExcluded => 16,
            Self::IpNotIncluded => 17,
            Self::AiCrawler => 18,
        }
    }

    /// Word for counters and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Download => "other_downloads",
            Self::Hostname => "hostname",
            Self::HttpError => "http_errors",
            Self::HttpRedirect => "http_redirects",
            Self::Path => "path",
            Self::Static => "static",
            Self::Bot => "bots",
            Self::InvalidDate => "invalid_date",
            Self::HostExcluded => "host_excluded",
            Self::HostNotIncluded => "host_not_included",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::InFuture { .. } => "in_future",
            Self::BeforeMatomoLimit => "before_matomo_limit",
            Self::NoTrackerRequest => "no_tracker_request",
            Self::Url => "url",
            Self::IpExcluded => "ip_excluded",
            Self::IpNotIncluded => "ip_not_included",
            Self::AiCrawler => "ai_crawlers",
        }
    }

    /// Sentence for an operator.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Download => "a file type that --download-extensions leaves out",
            Self::Hostname => "the host matches no --hostname",
            Self::HttpError => "an HTTP error, and --enable-http-errors is not given",
            Self::HttpRedirect => "an HTTP redirect, and --enable-http-redirects is not given",
            Self::Path => "the path is excluded by --exclude-path or matches no --include-path",
            Self::Static => "a static file, and --enable-static is not given",
            Self::Bot => "the user agent is a bot, and --enable-bots is not given",
            Self::InvalidDate => "the date does not exist or its time zone is not a number",
            Self::HostExcluded => "the host is excluded by --exclude-host",
            Self::HostNotIncluded => "the host is not in --include-host",
            Self::TooOld => "older than --exclude-older-than",
            Self::TooNew => "newer than --exclude-newer-than",
            Self::InFuture { .. } => "dated in the future: Matomo would count it at the time of the import",
            Self::BeforeMatomoLimit => "older than 20 years: Matomo would count it at the time of the import",
            Self::Url => "the address is excluded by --exclude-url or matches no --include-url",
            Self::IpExcluded => "the client's address is in a network of --exclude-ip",
            Self::IpNotIncluded => "the client's address is in no network of --include-ip",
            Self::AiCrawler => "the user agent belongs to an AI service, and --exclude-ai-crawlers is given",
            Self::NoTrackerRequest => "--replay-tracking is given, and this is no request to a tracker for some site",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_its_own_counter_and_word() {
        for (place, reason) in Skip::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), place, "{}", reason.word());
        }
        let words: HashSet<_> = Skip::ALL.into_iter().map(Skip::word).collect();
        assert_eq!(words.len(), Skip::COUNT);
    }
}
