//! The lasting token of a server that gives a new one with each access token. It outlives a restart, because the one
//! that was set may end before it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::files;
use shared::secret::Secret;
use tracing::warn;

/// Beside the folders of the queue, where Postfix does not look.
const NAME: &str = "oauth-token.json";
const MODE: u32 = 0o600;
const VERSION: u32 = 1;

/// The latest lasting token.
pub struct Kept {
    path: PathBuf,
    set: Secret,
    latest: Secret,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// The one that was set: a file about another one is of no use.
    set: String,
    latest: String,
}

impl Kept {
    /// What is kept in `folder` for the token that was set.
    pub fn in_folder(folder: &Path, set: &Secret) -> Self {
        let path = folder.join(NAME);
        let stored = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        let stored = stored.filter(|stored| stored.version == VERSION && stored.set == set.reveal());
        let latest = stored.map_or_else(|| set.clone(), |stored| Secret::new(stored.latest));
        Self { path, set: set.clone(), latest }
    }

    /// The one to use.
    pub fn latest(&self) -> Secret {
        self.latest.clone()
    }

    /// Another one takes its place. One that cannot be kept is used all the same.
    pub fn replace(&mut self, latest: Secret) {
        self.latest = latest;
        let (set, latest) = (self.set.reveal().to_owned(), self.latest.reveal().to_owned());
        let text = serde_json::to_vec(&Stored { version: VERSION, set, latest }).unwrap_or_default();
        if let Err(error) = files::replace_with_mode(&self.path, &text, MODE) {
            warn!(
                reason = error.to_string(),
                "the lasting token of the provider cannot be kept; it is lost at the next start"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_token_is_kept_for_the_one_that_was_set() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Secret::new("one"), Secret::new("other"));
        let mut kept = Kept::in_folder(folder.path(), &one);
        assert_eq!(kept.latest().reveal(), "one");
        kept.replace(Secret::new("two"));
        assert_eq!(Kept::in_folder(folder.path(), &one).latest().reveal(), "two");
        assert_eq!(Kept::in_folder(folder.path(), &other).latest().reveal(), "other");
        fs::write(folder.path().join(NAME), "{\"version\":2").unwrap();
        assert_eq!(Kept::in_folder(folder.path(), &one).latest().reveal(), "one");
    }
}
