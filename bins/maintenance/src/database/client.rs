//! Asks and feeds the server through the `mariadb` program.

use std::io;
use std::path::PathBuf;

use shared::entry::{Exit, Failure};
use shared::process::{Ended, Limits, Program, StartError};
use shared::secret::Secret;
use shared::shutdown::Shutdown;
use tokio::io::AsyncReadExt as _;

use super::connection::{Connection, OptionFile};

/// Answers are lists of tables and the like.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// The server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A program cannot be started.
    #[error("cannot {action}")]
    Start {
        /// What for.
        action: String,
        /// Why.
        source: StartError,
    },
    /// A program ended badly.
    #[error("cannot {action}: {sentence}{}", said(tail))]
    Ended {
        /// What for.
        action: String,
        /// How it ended.
        sentence: String,
        /// What it said last.
        tail: String,
    },
    /// The pipe to a program, or a file, failed.
    #[error("cannot {action}")]
    Io {
        /// What for.
        action: String,
        /// Why.
        source: io::Error,
    },
    /// Neither settings nor configuration say how to connect.
    #[error("neither the environment nor Matomo's configuration at {} says how to reach the database: {} missing", config.display(), missing.join(", "))]
    Unknown {
        /// The configuration.
        config: PathBuf,
        /// The settings that would help.
        missing: Vec<&'static str>,
    },
    /// A file that the encrypted way needs is not here.
    #[error(transparent)]
    Tls(#[from] super::tls::Unreadable),
    /// The way has to be encrypted, and the server does not speak TLS.
    #[error("the database at {host} speaks no TLS, and the way to it has to be encrypted")]
    NoTls {
        /// The server.
        host: String,
    },
    /// Somebody asked us to stop.
    #[error("stopped as asked, before the end of: {action}")]
    Stopped {
        /// What was under way.
        action: String,
    },
}

fn said(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!(": {}", tail.replace('\n', " / ")) }
}

impl DatabaseError {
    /// The error for a program that did not succeed.
    pub fn ended(action: &str, ended: &Ended) -> Self {
        let action = action.to_owned();
        if ended.why == shared::process::Why::Stopped {
            return DatabaseError::Stopped { action };
        }
        DatabaseError::Ended { action, sentence: ended.sentence(), tail: ended.tail.clone() }
    }

    fn says(&self, numbers: &[u16]) -> bool {
        let DatabaseError::Ended { tail, .. } = self else { return false };
        // Four ways to say it, by program and moment: `mariadb-dump` in the middle of a table says "Error 2013:".
        let words = |number: &u16| {
            [format!("ERROR {number}"), format!("Error {number}"), format!("error: {number}"), format!("({number})")]
        };
        numbers.iter().flat_map(words).any(|word| tail.contains(&word))
    }

    /// Whether the server refuses the user.
    pub fn is_refusal(&self) -> bool {
        self.is_wrong_password() || self.says(&[1044, 1142, 1227, 1370])
    }

    /// Whether the encryption failed, as with a certificate that is not trusted.
    pub fn is_encryption(&self) -> bool {
        self.says(&[2026])
    }

    /// Whether server or client do not hand out files, which a dump of tables never asks for.
    pub fn is_refused_file(&self) -> bool {
        self.says(&[1148, 2068, 3948, 4166])
    }

    /// Whether the server does not believe who the user is.
    pub fn is_wrong_password(&self) -> bool {
        self.says(&[1045, 1698])
    }

    /// Whether no server answers, or it stopped to: one that shuts down kills the connections under way. A statement that is
    /// killed alone (1317) was killed by a server that is there.
    pub fn is_absence(&self) -> bool {
        self.says(&[2002, 2003, 2005, 2013, 2006, 1053, 1927])
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        let (exit, help) = match &error {
            DatabaseError::Start { source, .. } => (source.exit(), "install the package mariadb-client in the image"),
            DatabaseError::Unknown { .. } => (Exit::Config, "set them, or mount Matomo's configuration"),
            DatabaseError::Stopped { .. } => (Exit::TryAgain, "start it again"),
            DatabaseError::Io { .. } => (Exit::CannotCreate, "look at the volume: is there room, and may we write?"),
            DatabaseError::Tls(_) => (
                Exit::Config,
                "mount the file at the same place as in Matomo's container, or give your authority's certificate in CA_FILE",
            ),
            DatabaseError::NoTls { .. } => (
                Exit::Config,
                "give the server a certificate (ssl_cert, ssl_key), or allow a way in the clear: MARIADB_TLS=off",
            ),
            other if other.is_encryption() => (
                Exit::Config,
                "is the server's certificate of this name, and of the authority in ssl_ca or CA_FILE? MARIADB_TLS=require does not look at it",
            ),
            other if other.is_refusal() => (
                Exit::Config,
                "check this user's password, MATOMO_DATABASE_PASSWORD or MARIADB_ROOT_PASSWORD (or _FILE), and what the user may do",
            ),
            other if other.is_absence() => {
                (Exit::Unavailable, "is the server up, and are MARIADB_HOST and MARIADB_PORT_NUMBER right?")
            }
            DatabaseError::Ended { .. } => {
                (Exit::Failed, "the words above are the program's own; nothing was replaced")
            }
        };
        Failure::new(exit, error).help(help)
    }
}

