//! How much a connection must be protected. Postfix itself takes any word here and checks none.

use std::fmt;

use shared::config::Value;

/// Protection of mail on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientLevel {
    /// Never encrypted.
    None,
    /// Encrypted if the server offers it.
    May,
    /// Encrypted or not sent; the certificate is not looked at.
    Encrypt,
    /// By the DNSSEC records of the server, else as `may`.
    Dane,
    /// By the DNSSEC records of the server, or not sent.
    DaneOnly,
    /// Encrypted, the certificate must be trusted and name the server or its mail exchanger.
    Verify,
    /// Encrypted, the certificate must be trusted and name the server itself.
    Secure,
}

impl ClientLevel {
    /// Whether mail leaves only encrypted.
    pub fn insists(self) -> bool {
        matches!(self, Self::Encrypt | Self::DaneOnly | Self::Verify | Self::Secure)
    }

    /// Whether the certificate must be trusted.
    pub fn verifies(self) -> bool {
        matches!(self, Self::Verify | Self::Secure)
    }
}

impl fmt::Display for ClientLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::May => "may",
            Self::Encrypt => "encrypt",
            Self::Dane => "dane",
            Self::DaneOnly => "dane-only",
            Self::Verify => "verify",
            Self::Secure => "secure",
        })
    }
}

impl Value for ClientLevel {
    fn rule() -> String {
        "none, may, encrypt, dane, dane-only, verify or secure".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "may" => Ok(Self::May),
            "encrypt" => Ok(Self::Encrypt),
            "dane" => Ok(Self::Dane),
            "dane-only" => Ok(Self::DaneOnly),
            "verify" => Ok(Self::Verify),
            "secure" => Ok(Self::Secure),
            _ => Err(String::new()),
        }
    }
}

/// Protection that is offered to those who send through us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerLevel {
    /// None is offered.
    None,
    /// Offered.
    May,
    /// Demanded.
    Encrypt,
}

impl fmt::Display for ServerLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::May => "may",
            Self::Encrypt => "encrypt",
        })
    }
}

impl Value for ServerLevel {
    fn rule() -> String {
        "none, may or encrypt".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "may" => Ok(Self::May),
            "encrypt" => Ok(Self::Encrypt),
            _ => Err(String::new()),
        }
    }
}

/// When encryption begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// After a few words in the clear.
    StartTls,
    /// With the first byte.
    Implicit,
}

impl Value for TlsMode {
    fn rule() -> String {
        "starttls or implicit".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "starttls" => Ok(Self::StartTls),
            "implicit" => Ok(Self::Implicit),
            _ => Err(String::new()),
        }
    }
}
