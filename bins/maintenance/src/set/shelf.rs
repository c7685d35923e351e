//! The folder with all sets: finds them, begins new ones aside, and gives them their name when they are whole.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shared::files;

use super::error::SetError;
use super::manifest::{FORMAT, Kind, MANIFEST, Manifest, Member, Rehearsal, SUMS};
use super::pack::digest_of;
use super::retention::{Rule, Stored, to_remove};
use super::seal::{SEAL, SealKey};

/// What an unfinished set's folder begins with.
const DRAFT: &str = ".partial-";
/// What a set's folder gets before it is removed, so that a crash leaves no set that looks whole.
const GOING: &str = ".going-";
const REHEARSAL: &str = "rehearsal.json";
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// The folder.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

/// A set whose manifest could be read; its members are not looked at yet.
#[derive(Debug, Clone)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// What a rehearsal found, if there was one.
    pub rehearsal: Option<Rehearsal>,
    /// The manifest as it is written.
    pub(super) text: Vec<u8>,
    /// Its seal, if there is one.
    pub(super) seal: Option<String>,
}

/// A set that is being made.
#[derive(Debug)]
pub struct Draft {
    folder: PathBuf,
    name: String,
    sequence: u64,
    began: Timestamp,
}

impl Shelf {
    /// The shelf in a folder.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Names of folders that could be sets.
    fn names(&self) -> Result<Vec<String>, SetError> {
        let failed = |source| SetError::Io { action: "list", path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() && !name.starts_with('.') && name != "lost+found" {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Every set, in the order in which they were made, and what is wrong with those that cannot be used.
    pub fn sets(&self) -> Result<(Vec<Set>, Vec<SetError>), SetError> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for name in self.names()? {
            match self.open(&name) {
                Ok(set) => good.push(set),
                Err(error) => bad.push(error),
            }
        }
        good.sort_by_key(|set| set.manifest.sequence);
        Ok((good, bad))
    }

    /// The set of this name; `latest` is the one made last.
    pub fn find(&self, name: &str) -> Result<Set, SetError> {
        if name != "latest" {
            return self.open(name);
        }
        self.latest()?.ok_or_else(|| SetError::None { folder: self.folder.clone() })
    }

    /// The set made last. A safety backup is none: it holds what somebody wanted to be rid of, and is restored by its name.
    pub fn latest(&self) -> Result<Option<Set>, SetError> {
        Ok(self.sets()?.0.into_iter().rfind(|set| set.manifest.kind != Kind::Safety))
    }

    /// Reads the manifest, and holds it against its own hash and the sizes of the members.
    fn open(&self, name: &str) -> Result<Set, SetError> {
        let folder = self.folder.join(name);
        let is_plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
        if !is_plain || !folder.is_dir() {
            return Err(SetError::Missing { name: name.to_owned(), folder: self.folder.clone() });
        }
        let damaged = |what: String| SetError::Damaged { set: name.to_owned(), what };
        let path = folder.join(MANIFEST);
        let text = read_bounded(&path).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
        let sums = read_bounded(&folder.join(SUMS)).map_err(|error| damaged(format!("{SUMS}: {error}")))?;
        let digest = digest_of(&path).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| damaged(format!("{MANIFEST}: {error}")))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!("{MANIFEST}: its format is {}, this program reads {FORMAT}", manifest.format)));
        }
        if sums != sums_of(&manifest, &digest.sha256).into_bytes() {
            return Err(damaged(format!("{MANIFEST} and {SUMS} do not belong together")));
        }
        names_are_plain(&manifest).map_err(damaged)?;
        for member in &manifest.members {
            let found = fs::symlink_metadata(folder.join(&member.name))
                .map_err(|error| damaged(format!("{}: {error}", member.name)))?;
            if !found.is_file() {
                return Err(damaged(format!("{} is no regular file", member.name)));
            }
            if found.len() != member.bytes {
                return Err(damaged(format!("{}: {} bytes instead of {}", member.name, found.len(), member.bytes)));
            }
        }
        let rehearsal = fs::read(folder.join(REHEARSAL)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let seal = read_bounded(&folder.join(SEAL)).ok().map(|seal| String::from_utf8_lossy(&seal).into_owned());
        Ok(Set { name: name.to_owned(), folder, manifest, rehearsal, text, seal })
    }

    /// Begins a set aside.
    pub fn begin(&self, kind: Kind, now: Timestamp) -> Result<Draft, SetError> {
        let sequence = self.sets()?.0.last().map_or(1, |set| set.manifest.sequence + 1);
        let moment = now.strftime("%Y-%m-%dT%H%M%SZ").to_string();
        let suffix = match kind {
            Kind::Backup => "",
            Kind::Safety => "-safety",
            Kind::Upgrade => "-upgrade",
        };
        let taken = self.names()?;
        let names = (1..)
            .map(|count| if count == 1 { format!("{moment}{suffix}") } else { format!("{moment}{suffix}-{count}") });
        let name = names.into_iter().find(|name| !taken.contains(name)).unwrap_or(moment);
        let folder = self.folder.join(format!("{DRAFT}{name}"));
        let failed = |source| SetError::Io { action: "create", path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(Draft { folder, name, sequence, began: now })
    }

    /// Removes what earlier runs left half made or half removed; their names, for the log.
    pub fn sweep(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let left: Vec<String> = names.filter(|name| name.starts_with(DRAFT) || name.starts_with(GOING)).collect();
        left.into_iter().filter(|name| fs::remove_dir_all(self.folder.join(name)).is_ok()).collect()
    }

    /// Removes the sets that the rule lets go; their names.
    pub fn retain(&self, rule: Rule, now: Timestamp) -> Result<Vec<String>, SetError> {
        let good = self.sets()?.0;
        let stored: Vec<Stored> = good
            .iter()
            .map(|set| Stored {
                name: set.name.clone(),
                sequence: set.manifest.sequence,
                ended: set.manifest.ended,
                safety: set.manifest.kind == Kind::Safety,
                rehearsed: set.rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.good),
            })
            .collect();
        let names = to_remove(&stored, rule, now);
        for name in &names {
            let (old, going) = (self.folder.join(name), self.folder.join(format!("{GOING}{name}")));
            let failed = |source| SetError::Io { action: "remove", path: old.clone(), source };
            fs::rename(&old, &going).and_then(|()| fs::remove_dir_all(&going)).map_err(failed)?;
        }
        Ok(names)
    }
}

