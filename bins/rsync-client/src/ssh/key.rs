//! The key pair: kept when there is one, made when there is none, never two when two containers start at once.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shared::config::Value;
use shared::entry::{Exit, Failure};
use shared::files::{FileError, Lock, sync_folder};
use shared::process::{Limits, Program};
use shared::shutdown::Shutdown;
use tracing::{debug, info};

use super::workplace::workplace;

/// RSA keys take seconds to make, and another container may be making one.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);
const LOCK_LOOK: Duration = Duration::from_millis(50);
/// A key that takes longer than this to make is not being made.
const KEYGEN_MAX: Duration = Duration::from_secs(120);
/// How every program of ssh refuses to work for a user who has no line in `/etc/passwd`.
const NAMELESS: &str = "No user exists for uid";

/// Kinds of keys that are known by the names ssh gives their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Short, fast, understood since OpenSSH 6.5 (2014).
    Ed25519,
    /// For servers that know nothing else.
    Rsa,
    /// Never made here without being asked for; kept when it is there.
    Ecdsa,
}

impl KeyType {
    /// In the order in which a key is chosen when several are there.
    const ALL: [KeyType; 3] = [KeyType::Ed25519, KeyType::Ecdsa, KeyType::Rsa];

    /// Name of the file of the private key.
    pub fn file(self) -> &'static str {
        match self {
            KeyType::Ed25519 => "id_ed25519",
            KeyType::Rsa => "id_rsa",
            KeyType::Ecdsa => "id_ecdsa",
        }
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            KeyType::Ed25519 => &["-t", "ed25519"],
            KeyType::Rsa => &["-t", "rsa", "-b", "4096"],
            KeyType::Ecdsa => &["-t", "ecdsa", "-b", "256"],
        }
    }
}

impl Value for KeyType {
    fn rule() -> String {
        "ed25519, rsa or ecdsa".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "ed25519" => Ok(KeyType::Ed25519),
            "rsa" => Ok(KeyType::Rsa),
            "ecdsa" => Ok(KeyType::Ecdsa),
            _ => Err(String::new()),
        }
    }
}

impl std::str::FromStr for KeyType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|_| format!("must be {}", Self::rule()))
    }
}

/// The public half of a pair, as `authorized_keys` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// `ssh-ed25519 AAAA… comment`
    pub line: String,
    /// `256 SHA256:… comment (ED25519)`
    pub fingerprint: String,
    /// Where the private half is.
    pub path: PathBuf,
}

/// The folder with the keys is not usable.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder cannot be made or protected.
    #[error("cannot prepare the folder of the keys {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A lock or a file beside the keys cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another container holds the lock.
    #[error("another program has been making a key in {} for too long", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A private key holds nothing, or is not a private key.
    #[error("the private key {} cannot be used: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong, in ssh-keygen's words or ours.
        why: String,
    },
    /// ssh and ssh-keygen do nothing at all for this user.
    #[error("ssh does nothing for the user of this container, who has no line in /etc/passwd: {why}")]
    Nameless {
        /// ssh-keygen's own words.
        why: String,
    },
    /// ssh-keygen did not do it.
    #[error("ssh-keygen cannot make {}: {why}", path.display())]
    Keygen {
        /// The file.
        path: PathBuf,
        /// What it said.
        why: String,
    },
}

impl KeyError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            KeyError::Folder { .. } => "mount a volume there that the user of this container may write, or set SSH_DIR",
            KeyError::File(error) => error.help(),
            KeyError::Busy { .. } => "look at the other container; the lock goes away with its program",
            KeyError::Unusable { .. } => {
                "put the right key there (without a passphrase), or move the file away: a new pair is made at the next start, and its public key must be added to the servers"
            }
            KeyError::Nameless { .. } => {
                "run the container as 1000:1000, who has a name in our image (compose: `user: \"1000:1000\"`), or mount a file over /etc/passwd with a line for your user, such as `logs:x:UID:GID::/root:/bin/sh`"
            }
            KeyError::Keygen { .. } => "the image must hold openssh-client, and the volume must be writable",
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let help = error.help();
        let is_ours = matches!(error, KeyError::Unusable { .. } | KeyError::Nameless { .. });
        let exit = if is_ours { Exit::Config } else { Exit::CannotCreate };
        Failure::new(exit, error).help(help)
    }
}

