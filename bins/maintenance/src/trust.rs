//! Whether a set is taken without our seal.

use shared::entry::Failure;
use tracing::warn;

use crate::sentence;
use crate::session::Session;
use crate::set::Set;

/// What a person knows of where a set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Nothing: where there is a key, only its seal counts.
    #[default]
    Seal,
    /// That it is good: `--trust`.
    Person,
}

impl From<bool> for Trust {
    fn from(trusted: bool) -> Self {
        if trusted { Trust::Person } else { Trust::Seal }
    }
}

impl Trust {
    /// Whether the set may be used; without a key nobody asks for a seal.
    ///
    /// # Errors
    /// When there is a key, the set does not carry its seal, and no person says that it is good.
    pub fn judge(self, session: &Session, set: &Set) -> Result<(), Failure> {
        let Some(key) = &session.settings.backup_key else { return Ok(()) };
        match (key.demand(set), self) {
            (Ok(()), _) => Ok(()),
            (Err(error), Trust::Person) => {
                warn!(why = sentence(&error), "The set is used nevertheless, as asked");
                Ok(())
            }
            (Err(error), Trust::Seal) => Err(error.into()),
        }
    }
}
