//! Where the database is and who we are there, and the way in which the programs learn the password.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use shared::secret::Secret;

use super::client::DatabaseError;
use super::tls::Tls;
use crate::config::Settings;
use crate::ini::Document;

/// Host, port, name and user.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Host name, address, or the path of a socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path of a socket, where the configuration has one.
    pub socket: Option<String>,
    /// Name of the database.
    pub name: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// What Matomo's tables begin with.
    pub prefix: String,
    /// Whether the way is encrypted.
    pub tls: Tls,
}

impl Connection {
    /// What the settings say, and Matomo's configuration where they are silent. Where that is silent about TLS, `defaults`
    /// say it: Matomo's further files, the first that names a key.
    ///
    /// # Errors
    /// With the names of what neither says, or the file that TLS would need.
    pub fn of(
        settings: &Settings,
        path: &Path,
        config: Option<&Document>,
        defaults: &[Document],
    ) -> Result<Self, DatabaseError> {
        let written = |key: &str| config.and_then(|config| config.get("database", key)).filter(|text| !text.is_empty());
        let mut missing = Vec::new();
        let mut needed = |value: Option<String>, name: &'static str| {
            value.unwrap_or_else(|| {
                missing.push(name);
                String::new()
            })
        };
        let host = needed(settings.database_host.clone().or_else(|| written("host")), "MARIADB_HOST");
        let name = needed(settings.database_name.clone().or_else(|| written("dbname")), "MATOMO_DATABASE_NAME");
        let user = needed(settings.database_user.clone().or_else(|| written("username")), "MATOMO_DATABASE_USER");
        // An empty password is one; a password that cannot be read is none.
        let password = match (&settings.database_password, config.and_then(|config| config.raw("database", "password")))
        {
            (Some(password), _) => Some(password.reveal().to_owned()),
            (None, Some(raw)) => crate::ini::decode(raw),
            (None, None) => None,
        };
        let password = Secret::new(needed(password, "MATOMO_DATABASE_PASSWORD"));
        if !missing.is_empty() {
            return Err(DatabaseError::Unknown { config: path.to_owned(), missing });
        }
        let port = settings.database_port.or_else(|| written("port")?.parse().ok()).unwrap_or(3306);
        // The settings' host is reached over the network, whatever the configuration prefers.
        let socket = if settings.database_host.is_none() { written("unix_socket") } else { None };
        let prefix = written("tables_prefix").unwrap_or_default();
        let layered = |key: &str| config.into_iter().chain(defaults).find_map(|file| file.get("database", key));
        // A socket of this host needs no protection.
        let is_local = socket.is_some();
        let tls = Tls::of(settings, |key| layered(key).filter(|_| !is_local))?;
        Ok(Self { host, port, socket, name, user, password, prefix, tls })
    }
}

/// What a program is told on the side, in memory: nothing is on disk, in the arguments, or in an environment, and nothing
/// is left when we are killed. The programs open it by our process's number, which only our own user can.
#[derive(Debug)]
pub struct OptionFile {
    file: File,
}

impl OptionFile {
    /// Options for a connection as one user.
    ///
    /// # Errors
    /// When the system gives no memory file.
    pub fn new(connection: &Connection, user: &str, password: &Secret) -> io::Result<Self> {
        let memory = rustix::fs::memfd_create("options", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        // The programs ignore a file that others may write.
        file.set_permissions(Permissions::from_mode(0o600))?;
        let mut text = format!("[client]\nuser={}\npassword={}\n", option(user), option(password.reveal()));
        match &connection.socket {
            Some(socket) => text += &format!("socket={}\nprotocol=socket\n", option(socket)),
            None => {
                let (host, port) = (option(&connection.host), connection.port);
                text += &format!("host={host}\nport={port}\nprotocol=tcp\n");
            }
        }
        for (name, value) in connection.tls.options() {
            text += &value.map_or(format!("{name}\n"), |value| format!("{name}={}\n", option(&value)));
        }
        file.write_all(text.as_bytes())?;
        Ok(Self { file })
    }

    /// The argument that names it. It must be the first one.
    pub fn argument(&self) -> String {
        format!("--defaults-file=/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}

/// A value as the programs' option files write it: in quotes, so that `#` and blanks belong to it.
fn option(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        shared::config::read(pairs.iter().copied(), &shared::config::Neighbours::default()).unwrap().settings
    }

    fn config(database: &str) -> Document {
        Document::parse(format!("; <?php exit; ?>\n[database]\n{database}").into_bytes()).unwrap()
    }

    #[test]
    fn the_settings_win_and_the_configuration_fills_the_gaps() {
        let config = config(
            "host = \"db\"\nport = 3307\nusername = \"m\"\npassword = \"p&quot;w\"\ndbname = \"d\"\ntables_prefix = \"m_\"\n",
        );
        let path = Path::new("/config.ini.php");
        let of = |pairs: &[(&str, &str)], config| Connection::of(&settings(pairs), path, config, &[]);
        let found = of(&[("MATOMO_DATABASE_NAME", "other")], Some(&config)).unwrap();
        assert_eq!((found.host.as_str(), found.port, found.name.as_str()), ("db", 3307, "other"));
        assert_eq!((found.password.reveal(), found.prefix.as_str()), ("p\"w", "m_"));
        let Err(DatabaseError::Unknown { missing, .. }) = of(&[("MARIADB_HOST", "db")], None) else {
            panic!("it has no name")
        };
        assert_eq!(missing, ["MATOMO_DATABASE_NAME", "MATOMO_DATABASE_USER", "MATOMO_DATABASE_PASSWORD"]);
    }

    #[test]
    fn an_option_keeps_every_letter() {
        assert_eq!(option("p\"w\\#; $x"), "\"p\\\"w\\\\#; $x\"");
    }
}