/// The folder with the key pairs.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// The keys in a folder, `SSH_DIR`.
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Every private key that is there.
    pub fn private(&self) -> Vec<PathBuf> {
        KeyType::ALL.iter().map(|kind| self.folder.join(kind.file())).filter(|path| path.exists()).collect()
    }

    /// Every private key as ssh takes it: itself, or a copy of ours.
    ///
    /// # Errors
    /// When a copy is needed and cannot be written.
    pub fn usable(&self) -> Result<Vec<PathBuf>, KeyError> {
        self.private().iter().map(|path| self.usable_key(path)).collect()
    }

    /// A key that others may read, or that an editor or a form left without its last line end, is refused by ssh. Where
    /// the file itself is not ours to change, a copy is made that only we may read.
    fn usable_key(&self, path: &Path) -> Result<PathBuf, KeyError> {
        let failed = |source| KeyError::Folder { path: path.to_owned(), source };
        let Ok(content) = fs::read(path) else { return Ok(path.to_owned()) };
        let clean = with_plain_line_ends(&content);
        let is_exposed = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0;
        if (clean == content && !is_exposed) || content.iter().all(u8::is_ascii_whitespace) {
            return Ok(path.to_owned());
        }
        let place = workplace(&self.folder).map_err(|(path, source)| KeyError::Folder { path, source })?;
        let copies = place.join("keys");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&copies).map_err(failed)?;
        let copy = copies.join(path.file_name().unwrap_or_default());
        if fs::read(&copy).ok().as_ref() != Some(&clean) {
            shared::files::replace_with_mode(&copy, &clean, 0o600)?;
            let why = if clean == content { "others may read it" } else { "its line ends are not what ssh reads" };
            info!(key = %path.display(), why, copy = %copy.display(), "A private key is used by a copy");
        }
        Ok(copy)
    }

    /// The pair to use: the one of the wished type, made if it is missing; without a wish the one that is there, and
    /// an ed25519 pair if there is none.
    ///
    /// # Errors
    /// When no usable pair is there afterwards.
    pub async fn ensure(&self, wish: Option<KeyType>) -> Result<PublicKey, KeyError> {
        named().await?;
        let there = || KeyType::ALL.into_iter().find(|kind| self.folder.join(kind.file()).exists());
        let path = |there: Option<KeyType>| self.folder.join(wish.or(there).unwrap_or(KeyType::Ed25519).file());
        // A key that is there needs no right to make one, as on a read-only mount.
        if !path(there()).exists() {
            prepare_folder(&self.folder)?;
            let _lock = take_lock(&self.folder).await?;
            let there = there();
            if !path(there).exists() {
                make_pair(wish.or(there).unwrap_or(KeyType::Ed25519), &path(there)).await?;
                info!(key = %path(there).display(), "Made a new key pair");
            }
        }
        self.protect();
        self.public(&path(there())).await
    }

    /// Takes back the right of others to read the private keys, which ssh insists on. Where that is not possible, or the
    /// file is a secret that is only linked to, [`Keys::usable`] makes a copy.
    pub fn protect(&self) {
        let is_file = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
        for path in self.private().iter().filter(|path| is_file(path)) {
            let Ok(mode) = fs::metadata(path).map(|found| found.permissions().mode()) else { continue };
            if mode & 0o077 != 0 && fs::set_permissions(path, Permissions::from_mode(0o600)).is_ok() {
                info!(key = %path.display(), mode = format!("{:o}", mode & 0o777), "Private key was readable for others; its mode is 600 now");
            }
        }
    }

    /// The public half, computed from the private one: that needs no file and proves that the key can be used.
    async fn public(&self, path: &Path) -> Result<PublicKey, KeyError> {
        let unusable = |why: String| KeyError::Unusable { path: path.to_owned(), why };
        let content = fs::read(path).map_err(|error| unusable(error.to_string()))?;
        if content.iter().all(u8::is_ascii_whitespace) {
            return Err(unusable("it is empty".to_owned()));
        }
        let usable = self.usable_key(path)?;
        let computed = keygen(Program::new("ssh-keygen").args(["-y", "-P", "", "-f"]).arg(&usable)).await;
        let computed = computed.map_err(|why| {
            let locked = why.contains("incorrect passphrase");
            unusable(if locked { "it has a passphrase, and nobody is here to type it".to_owned() } else { why })
        })?;
        let file = public_file(path);
        let written = fs::read_to_string(&file).unwrap_or_default();
        let line = if same_key(&written, &computed) { written.trim().to_owned() } else { computed.trim().to_owned() };
        if !same_key(&written, &computed) {
            match shared::files::replace(&file, format!("{line}\n").as_bytes()) {
                Ok(()) => info!(file = %file.display(), "Wrote the public key again from the private one"),
                // Nobody needs it who reads this log.
                Err(error) => debug!(why = error.to_string(), "Public key cannot be written beside the private one"),
            }
        }
        let fingerprint = keygen(Program::new("ssh-keygen").args(["-l", "-f", "-"]).input(format!("{line}\n"))).await;
        let fingerprint = fingerprint.map_err(unusable)?;
        Ok(PublicKey { line, fingerprint: fingerprint.trim().to_owned(), path: path.to_owned() })
    }
}

