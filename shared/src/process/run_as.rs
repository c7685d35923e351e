//! Whom a program runs as when we are root and what it writes has to belong to somebody else.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::search::User;
use crate::config::Value;

/// Users of web servers, when no file tells.
const WEB_USERS: [&str; 5] = ["www-data", "daemon", "apache", "nginx", "http"];

/// Whom a program runs as, when we are root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// The owner of the files that it works on.
    Owner,
    /// Nobody else.
    Ourselves,
    /// A user of `/etc/passwd`.
    Name(String),
    /// A user and a group by number.
    Number(User),
}

/// No such user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no user {name} in /etc/passwd")]
pub struct NoUser {
    /// The name.
    pub name: String,
}

impl NoUser {
    /// What to do now.
    pub fn help(&self) -> &'static str {
        "set RUN_AS_USER to a name of /etc/passwd, to numbers such as 33:33, or to self"
    }
}

impl Value for RunAs {
    fn rule() -> String {
        "owner, self, a name of /etc/passwd, or numbers such as 33:33".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        match (text, uid.parse(), gid.parse()) {
            ("owner", ..) => Ok(RunAs::Owner),
            ("self", ..) => Ok(RunAs::Ourselves),
            (_, Ok(uid), Ok(gid)) => Ok(RunAs::Number(User { uid, gid })),
            _ if text.contains([':', ' ', '/']) => Err(String::new()),
            _ => Ok(RunAs::Name(text.to_owned())),
        }
    }
}

impl RunAs {
    /// The user whom root has to become, or none to stay who we are. The owner is that of the first of these paths that
    /// is not root's, else a user whom web servers are known to run as.
    ///
    /// # Errors
    /// When a name is in no `/etc/passwd`.
    pub fn user(&self, written: &[PathBuf]) -> Result<Option<User>, NoUser> {
        match self {
            RunAs::Ourselves => Ok(None),
            RunAs::Number(user) => Ok(Some(*user)),
            RunAs::Name(name) => User::from_name(name).map(Some).ok_or_else(|| NoUser { name: name.clone() }),
            RunAs::Owner => Ok(owner(written)),
        }
    }
}

fn owner(written: &[PathBuf]) -> Option<User> {
    let owner_of = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        (found.uid() != 0).then(|| User { uid: found.uid(), gid: found.gid() })
    };
    let found = written.iter().find_map(|path| owner_of(path));
    found.or_else(|| WEB_USERS.iter().find_map(|name| User::from_name(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_word_a_name_or_numbers() {
        assert_eq!(RunAs::parse("owner"), Ok(RunAs::Owner));
        assert_eq!(RunAs::parse("33:44"), Ok(RunAs::Number(User { uid: 33, gid: 44 })));
        assert_eq!(RunAs::parse("www-data"), Ok(RunAs::Name("www-data".to_owned())));
        assert!(RunAs::parse("33:x").is_err());
        assert_eq!(RunAs::Ourselves.user(&[]), Ok(None));
        assert!(RunAs::Name("nobody here".to_owned()).user(&[]).is_err());
    }
}
