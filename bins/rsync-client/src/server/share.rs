//! Which folder each key gets, and whether serving it is safe: nothing of ours and nothing of the system may lie in it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shared::entry::{Exit, Failure};

use super::module::Module;
use crate::ssh::{AuthorizedKey, folder_name};

/// Folders of the system: whoever writes there runs programs sooner or later.
const SYSTEM: [&str; 12] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"];

/// A key with its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Whose it is.
    pub key: AuthorizedKey,
    /// What it may reach.
    pub module: Module,
}

/// The keys cannot be served with these folders.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// A folder cannot be made or looked at.
    #[error("cannot use the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder of all keys holds what no key may reach.
    #[error("SSH_SERVER_DIR is {}, where {} can be reached", root.display(), what.display())]
    Unsafe {
        /// SSH_SERVER_DIR.
        root: PathBuf,
        /// What no key may reach.
        what: PathBuf,
    },
    /// The path cannot stand in rsync's configuration.
    #[error("SSH_SERVER_DIR is {}: a percent sign, a control character, or a blank or backslash at its end cannot be used", root.display())]
    Unwritable {
        /// SSH_SERVER_DIR.
        root: PathBuf,
    },
    /// A link leads out of the folder of all keys.
    #[error("the folder of the key {key}, {}, is a link out of SSH_SERVER_DIR", path.display())]
    Outside {
        /// The key.
        key: String,
        /// The folder.
        path: PathBuf,
    },
    /// A key does not say which folder is its own.
    #[error("the key {key} has no folder: its comment is no name for one")]
    Nameless {
        /// The key.
        key: String,
    },
    /// Two keys have the same comment.
    #[error("two keys are called {key}, so their folder would be the same")]
    SameName {
        /// Their comment.
        key: String,
    },
    /// A folder that one key may write holds that of another, which it could replace.
    #[error("the key {writer} may write to the folder that holds the folder of the key {other}")]
    Nested {
        /// The one.
        writer: String,
        /// The other.
        other: String,
    },
}

impl ShareError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            ShareError::Folder { .. } => {
                "mount the volume that clients may reach at SSH_SERVER_DIR, with a folder for each key in it if it is read-only"
            }
            ShareError::Unsafe { .. } => {
                "set SSH_SERVER_DIR to a folder of its own, such as /data: no system folder, and neither SSH_DIR, SSH_HOST_KEYS_DIR nor this program in it or around it"
            }
            ShareError::Unwritable { .. } => "mount the volume at a plain path, such as /data",
            ShareError::Outside { .. } => "mount what the key may reach below SSH_SERVER_DIR in place of the link",
            ShareError::Nameless { .. } => {
                "write folder=\"NAME\" in front of the key: its folder below SSH_SERVER_DIR (a single dot means all of it)"
            }
            ShareError::SameName { .. } => {
                "write folder=\"NAME\" in front of each; the same NAME, if they are meant to share it"
            }
            ShareError::Nested { .. } => "give both keys the same folder, or folders beside each other",
        }
    }
}

impl From<ShareError> for Failure {
    fn from(error: ShareError) -> Self {
        let help = error.help();
        let exit = if matches!(error, ShareError::Folder { .. }) { Exit::CannotCreate } else { Exit::Config };
        Failure::new(exit, error).help(help)
    }
}

/// Gives each key its folder below `root`, made if it is missing. `ours` is what nobody may reach.
///
/// # Errors
/// When that would not be safe, or a key does not say which folder it means.
pub fn shares(root: &Path, keys: &[AuthorizedKey], ours: &[PathBuf]) -> Result<Vec<Share>, ShareError> {
    let root = real(root)?;
    check_root(&root, ours)?;
    let keys = without_repetitions(keys);
    check_names(&keys)?;
    let shares: Vec<Share> = keys.into_iter().map(|key| share(&root, key)).collect::<Result<_, _>>()?;
    check_nesting(&shares)?;
    Ok(shares)
}

fn real(folder: &Path) -> Result<PathBuf, ShareError> {
    let failed = |source| ShareError::Folder { path: folder.to_owned(), source };
    fs::create_dir_all(folder).and_then(|()| fs::canonicalize(folder)).map_err(failed)
}

fn check_root(root: &Path, ours: &[PathBuf]) -> Result<(), ShareError> {
    let system = SYSTEM.iter().map(PathBuf::from);
    let real_system = SYSTEM.iter().filter_map(|folder| fs::canonicalize(folder).ok());
    let ours = ours.iter().map(|path| fs::canonicalize(path).unwrap_or_else(|_| path.clone()));
    let overlaps = |path: &PathBuf| root.starts_with(path) || path.starts_with(root);
    if let Some(what) = system.chain(real_system).chain(ours).find(overlaps) {
        return Err(ShareError::Unsafe { root: root.to_owned(), what });
    }
    let text = root.to_str().filter(|text| !text.contains('%') && !text.chars().any(char::is_control));
    match text.filter(|text| !text.ends_with([' ', '\\'])) {
        Some(_) => Ok(()),
        None => Err(ShareError::Unwritable { root: root.to_owned() }),
    }
}

/// The same key may stand in a variable and in a file; sshd too takes the first.
fn without_repetitions(keys: &[AuthorizedKey]) -> Vec<AuthorizedKey> {
    let mut kept: Vec<AuthorizedKey> = Vec::new();
    for key in keys {
        if kept.iter().all(|known| known.body() != key.body()) {
            kept.push(key.clone());
        }
    }
    kept
}

/// A comment names a folder once; that two keys share one must be said.
fn check_names(keys: &[AuthorizedKey]) -> Result<(), ShareError> {
    let mut seen = BTreeMap::new();
    for key in keys.iter().filter(|key| key.folder.is_none()) {
        if seen.insert(key.comment(), ()).is_some() {
            return Err(ShareError::SameName { key: key.name() });
        }
    }
    Ok(())
}