impl Draft {
    /// Where the members go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its place among all sets.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it was begun.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Writes the manifest, and its seal where there is a key, and gives the folder its name. From here on it is a set.
    pub fn commit(self, shelf: &Shelf, manifest: &Manifest, key: Option<&SealKey>) -> Result<Set, SetError> {
        let failed = |source| SetError::Io { action: "complete", path: self.folder.clone(), source };
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| failed(error.into()))?;
        let write = |name: &str, text: &[u8]| {
            let written = files::replace_with_mode(&self.folder.join(name), text, 0o600);
            written.map_err(|error| SetError::Io { action: "write", path: error.path, source: error.source })
        };
        write(MANIFEST, &text)?;
        let digest = digest_of(&self.folder.join(MANIFEST)).map_err(failed)?;
        write(SUMS, sums_of(manifest, &digest.sha256).as_bytes())?;
        if let Some(key) = key {
            write(SEAL, key.seal(&text).as_bytes())?;
        }
        let place = shelf.folder.join(&self.name);
        fs::rename(&self.folder, &place).and_then(|()| files::sync_folder(&place)).map_err(failed)?;
        shelf.open(&self.name)
    }

    /// Gives the draft up.
    pub fn discard(self) {
        // What cannot be removed now is removed by the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Set {
    /// Path of a member.
    pub fn path(&self, member: &Member) -> PathBuf {
        self.folder.join(&member.name)
    }

    /// Notes what a rehearsal found.
    pub fn note(&self, rehearsal: &Rehearsal) -> Result<(), SetError> {
        let text = serde_json::to_vec_pretty(rehearsal).unwrap_or_default();
        let written = files::replace_with_mode(&self.folder.join(REHEARSAL), &text, 0o600);
        written.map_err(|error| SetError::Io { action: "write", path: error.path, source: error.source })
    }
}

/// A set names files and plugins of its own folder, and each content once. Whoever wrote the manifest may have meant others.
fn names_are_plain(manifest: &Manifest) -> Result<(), String> {
    let is_plain = |name: &str| !["", ".", ".."].contains(&name) && !name.contains(['/', '\0', '\n']);
    for (place, member) in manifest.members.iter().enumerate() {
        let is_ours = [MANIFEST, SUMS, SEAL, REHEARSAL].contains(&member.name.as_str());
        if !is_plain(&member.name) || is_ours {
            return Err(format!("{MANIFEST}: a member cannot be named {:?}", member.name));
        }
        if manifest.members[..place].iter().any(|other| other.content == member.content) {
            return Err(format!("{MANIFEST}: {} is not the only member of its kind", member.name));
        }
    }
    match manifest.plugins.iter().find(|plugin| !is_plain(&plugin.name)) {
        Some(plugin) => Err(format!("{MANIFEST}: a plugin cannot be named {:?}", plugin.name)),
        None => Ok(()),
    }
}

/// In the words of `sha256sum`.
fn sums_of(manifest: &Manifest, sha256: &str) -> String {
    let members = manifest.members.iter().map(|member| format!("{}  {}\n", member.sha256, member.name));
    members.chain([format!("{sha256}  {MANIFEST}\n")]).collect()
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > MANIFEST_BYTES_MAX {
        return Err(io::Error::other("it is far too large"));
    }
    fs::read(path)
}
