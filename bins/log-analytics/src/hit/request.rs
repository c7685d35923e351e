//! A record as the filters look at it: path and query apart, host and quotes tidied, ignored fields gone.

use std::borrow::Cow;

use super::group::Group;
use super::rules::Rules;
use super::text;
use crate::format::Record;

/// A record, tidied.
#[derive(Debug)]
pub(super) struct Request<'r> {
    pub(super) record: &'r Record<'r>,
    pub(super) target: Target<'r>,
    pub(super) host: Host<'r>,
    pub(super) referrer: &'r [u8],
    pub(super) user_agent: &'r [u8],
}

/// Path and query.
#[derive(Debug, Clone)]
pub(super) struct Target<'r> {
    /// The path, with the query in it unless the format has a column for that.
    whole: Cow<'r, [u8]>,
    path_end: usize,
    query_start: usize,
    column: Option<&'r [u8]>,
}

/// The host a line is for.
#[derive(Debug, Clone)]
pub(super) enum Host<'r> {
    /// The line does not say.
    Unsaid,
    /// `--log-hostname` says it for every line.
    Forced,
    /// The line's own.
    Said(Cow<'r, [u8]>),
}

impl<'r> Request<'r> {
    pub(super) fn new(record: &'r Record<'r>, rules: &Rules) -> Self {
        let referrer = rules.unless_ignored(&Group::Referrer, record.referrer.as_deref());
        let user_agent = rules.unless_ignored(&Group::UserAgent, record.user_agent.as_deref());
        Self {
            record,
            target: Target::new(record, rules),
            host: Host::new(record, rules),
            referrer: match text::unquote(referrer.unwrap_or_default()) {
                b"-" => b"",
                referrer => referrer,
            },
            user_agent: text::unquote(user_agent.unwrap_or_default()),
        }
    }
}

impl<'r> Target<'r> {
    fn new(record: &'r Record<'r>, rules: &Rules) -> Self {
        let options = &rules.options;
        let whole =
            if options.force_lowercase_path { text::lowercase(&record.path) } else { Cow::Borrowed(&*record.path) };
        let column = rules.unless_ignored(&Group::Query, record.query.as_deref());
        let delimiter = options.query_string_delimiter.as_bytes();
        let (path_end, query_start) = match (column, find(&whole, delimiter)) {
            (None, Some(at)) => (at, at + delimiter.len()),
            _ => (whole.len(), whole.len()),
        };
        Self { whole, path_end, query_start, column }
    }

    /// The path alone.
    pub(super) fn path(&self) -> &[u8] {
        &self.whole[..self.path_end]
    }

    /// The query alone; empty if there is none.
    pub(super) fn query(&self) -> &[u8] {
        match self.column.unwrap_or(&self.whole[self.query_start..]) {
            b"-" => b"",
            query => query,
        }
    }

    /// Path and query as the address shows them; `room` is where they are put together if they stand apart.
    pub(super) fn text<'a>(&'a self, rules: &Rules, room: &'a mut Vec<u8>) -> &'a [u8] {
        if rules.options.strip_query_string { self.path() } else { self.with_query(rules, room) }
    }

    /// Path and query, put together in `room` if they stand apart.
    #[inline]
    pub(super) fn with_query<'a>(&'a self, rules: &Rules, room: &'a mut Vec<u8>) -> &'a [u8] {
        let query = self.query();
        if query.is_empty() {
            return self.path();
        }
        if self.column.is_none() {
            return &self.whole;
        }
        room.clear();
        room.extend_from_slice(self.path());
        room.extend_from_slice(rules.options.query_string_delimiter.as_bytes());
        room.extend_from_slice(query);
        room
    }
}

fn find(text: &[u8], delimiter: &[u8]) -> Option<usize> {
    match delimiter {
        [byte] => memchr::memchr(*byte, text),
        _ => memchr::memmem::find(text, delimiter),
    }
}

fn tidy(host: &[u8]) -> &[u8] {
    text::unquote(text::trim(host, b'.'))
}

impl<'r> Host<'r> {
    fn new(record: &'r Record<'r>, rules: &Rules) -> Self {
        if rules.options.log_hostname.is_some() {
            return Self::Forced;
        }
        let host = rules.unless_ignored(&Group::Host, record.host.as_deref());
        match host.map(text::lowercase) {
            None => Self::Unsaid,
            Some(Cow::Borrowed(host)) => Self::Said(Cow::Borrowed(tidy(host))),
            Some(Cow::Owned(host)) => Self::Said(Cow::Owned(tidy(&host).to_vec())),
        }
    }

    /// Its text; it may be empty.
    pub(super) fn text<'a>(&'a self, rules: &'a Rules) -> Option<&'a [u8]> {
        match self {
            Self::Unsaid => None,
            Self::Forced => rules.options.log_hostname.as_deref().map(str::as_bytes),
            Self::Said(host) => Some(host),
        }
    }
}

/// The host in an address such as `http://user@host:80/path`, as logs of proxies have it for a path.
pub(super) fn host_of_address(path: &[u8]) -> Option<&[u8]> {
    let start = memchr::memmem::find(path, b"://")?;
    if start == 0 || !path[..start].iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let rest = &path[start + 3..];
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let host = rest[..end].rsplit(|&byte| byte == b'@').next().unwrap_or_default();
    Some(match host.strip_prefix(b"[") {
        Some(inner) => inner.split(|&byte| byte == b']').next().unwrap_or_default(),
        None => host.split(|&byte| byte == b':').next().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_found_between_its_parts() {
        for (path, host) in [
            ("http://proxy.example.net/abs?x=1", Some("proxy.example.net")),
            ("https://user:pw@Host:8443?x", Some("Host")),
            ("http://[2001:db8::1]:80/", Some("2001:db8::1")),
            ("http://h", Some("h")),
            ("/path?to=http://other/", None),
            ("://x", None),
            ("proxy.example.net:443", None),
        ] {
            assert_eq!(host_of_address(path.as_bytes()), host.map(str::as_bytes), "{path}");
        }
    }
}
