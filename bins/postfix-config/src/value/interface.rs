//! Where mail is accepted: interfaces and Internet protocols.

use std::fmt;
use std::net::IpAddr;

use shared::config::Value;

/// What Postfix listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// `all`
    All,
    /// `loopback-only`
    Loopback,
    /// An address of this container.
    Address(IpAddr),
    /// A host name that stands for one.
    Name(String),
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interface::All => f.write_str("all"),
            Interface::Loopback => f.write_str("loopback-only"),
            Interface::Address(address) => address.fmt(f),
            Interface::Name(name) => f.write_str(name),
        }
    }
}

impl Value for Interface {
    fn rule() -> String {
        "`all`, `loopback-only`, an address or a host name".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        match (text, address.parse()) {
            ("all", _) => Ok(Interface::All),
            ("loopback-only", _) => Ok(Interface::Loopback),
            (_, Ok(address)) => Ok(Interface::Address(address)),
            (name, Err(_)) => super::host::check(name).map(|()| Interface::Name(name.to_ascii_lowercase())),
        }
    }
}

/// Which Internet protocols are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `all`
    All,
    /// `ipv4`
    V4,
    /// `ipv6`
    V6,
}

impl Protocol {
    /// Whether an address belongs to it.
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Protocol::All => true,
            Protocol::V4 => address.is_ipv4(),
            Protocol::V6 => address.is_ipv6(),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::All => "all",
            Protocol::V4 => "ipv4",
            Protocol::V6 => "ipv6",
        })
    }
}

impl Value for Protocol {
    fn rule() -> String {
        "`all`, `ipv4` or `ipv6`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "all" => Ok(Protocol::All),
            "ipv4" => Ok(Protocol::V4),
            "ipv6" => Ok(Protocol::V6),
            _ => Err(String::new()),
        }
    }
}
