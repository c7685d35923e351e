//! The server that mail is handed to, in the spellings that people use.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use shared::config::Value;

/// A TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(u16);

impl Port {
    /// A port that is known to be good.
    pub const fn new(port: u16) -> Self {
        Self(port)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Value for Port {
    fn rule() -> String {
        "a port from 1 to 65535".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(port) if digits && port > 0 => Ok(Self(port)),
            _ => Err(String::new()),
        }
    }
}

/// `host`, `[host]`, `host:port`, `[host]:port`, an IPv4 address, or an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    host: String,
    /// The port, if one was given here.
    pub port: Option<Port>,
}

impl Relay {
    /// The host without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// As Postfix wants it: brackets keep it from looking for the mail servers of a domain of that name.
    pub fn with_port(&self, port: Port) -> String {
        format!("[{}]:{port}", self.host)
    }
}

impl Value for Relay {
    fn rule() -> String {
        "a host, `host:port` or `[host]:port`; an IPv6 address needs the brackets".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        super::one_line(text)?;
        let (host, port) = split(text)?;
        let port =
            port.map(Port::parse).transpose().map_err(|_| "its port is not a number from 1 to 65535".to_owned())?;
        Ok(Self { host: check_host(host)?, port })
    }
}

fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(inside) = text.strip_prefix('[') {
        let (host, rest) = inside.split_once(']').ok_or("its bracket is not closed")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("something follows its bracket".to_owned()),
        };
    }
    match text.matches(':').count() {
        0 => Ok((text, None)),
        1 => Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))),
        _ if text.parse::<Ipv6Addr>().is_ok() => Err("an IPv6 address is written in brackets".to_owned()),
        _ => Err("it has more than one colon".to_owned()),
    }
}

fn check_host(host: &str) -> Result<String, String> {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(address.to_string());
    }
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        return Ok(address.to_string());
    }
    super::host::check(host)?;
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_becomes_the_one_that_postfix_matches() {
        for (text, written) in [
            ("mail.example", "[mail.example]:25"),
            ("Mail.Example:587", "[mail.example]:587"),
            ("[mail.example]", "[mail.example]:25"),
            ("[mail.example]:8587", "[mail.example]:8587"),
            ("10.0.0.1", "[10.0.0.1]:25"),
            ("10.0.0.1:2525", "[10.0.0.1]:2525"),
            ("[2001:DB8::1]:465", "[2001:db8::1]:465"),
            ("[::1]", "[::1]:25"),
            ("relay", "[relay]:25"),
        ] {
            let relay = Relay::parse(text).unwrap();
            assert_eq!(relay.with_port(relay.port.unwrap_or(Port::new(25))), written, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "[[h]]",
            "[h]]",
            "[h",
            "h]",
            "h:0",
            "h:70000",
            "h:abc",
            "h:",
            ":25",
            "[]:25",
            "a b",
            "[a b]:25",
            "[h]x",
            "2001:db8::1",
            "a:b:c",
            "h:+25",
            "h\n",
            "a$b",
            "user@h",
            "h/",
            "bücher.example",
            "1.2.3",
            "h:25,g:25",
        ] {
            assert!(Relay::parse(text).is_err(), "{text}");
        }
        for text in ["0", "70000", "abc", "+25", "-1", "25 ", "2 5", ""] {
            assert!(Port::parse(text).is_err(), "{text}");
        }
    }
}
