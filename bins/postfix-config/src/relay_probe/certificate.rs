//! Whether the relay's certificate is trusted. Postfix at the level `encrypt` goes on in any case, so the objection is
//! kept instead of ending the talk.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Whom to trust, and what there was to object.
#[derive(Debug)]
pub struct Trust {
    witness: Arc<Witness>,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Trust {
    /// Trusts the authorities in these files; a missing file has none.
    pub fn load(files: &[PathBuf], host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("no certificate can name {host}"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = roots(files);
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok();
        let witness = Arc::new(Witness { judge, provider: Arc::clone(&provider), objection: Mutex::default() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok(Self { witness, config: Arc::new(config), name })
    }

    /// A connection that has not begun yet.
    pub fn connection(&self) -> io::Result<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(io::Error::other)
    }

    /// Why the certificate is not trusted; nothing when it is. After the handshake.
    pub fn objection(&self) -> Option<String> {
        self.witness.objection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn roots(files: &[PathBuf]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for file in files {
        let pem = fs::read(file).unwrap_or_default();
        // One odd certificate must not spoil the others.
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    }
    roots
}

/// Looks at a certificate, remembers what is wrong with it, and lets it pass.
#[derive(Debug)]
struct Witness {
    judge: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    objection: Mutex<Option<String>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let objection = match &self.judge {
            None => Some("this container trusts no authority at all".to_owned()),
            Some(judge) => {
                let judged = judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
                judged.err().map(|error| error.to_string())
            }
        };
        *self.objection.lock().unwrap_or_else(PoisonError::into_inner) = objection;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
