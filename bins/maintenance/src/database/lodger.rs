//! A user of one database alone, made for the time of a load: whatever a dump holds, nothing else can be reached.

use std::fs::File;
use std::io::Read as _;

use sha2::{Digest as _, Sha256};
use shared::secret::Secret;
use tracing::debug;

use super::client::{Database, DatabaseError};
use super::schema::{literal, quoted};

impl<'s> Database<'s> {
    /// The server as a user who may work in this database and nowhere else; nothing where it lets us make none.
    ///
    /// # Errors
    /// When the server is gone, or somebody asks us to stop.
    pub async fn lodger(&self, database: &str) -> Result<Option<Database<'s>>, DatabaseError> {
        let Some(password) = random_password() else { return Ok(None) };
        let (user, pattern) = (account(database), quoted(&pattern(database)));
        let statements = format!(
            "DROP USER IF EXISTS {user};\nCREATE USER {user} IDENTIFIED BY {};\nGRANT ALL PRIVILEGES ON {pattern}.* TO {user};\n",
            literal(password.reveal())
        );
        let made = self.ask(&format!("make a user for {database} alone"), &statements).await;
        let lodger = match made {
            Ok(_) => {
                let lodger = self.as_user(&name(database), &password)?;
                lodger.ask("connect as the user of the load", "SELECT 1").await.map(|_| lodger)
            }
            Err(error) => Err(error),
        };
        match lodger {
            Ok(lodger) => Ok(Some(lodger)),
            Err(error) if error.is_absence() || matches!(error, DatabaseError::Stopped { .. }) => Err(error),
            Err(error) => {
                debug!(
                    why = crate::sentence(&error),
                    "The server lets us make no user for a load; the dump is read first"
                );
                self.dismiss(database).await;
                Ok(None)
            }
        }
    }

    /// Removes the user of a load, after a wish to stop too. One that stays knows a password that nobody knows, and has
    /// rights on a database that is gone.
    pub async fn dismiss(&self, database: &str) {
        let statement = format!("DROP USER IF EXISTS {};\n", account(database));
        if let Err(error) = self.tidy_up("remove the user of a load", &statement).await {
            debug!(why = crate::sentence(&error), "The user of a load cannot be removed");
        }
    }
}

/// One name for each database, so that a user whom a crash left is found again; MySQL allows 32 letters.
fn name(database: &str) -> String {
    let hash: String = Sha256::digest(database).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("maintenance_{hash}")
}

fn account(database: &str) -> String {
    format!("{}@'%'", literal(&name(database)))
}

/// In a grant, `_` and `%` would stand for other letters.
fn pattern(database: &str) -> String {
    database.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%")
}

/// With letters of every kind, as servers with a rule for passwords want it.
fn random_password() -> Option<Secret> {
    let mut bytes = [0; 20];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Secret::new(format!("Aa1+{hex}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_for_one_database_and_a_name_is_always_the_same() {
        assert_eq!(pattern("matomo_db"), "matomo\\_db");
        assert_eq!(name("a"), name("a"));
        assert!(name("a") != name("b") && name("a").len() <= 32);
        assert_ne!(random_password().unwrap().reveal(), random_password().unwrap().reveal());
    }
}