/// What we may have got in our environment, and no program needs.
pub const SECRETS: [&str; 4] = ["MATOMO_DATABASE_PASSWORD", "MARIADB_ROOT_PASSWORD", "MATOMO_TOKEN", "BACKUP_KEY"];

/// A program that learns our secrets from nobody: those that we got in our environment are not in its own.
pub fn program(name: &str) -> Program {
    SECRETS.iter().fold(Program::new(name), |program, secret| program.env_remove(secret)).quiet()
}

/// As whom we connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Matomo's own user.
    Matomo,
    /// The one who may create databases, where its password is known; else Matomo's user.
    Root,
}

/// The server, as one user.
#[derive(Debug)]
pub struct Database<'s> {
    /// How to reach it.
    pub connection: Connection,
    options: OptionFile,
    limits: Limits,
    shutdown: &'s Shutdown,
}

impl<'s> Database<'s> {
    /// The server; nothing is sent yet.
    ///
    /// # Errors
    /// When the system gives no memory file for the password.
    pub fn new(
        connection: Connection,
        root: Option<(&str, &Secret)>,
        limits: Limits,
        shutdown: &'s Shutdown,
    ) -> Result<Self, DatabaseError> {
        let (user, password) = root.unwrap_or((&connection.user, &connection.password));
        let options = OptionFile::new(&connection, user, password);
        let options =
            options.map_err(|source| DatabaseError::Io { action: "hand over the password".to_owned(), source })?;
        Ok(Self { connection, options, limits, shutdown })
    }

    /// The same server, as another user.
    ///
    /// # Errors
    /// As for [`Database::new`].
    pub fn as_user(&self, user: &str, password: &Secret) -> Result<Database<'s>, DatabaseError> {
        Database::new(self.connection.clone(), Some((user, password)), self.limits, self.shutdown)
    }

    /// How the server says that this connection is encrypted: version and cipher; nothing where it is in the clear.
    ///
    /// # Errors
    /// When it has to be encrypted and is not, or the server does not answer.
    pub async fn encryption(&self) -> Result<Option<String>, DatabaseError> {
        let statement = "SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher')";
        let rows = self.ask("ask whether the connection is encrypted", statement).await?;
        let mut words: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().nth(1)).collect();
        words.retain(|word| !word.is_empty());
        words.sort_by_key(|word| !word.starts_with("TLSv"));
        if words.is_empty() && self.connection.tls.is_required() {
            return Err(DatabaseError::NoTls { host: self.connection.host.clone() });
        }
        Ok((!words.is_empty()).then(|| words.join(" ")))
    }

    /// How long programs may take.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Who may ask us to stop.
    pub fn shutdown(&self) -> &Shutdown {
        self.shutdown
    }

    /// The program that reads statements.
    pub fn client(&self) -> Program {
        // A dump may ask the client for files of ours; it gets none.
        let quiet = [
            "--batch",
            "--skip-column-names",
            "--connect-timeout=10",
            "--default-character-set=utf8mb4",
            "--local-infile=0",
        ];
        program("mariadb").arg(self.options.argument()).args(quiet).quiet()
    }

    /// The program that writes a dump of Matomo's database.
    pub fn dump(&self) -> Program {
        const ARGUMENTS: [&str; 8] = [
            "--single-transaction",
            "--quick",
            "--hex-blob",
            "--routines",
            "--events",
            "--triggers",
            "--no-tablespaces",
            "--default-character-set=utf8mb4",
        ];
        let program = program("mariadb-dump").arg(self.options.argument()).args(ARGUMENTS);
        program.arg(&self.connection.name).stdout_as_stream().quiet()
    }

    /// Runs statements and gives the rows of their answers, column by column.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not like them.
    pub async fn ask(&self, action: &str, statements: &str) -> Result<Vec<Vec<String>>, DatabaseError> {
        self.run(action, self.client(), statements).await
    }

    /// As [`Database::ask`], but after a wish to stop too: for clearing up.
    ///
    /// # Errors
    /// As for [`Database::ask`].
    pub async fn tidy_up(&self, action: &str, statements: &str) -> Result<Vec<Vec<String>>, DatabaseError> {
        self.exchange(action, self.client(), statements, &Shutdown::never()).await
    }

    async fn run(&self, action: &str, program: Program, statements: &str) -> Result<Vec<Vec<String>>, DatabaseError> {
        self.exchange(action, program, statements, self.shutdown).await
    }

    async fn exchange(
        &self,
        action: &str,
        program: Program,
        statements: &str,
        shutdown: &Shutdown,
    ) -> Result<Vec<Vec<String>>, DatabaseError> {
        let started = program.input(statements).stdout_as_stream().start();
        let mut running = started.map_err(|source| DatabaseError::Start { action: action.to_owned(), source })?;
        let stdout = running.take_stdout();
        let read = async {
            let mut text = Vec::new();
            match stdout {
                Some(stdout) => stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut text).await.map(|_| text),
                None => Ok(text),
            }
        };
        let (text, ended) = tokio::join!(read, running.supervise(&self.limits, shutdown));
        if !ended.succeeded() {
            return Err(DatabaseError::ended(action, &ended));
        }
        let text = text.map_err(|source| DatabaseError::Io { action: action.to_owned(), source })?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }
}
