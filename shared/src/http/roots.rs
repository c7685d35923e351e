//! Whom to trust: the certificates of the system, else a built-in list, and a file of the operator's.

use std::{fs, path::Path};

use reqwest::Certificate;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::error::SetupError;

/// Never fails for want of certificates on the system: plain http needs none, and an image may have none.
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` say where the system's are.
pub(super) fn trusted(ca_file: Option<&Path>) -> Result<Vec<Certificate>, SetupError> {
    let mut roots = usable(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots = usable(webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec());
    }
    if let Some(path) = ca_file {
        roots.extend(from_file(path)?);
    }
    Ok(roots)
}

/// One odd certificate in the system's store must not spoil the others.
fn usable(certificates: Vec<CertificateDer<'_>>) -> Vec<Certificate> {
    certificates
        .into_iter()
        .filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
        .filter_map(|certificate| Certificate::from_der(&certificate).ok())
        .collect()
}

fn from_file(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let unreadable = |source| SetupError::CaFile { path: path.to_owned(), source };
    let pem = fs::read(path).map_err(unreadable)?;
    let certificates = usable(CertificateDer::pem_slice_iter(&pem).flatten().collect());
    if certificates.is_empty() {
        return Err(SetupError::NoCertificates { path: path.to_owned() });
    }
    Ok(certificates)
}
