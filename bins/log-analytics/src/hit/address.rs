//! Client addresses: which networks count, and how much of an address is sent.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::skip::Skip;

/// What is sent in place of a text that is no address while addresses are masked: a host name would say as much.
const UNKNOWN: &str = "0.0.0.0";

/// Rules about client addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    include: Vec<IpNet>,
    exclude: Vec<IpNet>,
    masked_bytes: u8,
}

impl Addresses {
    pub(super) fn new(include: &[IpNet], exclude: &[IpNet], masked_bytes: u8) -> Self {
        Self { include: include.to_vec(), exclude: exclude.to_vec(), masked_bytes }
    }

    /// Whether lines of this client are wanted; exclusion wins. A text that is no address is in no network.
    pub(super) fn judge(&self, text: &[u8]) -> Result<(), Skip> {
        if self.include.is_empty() && self.exclude.is_empty() {
            return Ok(());
        }
        let address = address(text);
        let lies_in = |networks: &[IpNet]| {
            address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
        };
        if lies_in(&self.exclude) {
            return Err(Skip::IpExcluded);
        }
        if !self.include.is_empty() && !lies_in(&self.include) { Err(Skip::IpNotIncluded) } else { Ok(()) }
    }

    /// The address with its last bytes taken away, if that is wished; as Matomo's privacy settings do it.
    pub(super) fn masked(&self, text: &[u8]) -> Option<Box<str>> {
        if self.masked_bytes == 0 {
            return None;
        }
        Some(
            address(text).map_or_else(|| UNKNOWN.into(), |address| mask(address, self.masked_bytes).to_string().into()),
        )
    }
}

/// An IPv4 address inside an IPv6 one counts as what it is.
fn address(text: &[u8]) -> Option<IpAddr> {
    str::from_utf8(text).ok()?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Of an IPv4 address the last bytes go. An IPv6 address keeps its first 64, 48, 24 or 0 bits, the steps that Matomo
/// knows for 1, 2, 3 and 4 bytes.
fn mask(address: IpAddr, bytes: u8) -> IpAddr {
    let kept = |bits: u32, of: u32| u128::MAX.checked_shl(of - bits).unwrap_or(0);
    match address {
        IpAddr::V4(address) => {
            let kept = u32::MAX.checked_shl(8 * u32::from(bytes)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & kept).into()
        }
        IpAddr::V6(address) => {
            let bits = match bytes {
                0 => 128,
                1 => 64,
                2 => 48,
                3 => 24,
                _ => 0,
            };
            Ipv6Addr::from_bits(address.to_bits() & kept(bits, 128)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, bytes: u8) -> String {
        Addresses::new(&[], &[], bytes).masked(text.as_bytes()).map_or_else(|| text.to_owned(), String::from)
    }

    #[test]
    fn the_last_bytes_of_an_address_are_taken_away() {
        assert_eq!(masked("192.0.2.77", 0), "192.0.2.77");
        assert_eq!(masked("192.0.2.77", 1), "192.0.2.0");
        assert_eq!(masked("192.0.2.77", 2), "192.0.0.0");
        assert_eq!(masked("192.0.2.77", 4), "0.0.0.0");
        assert_eq!(masked("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::");
        assert_eq!(masked("2001:db8:1:2:3:4:5:6", 2), "2001:db8:1::");
        assert_eq!(masked("2001:db8:1:2:3:4:5:6", 3), "2001:d00::");
        assert_eq!(masked("2001:db8::1", 4), "::");
        assert_eq!(masked("::ffff:192.0.2.77", 1), "192.0.2.0");
        assert_eq!(masked("host.example", 1), "0.0.0.0");
    }

    #[test]
    fn networks_let_in_and_keep_out() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let rules = Addresses::new(&[net("192.0.2.0/24"), net("2001:db8::/32")], &[net("192.0.2.128/25")], 0);
        assert_eq!(rules.judge(b"192.0.2.1"), Ok(()));
        assert_eq!(rules.judge(b"::ffff:192.0.2.1"), Ok(()));
        assert_eq!(rules.judge(b"192.0.2.200"), Err(Skip::IpExcluded));
        assert_eq!(rules.judge(b"198.51.100.1"), Err(Skip::IpNotIncluded));
        assert_eq!(rules.judge(b"2001:db8::7"), Ok(()));
        assert_eq!(rules.judge(b"-"), Err(Skip::IpNotIncluded));
        assert_eq!(Addresses::new(&[], &[net("10.0.0.0/8")], 0).judge(b"-"), Ok(()));
    }
}
