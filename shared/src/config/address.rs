//! A setting that says where a server is.

use std::fmt;

use super::value::Value;
use crate::secret::HIDDEN;

/// An address on the web: `http://` is added when no scheme is given, trailing slashes are removed.
/// Printing it hides a user, a password and the query; [`Address::as_str`] has them all.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The whole address, ready to have `/path` appended.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Address {
    fn rule() -> String {
        "an http:// or https:// address".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err("its scheme is another one".to_owned());
        }
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("it contains a blank".to_owned());
        }
        let rest = rest.trim_end_matches('/');
        check_host(rest.split(['/', '?', '#']).next().unwrap_or_default())?;
        Ok(Self(format!("{scheme}://{rest}")))
    }

    fn shown(text: &str) -> String {
        let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
        let separator = if scheme.is_empty() { "" } else { "://" };
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?(hidden)"));
        match rest.rsplit_once('@') {
            Some((_, place)) => format!("{scheme}{separator}{HIDDEN}@{place}{query}"),
            None => format!("{scheme}{separator}{rest}{query}"),
        }
    }
}

/// `user:password@host:port`, `[::1]:8080`: there must be a host, and a port must be a number.
fn check_host(authority: &str) -> Result<(), String> {
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    match port.map(str::parse::<u16>) {
        Some(Err(_) | Ok(0)) => Err("its port is not a number from 1 to 65535".to_owned()),
        _ => Ok(()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::shown(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_get_a_scheme_and_lose_trailing_slashes() {
        let whole = |text| Some(Address::parse(text).ok()?.as_str().to_owned());
        assert_eq!(whole("matomo").as_deref(), Some("http://matomo"));
        assert_eq!(whole("matomo:8080/piwik//").as_deref(), Some("http://matomo:8080/piwik"));
        assert_eq!(whole("HTTPS://[::1]:8443").as_deref(), Some("https://[::1]:8443"));
        assert_eq!(whole("http://user:pass@matomo").as_deref(), Some("http://user:pass@matomo"));
        for text in [
            "http://",
            "://matomo",
            "ftp://matomo",
            "http://a b",
            "http://matomo:http",
            "http://matomo:0",
            "http:///path",
            "http://:80",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_printed_without_its_secrets() {
        let address = Address::parse("http://user:pass@matomo/a?token_auth=x").unwrap();
        assert_eq!(
            format!("{address} {address:?}"),
            "http://(hidden)@matomo/a?(hidden) http://(hidden)@matomo/a?(hidden)"
        );
    }
}
