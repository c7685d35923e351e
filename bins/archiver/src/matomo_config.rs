//! Matomo's own configuration, as far as it says where the database is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// At a host and a port.
    Network {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Behind a socket of this host.
    Socket(PathBuf),
}

/// Matomo is not configured yet.
#[derive(Debug, thiserror::Error)]
pub enum Unconfigured {
    /// There is no file, or it cannot be read.
    #[error("cannot read Matomo's configuration at {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// There is no `[database]` section with a host in it.
    #[error("{} has no [database] section with a host", path.display())]
    NoDatabase {
        /// The file.
        path: PathBuf,
    },
}

/// Reads where the database is from the configuration below Matomo's folder.
///
/// # Errors
/// When Matomo is not configured yet.
pub fn database(root: &Path) -> Result<Server, Unconfigured> {
    let path = root.join("config/config.ini.php");
    let text = fs::read(&path).map_err(|error| Unconfigured::Unreadable { path: path.clone(), error })?;
    server(&String::from_utf8_lossy(&text)).ok_or(Unconfigured::NoDatabase { path })
}

fn server(text: &str) -> Option<Server> {
    let mut within = false;
    let (mut host, mut port, mut socket) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            within = line.trim_end() == "[database]";
        } else if let Some((name, value)) = line.split_once('=').filter(|_| within && !line.starts_with(';')) {
            let value = unquoted(value);
            match name.trim() {
                "host" => host = Some(value),
                "port" => port = value.parse().ok(),
                "unix_socket" => socket = Some(value),
                _ => {}
            }
        }
    }
    if let Some(socket) = socket.filter(|socket| !socket.is_empty()) {
        return Some(Server::Socket(PathBuf::from(socket)));
    }
    let host = host.filter(|host| !host.is_empty())?;
    if host.starts_with('/') {
        return Some(Server::Socket(PathBuf::from(host)));
    }
    Some(Server::Network { host, port: port.unwrap_or(3306) })
}

/// Matomo writes values in double quotes; people leave them away, or add a comment.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.split(*quote).next());
    inner.unwrap_or_else(|| value.split(';').next().unwrap_or_default().trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_section_is_found_however_it_is_written() {
        let network = |host: &str, port| Some(Server::Network { host: host.to_owned(), port });
        for (text, expected) in [
            (
                "; <?php exit; ?> DO NOT REMOVE THIS LINE\n[database]\nhost = \"db\"\nusername = \"m;x\"\nport = 3307\n[General]\nhost = \"x\"",
                network("db", 3307),
            ),
            ("[database]\nhost=db ; the server\n", network("db", 3306)),
            ("[database]\r\nhost = 'db'\r\nport = \"\"\r\n", network("db", 3306)),
            (
                "[database]\nhost = \"x\"\nunix_socket = \"/run/mysqld.sock\"",
                Some(Server::Socket("/run/mysqld.sock".into())),
            ),
            ("[General]\nhost = \"db\"", None),
            ("[database]\n; host = \"db\"\nhost = \"\"", None),
            ("", None),
        ] {
            assert_eq!(server(text), expected, "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_told_from_an_unfinished_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(database(folder.path()), Err(Unconfigured::Unreadable { .. })));
        fs::create_dir(folder.path().join("config")).unwrap();
        fs::write(folder.path().join("config/config.ini.php"), "[General]\n").unwrap();
        assert!(matches!(database(folder.path()), Err(Unconfigured::NoDatabase { .. })));
    }
}
