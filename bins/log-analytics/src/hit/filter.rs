//! The reference importer's filters, one function each; all answer with the reason for a no.

use super::agent::{Agent, Class};
use super::extension::Kind;
use super::pattern::Pattern;
use super::request::{Host, Request, Target, host_of_address};
use super::rules::Rules;
use super::skip::Skip;
use super::text;
use crate::format::Moment;

/// Matomo takes the time of the import for anything older than 20 years. Years without leap days are the cautious
/// reading: a few days more are held back, none is stored under a wrong date.
const MATOMO_AGE_SECONDS_MAX: i64 = 20 * 365 * 86_400;

/// File types that a download list of one's own leaves out.
pub(super) fn download(kind: Kind) -> Result<(), Skip> {
    if kind.known_download && !kind.download { Err(Skip::Download) } else { Ok(()) }
}

/// `--hostname`; lines without a host pass.
pub(super) fn hostname(rules: &Rules, host: &Host<'_>) -> Result<(), Skip> {
    match host.text(rules) {
        Some(host) if !rules.hostnames.is_empty() && !rules.hostnames.iter().any(|pattern| pattern.matches(host)) => {
            Err(Skip::Hostname)
        }
        _ => Ok(()),
    }
}

/// Errors and redirects; answers whether the hit is one, and so gets a title that says so.
pub(super) fn status(rules: &Rules, status: &[u8]) -> Result<bool, Skip> {
    match status {
        // A tracker answered so, but the request it got says what to count.
        [b'4' | b'5', ..] if rules.options.replay.is_some() => Ok(false),
        [b'4' | b'5', ..] if rules.options.enable_http_errors => Ok(true),
        [b'4' | b'5', ..] => Err(Skip::HttpError),
        b"304" => Ok(false),
        [b'3', ..] if rules.options.enable_http_redirects => Ok(true),
        [b'3', ..] => Err(Skip::HttpRedirect),
        _ => Ok(false),
    }
}

/// `--exclude-path` before `--include-path`.
pub(super) fn path(rules: &Rules, path: &[u8]) -> Result<(), Skip> {
    let excluded = rules.exclude_paths.iter().any(|pattern| pattern.matches(path));
    let included = rules.include_paths.is_empty() || rules.include_paths.iter().any(|pattern| pattern.matches(path));
    if excluded || !included { Err(Skip::Path) } else { Ok(()) }
}

/// `--exclude-url` before `--include-url`: patterns of path and query together.
pub(super) fn url(rules: &Rules, target: &Target<'_>, room: &mut Vec<u8>) -> Result<(), Skip> {
    if rules.exclude_urls.is_empty() && rules.include_urls.is_empty() {
        return Ok(());
    }
    let url = target.with_query(rules, room);
    let matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(url));
    let included = rules.include_urls.is_empty() || matches(&rules.include_urls);
    if matches(&rules.exclude_urls) || !included { Err(Skip::Url) } else { Ok(()) }
}

/// Static files and `robots.txt`; answers whether the hit is one, and so is sent as a download.
pub(super) fn static_file(rules: &Rules, kind: Kind, path: &[u8]) -> Result<bool, Skip> {
    let is_static = kind.is_static || path == b"robots.txt" || path.ends_with(b"/robots.txt");
    if is_static && !rules.options.enable_static { Err(Skip::Static) } else { Ok(is_static) }
}

/// Bots, and crawlers of AI services.
pub(super) fn bot(rules: &Rules, agent: &Agent) -> Result<(), Skip> {
    if agent.class == Class::Ai && rules.options.exclude_ai_crawlers {
        return Err(Skip::AiCrawler);
    }
    if agent.bot && !rules.options.enable_bots { Err(Skip::Bot) } else { Ok(()) }
}

/// `--exclude-host` before `--include-host`; lines without a host pass, and so do those with an empty one.
#[inline]
pub(super) fn host(rules: &Rules, request: &Request<'_>) -> Result<(), Skip> {
    let all = rules.exclude_hosts.is_empty() && rules.include_hosts.is_empty();
    if all { Ok(()) } else { listed_host(rules, request) }
}

fn listed_host(rules: &Rules, request: &Request<'_>) -> Result<(), Skip> {
    let said = request.host.text(rules).or_else(|| host_of_address(request.target.path()));
    let Some(host) = said.filter(|host| !host.is_empty()).map(text::lowercase) else {
        return Ok(());
    };
    if rules.exclude_hosts.contains(&*host) {
        return Err(Skip::HostExcluded);
    }
    if !rules.include_hosts.is_empty() && !rules.include_hosts.contains(&*host) {
        return Err(Skip::HostNotIncluded);
    }
    Ok(())
}

/// `--exclude-older-than` and `--exclude-newer-than`; the limits themselves pass.
pub(super) fn window(rules: &Rules, moment: Moment) -> Result<(), Skip> {
    if rules.options.exclude_older_than.is_some_and(|oldest| moment < oldest) {
        return Err(Skip::TooOld);
    }
    if rules.options.exclude_newer_than.is_some_and(|newest| moment > newest) {
        return Err(Skip::TooNew);
    }
    Ok(())
}

/// What Matomo would store under a date that is not its own.
pub(super) fn matomo_limits(moment: Moment, now: Moment) -> Result<(), Skip> {
    if moment > now {
        let begun = i64::from(moment.micros > now.micros);
        return Err(Skip::InFuture { seconds_ahead: moment.seconds.saturating_sub(now.seconds) + begun });
    }
    if moment.seconds <= now.seconds - MATOMO_AGE_SECONDS_MAX {
        return Err(Skip::BeforeMatomoLimit);
    }
    Ok(())
}
