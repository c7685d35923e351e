//! A certificate authority of its own, and a certificate of it for the loopback.
#![expect(clippy::expect_used, reason = "a test without its certificates can only fail")]

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority that nobody knows, unless they are told.
#[derive(Clone)]
pub struct Authority {
    pem: String,
    server: Arc<ServerConfig>,
    chain_pem: String,
    key_pem: String,
}

impl Authority {
    /// A new one, with a certificate for `localhost` and 127.0.0.1.
    ///
    /// # Panics
    /// Never: the parameters are good.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        // Without names of their own, OpenSSL takes a certificate and its authority for the same.
        parameters.distinguished_name = named("authority");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, key).expect("an authority");

        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut parameters = CertificateParams::new(names).expect("parameters");
        parameters.distinguished_name = named("localhost");
        let certificate = parameters.signed_by(&key, &authority).expect("a certificate");

        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(chain, der)
            .expect("a server");
        let (chain_pem, key_pem) = (certificate.pem(), key.serialize_pem());
        Self { pem: authority.pem(), server: Arc::new(server), chain_pem, key_pem }
    }

    /// The certificate of the authority.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate of the server, and its key.
    pub fn certificate_and_key(&self) -> (&str, &str) {
        (&self.chain_pem, &self.key_pem)
    }

    /// What a server needs that shows this certificate.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