/// Whether ssh works for our user at all. Without this question its refusal would look like a fault of the key.
///
/// # Errors
/// When it does not, because the user has no name.
pub async fn named() -> Result<(), KeyError> {
    // Of an empty list of keys it has nothing to say; a user without a name it refuses before it looks.
    match keygen(Program::new("ssh-keygen").args(["-l", "-f", "/dev/null"])).await {
        Err(why) if why.contains(NAMELESS) => Err(KeyError::Nameless { why }),
        _ => Ok(()),
    }
}

pub(super) fn prepare_folder(folder: &Path) -> Result<(), KeyError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| KeyError::Folder { path: folder.to_owned(), source })
}

/// The right to make keys in a folder, so that two containers on one volume make one.
pub(super) async fn take_lock(folder: &Path) -> Result<Lock, KeyError> {
    let path = folder.join(".rsync-client.lock");
    let began = Instant::now();
    loop {
        if let Some(lock) = Lock::try_take(&path)? {
            return Ok(lock);
        }
        if began.elapsed() > LOCK_PATIENCE {
            return Err(KeyError::Busy { path: folder.to_owned() });
        }
        tokio::time::sleep(LOCK_LOOK).await;
    }
}

/// Makes a pair under another name, so that a power cut leaves no half key under the right one. Needs the lock.
pub(super) async fn make_pair(kind: KeyType, path: &Path) -> Result<(), KeyError> {
    let beside = path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().display()));
    // We hold the lock: what lies there was left by a program that died.
    let _ = fs::remove_file(&beside);
    let _ = fs::remove_file(public_file(&beside));
    let program = Program::new("ssh-keygen").args(["-q", "-N", "", "-C", "rsync-client"]);
    let program = program.args(kind.words()).arg("-f").arg(&beside);
    let failed = |why: String| KeyError::Keygen { path: path.to_owned(), why };
    keygen(program).await.map_err(failed)?;
    let moved = File::open(&beside)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(public_file(&beside), public_file(path)))
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(path));
    moved.map_err(|error| failed(error.to_string()))
}

/// What ssh reads: lines that end with a line feed, also the last, and nothing in front or behind.
fn with_plain_line_ends(content: &[u8]) -> Vec<u8> {
    let mut clean: Vec<u8> = content.trim_ascii().iter().copied().filter(|byte| *byte != b'\r').collect();
    clean.push(b'\n');
    clean
}

fn public_file(private: &Path) -> PathBuf {
    private.with_file_name(format!("{}.pub", private.file_name().unwrap_or_default().display()))
}

/// Type and body are the key; the comment is not.
fn same_key(one: &str, other: &str) -> bool {
    let key = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    key(one).len() == 2 && key(one) == key(other)
}

/// Runs ssh-keygen; answers what it printed, or what it complained about.
async fn keygen(program: Program) -> Result<String, String> {
    let limits = Limits { hard: Some(KEYGEN_MAX), ..Limits::default() };
    let mut said = String::new();
    let mut complained = String::new();
    let never = Shutdown::never();
    let ended = program.quiet().run_with(&limits, &never, |line| {
        let to = if line.stream == shared::process::Stream::Out { &mut said } else { &mut complained };
        to.push_str(&line.text());
        if !line.continues {
            to.push('\n');
        }
    });
    let ended = ended.await.map_err(|error| error.to_string())?;
    if ended.succeeded() {
        return Ok(said);
    }
    let lines: Vec<&str> =
        complained.lines().chain(said.lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(if lines.is_empty() { ended.sentence() } else { lines.join("; ") })
}
