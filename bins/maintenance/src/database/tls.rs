//! Whether the way to the database is encrypted: as Matomo's own configuration has it, unless MARIADB_TLS says otherwise.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use shared::config::Value;

use crate::config::Settings;
use crate::ini::is_true;

/// Where a system keeps the authorities that it trusts.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What MARIADB_TLS may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Encrypted, whoever answers.
    Require,
    /// Encrypted, and the server shows a certificate that we trust and that is of its name.
    Verify,
    /// In the clear.
    Off,
}

impl Value for TlsMode {
    fn rule() -> String {
        "require, verify or off".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "require" => Ok(TlsMode::Require),
            "verify" => Ok(TlsMode::Verify),
            "off" => Ok(TlsMode::Off),
            _ => Err(String::new()),
        }
    }
}

/// Who decided how the way is protected; said by `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Our own setting.
    Setting,
    /// Matomo's configuration.
    Matomo,
    /// Nobody: encrypted where both ends can, in the clear where one cannot.
    Nobody,
}

/// How the way to the database is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Who says so.
    pub asked: Asked,
    /// What is asked for; nothing leaves it to the two ends.
    pub mode: Option<TlsMode>,
    /// File with the authorities that are trusted, where the certificate is verified.
    pub ca: Option<PathBuf>,
    /// Folder with them.
    pub ca_folder: Option<PathBuf>,
    /// Our own certificate and its key, for servers that want one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Ciphers that may be used.
    pub cipher: Option<String>,
}

/// A file that the encryption needs cannot be read here.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {} (Matomo's {key}), which the encrypted way to the database needs", path.display())]
pub struct Unreadable {
    key: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Tls {
    /// In the clear, or encrypted where both ends can.
    const fn open(asked: Asked, mode: Option<TlsMode>) -> Self {
        Self { asked, mode, ca: None, ca_folder: None, identity: None, cipher: None }
    }

    /// What is asked for; `matomo` gives the values of the section `[database]`.
    ///
    /// # Errors
    /// When a file that is needed cannot be read here.
    pub fn of(settings: &Settings, matomo: impl Fn(&str) -> Option<String>) -> Result<Self, Unreadable> {
        let truth = |key: &str| matomo(key).is_some_and(|value| is_true(&value));
        let path = |key: &str| matomo(key).filter(|text| !text.is_empty()).map(PathBuf::from);
        let theirs = if truth("ssl_no_verify") { TlsMode::Require } else { TlsMode::Verify };
        let (asked, mode) = match settings.tls {
            Some(mode) => (Asked::Setting, mode),
            None if truth("enable_ssl") => (Asked::Matomo, theirs),
            None => return Ok(Self::open(Asked::Nobody, None)),
        };
        if mode == TlsMode::Off {
            return Ok(Self::open(asked, Some(mode)));
        }
        let identity = path("ssl_cert").zip(path("ssl_key"));
        if let Some((certificate, key)) = &identity {
            readable("ssl_cert", certificate)?;
            readable("ssl_key", key)?;
        }
        let ca_folder = path("ssl_ca_path");
        let cipher = matomo("ssl_cipher").filter(|text| !text.is_empty());
        let mut tls = Self { identity, cipher, ..Self::open(asked, Some(mode)) };
        if mode == TlsMode::Verify {
            tls.ca = authorities(path("ssl_ca"), settings.ca_file.clone(), ca_folder.is_some())?;
            tls.ca_folder = ca_folder;
        }
        Ok(tls)
    }

    /// Whether a way in the clear is no way.
    pub fn is_required(&self) -> bool {
        matches!(self.mode, Some(TlsMode::Require | TlsMode::Verify))
    }

    /// For the programs' option file.
    pub fn options(&self) -> Vec<(&'static str, Option<String>)> {
        let shown = |path: &Path| Some(path.display().to_string());
        let mut options = match self.mode {
            None => return vec![("skip-ssl-verify-server-cert", None)],
            Some(TlsMode::Off) => return vec![("skip-ssl", None)],
            Some(TlsMode::Require) => vec![("ssl", None), ("skip-ssl-verify-server-cert", None)],
            Some(TlsMode::Verify) => vec![("ssl", None), ("ssl-verify-server-cert", None)],
        };
        options.extend(self.ca.iter().map(|path| ("ssl-ca", shown(path))));
        options.extend(self.ca_folder.iter().map(|path| ("ssl-capath", shown(path))));
        if let Some((certificate, key)) = &self.identity {
            options.extend([("ssl-cert", shown(certificate)), ("ssl-key", shown(key))]);
        }
        options.extend(self.cipher.iter().map(|cipher| ("ssl-cipher", Some(cipher.clone()))));
        options
    }
}

/// Who is trusted: whom Matomo trusts, where that file is here too, else CA_FILE, else whom the system trusts.
fn authorities(theirs: Option<PathBuf>, ours: Option<PathBuf>, is_folder: bool) -> Result<Option<PathBuf>, Unreadable> {
    match (theirs, ours) {
        (Some(theirs), None) => readable("ssl_ca", &theirs).map(|()| Some(theirs)),
        (Some(theirs), Some(ours)) => Ok(Some(if readable("ssl_ca", &theirs).is_ok() { theirs } else { ours })),
        (None, Some(ours)) => Ok(Some(ours)),
        (None, None) => Ok(Some(PathBuf::from(SYSTEM)).filter(|path| !is_folder && path.exists())),
    }
}

fn readable(key: &'static str, path: &Path) -> Result<(), Unreadable> {
    File::open(path).map(drop).map_err(|source| Unreadable { key, path: path.to_owned(), source })
}

impl Tls {
    /// Who asks for it, or that nobody does.
    pub fn by(&self) -> &'static str {
        match (self.asked, self.mode) {
            (Asked::Nobody, _) => "neither MARIADB_TLS nor Matomo's enable_ssl asks for it",
            (Asked::Setting, Some(TlsMode::Off)) => "MARIADB_TLS=off",
            (Asked::Setting, Some(TlsMode::Require)) => "MARIADB_TLS=require",
            (Asked::Setting, _) => "MARIADB_TLS=verify",
            (Asked::Matomo, Some(TlsMode::Require)) => "Matomo's enable_ssl and ssl_no_verify",
            (Asked::Matomo, _) => "Matomo's enable_ssl",
        }
    }
}

