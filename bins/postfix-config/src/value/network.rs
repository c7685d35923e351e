//! Networks whose clients may send.

use std::fmt;
use std::net::IpAddr;

use shared::config::Value;

/// An address and the number of its bits that count; the others are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether it holds every address there is, so that anybody could send through us.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }
}

/// As Postfix writes it.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}/{}", self.bits),
            IpAddr::V6(address) => write!(f, "[{address}]/{}", self.bits),
        }
    }
}

impl Value for Network {
    fn rule() -> String {
        "a network such as 10.0.0.0/8 or [fd00::]/8, or an address".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let bracketed = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address: IpAddr = bracketed.unwrap_or(address).parse().map_err(|_| "it is no address".to_owned())?;
        if bracketed.is_some() && address.is_ipv4() {
            return Err("an IPv4 address has no brackets".to_owned());
        }
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(whole), read_bits)?;
        if bits > whole {
            return Err(format!("the number after its slash is larger than {whole}"));
        }
        match first_of(address, bits) {
            first if first == address => Ok(Self { address, bits }),
            first => Err(format!("the network of that size begins at {first}")),
        }
    }
}

fn read_bits(text: &str) -> Result<u8, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| "there must be a number of bits after its slash".to_owned())
}

/// The address with all bits after the first `bits` zero.
fn first_of(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::from((u32::from(v4) & mask).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::from((u128::from(v6) & mask).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_written_as_postfix_reads_them() {
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::/8", "[fd00::]/8"),
            ("[::1]", "[::1]/128"),
            ("[::1]/128", "[::1]/128"),
            ("::/0", "[::]/0"),
        ] {
            assert_eq!(Network::parse(text).map(|network| network.to_string()).as_deref(), Ok(written), "{text}");
        }
    }

    #[test]
    fn host_bits_and_slips_are_refused() {
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "fd00::1/8",
            "[fd00::/8]",
            "[10.0.0.0]/8",
            "host",
            "10.0.0.0/8/8",
            "::1/129",
            "",
            "!10.0.0.0/8",
            "hash:/etc/passwd",
        ] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
