//! Encryption that is offered to those who send through us: useless without a certificate.

use shared::config::{Declared, Reader, Setting};

use crate::value::{CleanPath, ServerLevel};

shared::settings! {
    /// The variables about it.
    pub struct InboundSettings {
        /// Protection of mail on its way in.
        pub level: ServerLevel = default("SMTPD_TLS_SECURITY_LEVEL", "none").example("may"),
        /// Certificate chain (PEM) for SMTPD_TLS_SECURITY_LEVEL.
        pub certificate: Option<CleanPath> = optional("SMTPD_TLS_CERT_FILE").example("/run/secrets/tls.crt"),
        /// Key (PEM) of SMTPD_TLS_CERT_FILE.
        pub key: Option<CleanPath> = optional("SMTPD_TLS_KEY_FILE").example("/run/secrets/tls.key"),
    }
}

/// What is offered.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// How much protection.
    pub level: ServerLevel,
    /// With what.
    pub certificate: Option<Certificate>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// File with the chain.
    pub chain: CleanPath,
    /// File with the key.
    pub key: CleanPath,
}

impl Declared for Inbound {
    fn declared() -> Vec<Setting> {
        InboundSettings::declared()
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let InboundSettings { level, certificate, key } = InboundSettings::read(reader)?;
        let certificate = match (certificate, key) {
            (Some(chain), Some(key)) => Some(Certificate { chain, key }),
            (None, None) => None,
            _ => {
                reader.clash("SMTPD_TLS_CERT_FILE and SMTPD_TLS_KEY_FILE belong together: one of them is not set");
                return None;
            }
        };
        match (level, &certificate) {
            (ServerLevel::Encrypt, None) => {
                reader.clash(
                    "SMTPD_TLS_SECURITY_LEVEL is encrypt, but without SMTPD_TLS_CERT_FILE and SMTPD_TLS_KEY_FILE nobody could send",
                );
                return None;
            }
            (ServerLevel::May, None) => {
                reader.notice("SMTPD_TLS_SECURITY_LEVEL is may, but without SMTPD_TLS_CERT_FILE and SMTPD_TLS_KEY_FILE no TLS is offered");
            }
            _ => {}
        }
        Some(Self { level, certificate })
    }
}