fn share(root: &Path, key: AuthorizedKey) -> Result<Share, ShareError> {
    let named = || folder_name(key.comment()).ok().filter(|name| name != ".");
    let name = key.folder.clone().or_else(named).ok_or_else(|| ShareError::Nameless { key: key.name() })?;
    let path = if name == "." { root.to_owned() } else { root.join(name) };
    let folder = real(&path)?;
    if !folder.starts_with(root) {
        return Err(ShareError::Outside { key: key.name(), path });
    }
    Ok(Share { module: Module { folder, may_write: key.may_write }, key })
}

fn check_nesting(shares: &[Share]) -> Result<(), ShareError> {
    let folder = |share: &Share| share.module.folder.clone();
    for writer in shares.iter().filter(|share| share.module.may_write) {
        let is_below = |other: &&Share| folder(other) != folder(writer) && folder(other).starts_with(folder(writer));
        if let Some(other) = shares.iter().find(is_below) {
            return Err(ShareError::Nested { writer: writer.key.name(), other: other.key.name() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::AuthorizedKeys;

    struct World {
        folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("ssh")).unwrap();
            Self { folder }
        }

        fn path(&self, name: &str) -> PathBuf {
            fs::canonicalize(self.folder.path()).unwrap().join(name)
        }

        fn shares(&self, root: &str, keys: &str) -> Result<Vec<Share>, ShareError> {
            shares(&self.path(root), &AuthorizedKeys::of(keys).unwrap().0, &[self.path("ssh")])
        }
    }

    #[test]
    fn a_key_gets_the_folder_of_its_comment_or_the_one_it_names() {
        let world = World::new();
        let keys = "ssh-rsa AAAA1 me@web1\nrw,folder=\"all/in\" ssh-rsa AAAA2 me@web1\nssh-rsa AAAA1 again";
        let shares = world.shares("data", keys).unwrap();
        let found: Vec<_> = shares.iter().map(|s| (s.module.folder.clone(), s.module.may_write)).collect();
        assert_eq!(found, [(world.path("data/me@web1"), false), (world.path("data/all/in"), true)]);
        assert!(world.path("data/all/in").is_dir());
        let all = world.shares("data", "folder=. ssh-rsa AAAA1").unwrap();
        assert_eq!(all[0].module.folder, world.path("data"));
    }

    #[test]
    fn nothing_of_ours_and_nothing_of_the_system_is_served() {
        let world = World::new();
        for root in ["ssh", "ssh/data", ""] {
            assert!(matches!(world.shares(root, "ssh-rsa AAAA1 x"), Err(ShareError::Unsafe { .. })), "{root}");
        }
        fs::create_dir(world.path("ssh/inner")).unwrap();
        std::os::unix::fs::symlink(world.path("ssh/inner"), world.path("innocent")).unwrap();
        assert!(matches!(world.shares("innocent", "ssh-rsa AAAA1 x"), Err(ShareError::Unsafe { .. })));
        for root in ["/", "/etc", "/usr", "/proc/1", "/lib", "/run/sshd"] {
            let refused = check_root(Path::new(root), &[]);
            assert!(matches!(refused, Err(ShareError::Unsafe { .. })), "{root}");
        }
        assert!(check_root(Path::new("/data"), &[]).is_ok());
        for root in ["/da%ta", "/data ", "/da\nta", "/data\\"] {
            assert!(matches!(check_root(Path::new(root), &[]), Err(ShareError::Unwritable { .. })), "{root}");
        }
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_no_folder() {
        let world = World::new();
        fs::create_dir_all(world.path("data/real")).unwrap();
        std::os::unix::fs::symlink(world.path("ssh"), world.path("data/evil")).unwrap();
        std::os::unix::fs::symlink("real", world.path("data/fine")).unwrap();
        assert!(matches!(world.shares("data", "ssh-rsa AAAA1 evil"), Err(ShareError::Outside { .. })));
        assert_eq!(world.shares("data", "ssh-rsa AAAA1 fine").unwrap()[0].module.folder, world.path("data/real"));
    }

    #[test]
    fn whose_folder_it_is_must_be_clear() {
        let world = World::new();
        let refused = |keys: &str| world.shares("data", keys).unwrap_err();
        assert!(matches!(refused("ssh-rsa AAAA1"), ShareError::Nameless { .. }));
        assert!(matches!(refused("ssh-rsa AAAA1 two words"), ShareError::Nameless { .. }));
        assert!(matches!(refused("ssh-rsa AAAA1 ../x"), ShareError::Nameless { .. }));
        assert!(matches!(refused("ssh-rsa AAAA1 ."), ShareError::Nameless { .. }));
        assert!(matches!(refused("ssh-rsa AAAA1 x\nssh-rsa AAAA2 x"), ShareError::SameName { .. }));
        let shared = "rw,folder=x ssh-rsa AAAA1 x\nfolder=x ssh-rsa AAAA2 x";
        assert_eq!(world.shares("data", shared).unwrap().len(), 2);
    }

    #[test]
    fn who_may_write_cannot_replace_the_folder_of_another() {
        let world = World::new();
        let keys = |first: &str| format!("{first} ssh-rsa AAAA1 x\nfolder=a/b ssh-rsa AAAA2 y");
        assert!(matches!(world.shares("data", &keys("rw,folder=a")), Err(ShareError::Nested { .. })));
        assert!(matches!(world.shares("data", &keys("rw,folder=.")), Err(ShareError::Nested { .. })));
        assert!(world.shares("data", &keys("folder=a")).is_ok());
        assert!(world.shares("data", &keys("rw,folder=a/bc")).is_ok());
    }
}