/// What becomes of the server's certificate where the way is encrypted, and who asks for it.
impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authorities = self.ca.as_ref().or(self.ca_folder.as_ref());
        match (self.mode, authorities) {
            (Some(TlsMode::Verify), Some(path)) => write!(f, "the certificate is verified by {}", path.display()),
            (Some(TlsMode::Verify), None) => f.write_str("the certificate is verified"),
            _ => f.write_str("the certificate is not verified"),
        }?;
        write!(f, " ({})", self.by())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(pairs: &[(&str, &str)], matomo: &[(&str, &str)]) -> Result<Tls, Unreadable> {
        let pairs = pairs.iter().copied();
        let settings: Settings = shared::config::read(pairs, &shared::config::Neighbours::default()).unwrap().settings;
        let value = |key: &str| matomo.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
        Tls::of(&settings, value)
    }

    #[test]
    fn the_setting_counts_before_matomos_own() {
        let on = ("enable_ssl", "1");
        let mode = |pairs: &[(&str, &str)], matomo: &[(&str, &str)]| tls(pairs, matomo).unwrap().mode;
        assert_eq!(mode(&[], &[]), None);
        assert_eq!(mode(&[], &[("enable_ssl", "off"), ("ssl_ca", "/nowhere")]), None);
        assert_eq!(mode(&[], &[on]), Some(TlsMode::Verify));
        assert_eq!(mode(&[], &[on, ("ssl_no_verify", "1")]), Some(TlsMode::Require));
        assert_eq!(mode(&[("MARIADB_TLS", "off")], &[on]), Some(TlsMode::Off));
        assert_eq!(mode(&[("MARIADB_TLS", "verify")], &[("ssl_no_verify", "1")]), Some(TlsMode::Verify));
    }

    #[test]
    fn a_file_that_is_not_here_is_named_with_its_key() {
        let matomo = [("enable_ssl", "1"), ("ssl_ca", "/nowhere/ca.pem")];
        let error = tls(&[], &matomo).unwrap_err();
        assert!(error.to_string().contains("/nowhere/ca.pem") && error.to_string().contains("ssl_ca"), "{error}");
        let found = tls(&[("CA_FILE", "/ours/ca.pem")], &matomo).unwrap();
        assert_eq!(found.ca.as_deref(), Some(Path::new("/ours/ca.pem")));
        assert!(found.options().contains(&("ssl-ca", Some("/ours/ca.pem".to_owned()))));
        // Nobody needs it who does not verify.
        assert!(tls(&[("MARIADB_TLS", "require")], &matomo).is_ok());
        assert!(tls(&[], &[("enable_ssl", "1"), ("ssl_cert", "/nowhere/c"), ("ssl_key", "/nowhere/k")]).is_err());
    }
}
