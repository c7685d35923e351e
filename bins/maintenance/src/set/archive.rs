//! What may lie in the archives of a set. GNU tar's own list of an archive is read before tar unpacks it, so that nobody
//! reads it in another way than who unpacks.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use shared::process::{Limits, Program, Stream};
use shared::shutdown::Shutdown;

use super::error::SetError;
use super::manifest::{Content, Manifest, Member};
use super::member::unpack_and_read;
use super::shelf::Set;
use crate::database::program;

/// A line of tar's list that is longer is no name of a file.
const LINE_BYTES_MAX: usize = 64 << 10;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// Another name of a file that comes before it.
    Twin,
    /// A device, a pipe, or something that we do not know.
    Other,
}

/// One entry of an archive, or what would become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path from Matomo's folder.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Whether it makes who runs it somebody else.
    pub changes_user: bool,
    /// Where a link leads, as it is written.
    pub target: PathBuf,
}

/// Why an entry is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its name is not one of those that belong to the set.
    Foreign,
    /// It leads out of its folder.
    LeadsOut,
    /// It is neither file nor folder nor link.
    Odd,
    /// It makes who runs it somebody else.
    ChangesUser,
}

impl Refusal {
    /// As a person says it.
    pub fn word(self) -> &'static str {
        match self {
            Refusal::Foreign => "is not named in the manifest",
            Refusal::LeadsOut => "leads out of its folder",
            Refusal::Odd => "is neither file, folder nor link",
            Refusal::ChangesUser => "is setuid or setgid",
        }
    }
}

/// Whether an entry may be unpacked below Matomo's folder; `item` is the file or folder of the set that it belongs to.
pub fn judge(entry: &Entry, item: Option<&Path>) -> Result<(), Refusal> {
    let Some(item) = item.filter(|_| is_plain(&entry.path)) else { return Err(Refusal::Foreign) };
    match entry.kind {
        Kind::Other => Err(Refusal::Odd),
        // By this bit a folder hands its group down to what is made in it.
        Kind::Folder => Ok(()),
        _ if entry.changes_user => Err(Refusal::ChangesUser),
        Kind::File => Ok(()),
        Kind::Twin if is_plain(&entry.target) && entry.target.starts_with(item) => Ok(()),
        Kind::Link if entry.path != item && stays_below(item, &entry.path, &entry.target) => Ok(()),
        Kind::Twin | Kind::Link => Err(Refusal::LeadsOut),
    }
}

/// A relative path of names alone.
fn is_plain(path: &Path) -> bool {
    let mut names = path.components().peekable();
    names.peek().is_some() && names.all(|name| matches!(name, Component::Normal(_)))
}

/// Follows a link by its letters alone. Up goes only the beginning: what is above another link, the letters do not say.
fn stays_below(item: &Path, link: &Path, target: &Path) -> bool {
    let mut place = link.parent().unwrap_or(Path::new("")).to_owned();
    let mut is_down = false;
    for part in target.components() {
        match part {
            Component::Normal(name) => {
                place.push(name);
                is_down = true;
            }
            Component::CurDir => {}
            Component::ParentDir if !is_down => drop(place.pop()),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
        if !place.starts_with(item) {
            return false;
        }
    }
    target.components().next().is_some()
}

/// Which file or folder of a set's archive a path belongs to.
fn item_of<'p>(path: &'p Path, content: Content, manifest: &Manifest) -> Option<&'p Path> {
    let mut names = path.iter().map(|name| name.to_str());
    let (top, name) = (names.next()??, names.next()??);
    let is_single = names.next().is_none();
    let belongs = match (content, top) {
        (Content::Plugins, "plugins") => manifest.plugins.iter().any(|plugin| plugin.name == name),
        (Content::Files, "misc") => name == "user" || (is_single && crate::place::is_geoip(name)),
        (Content::Files, "config") => is_single && crate::place::is_further_config(name),
        _ => false,
    };
    let depth = Path::new(top).join(name);
    belongs.then(|| path.ancestors().find(|ancestor| **ancestor == depth))?
}

/// Lists an archive of a set and refuses it where it holds what it should not.
///
/// # Errors
/// With the first entry that should not be there.
pub async fn inspect(set: &Set, member: &Member, control: (&Limits, &Shutdown)) -> Result<(), SetError> {
    let damaged = |what: String| SetError::Hostile { set: set.name.clone(), what: format!("{}: {what}", member.name) };
    let mut look = Look { manifest: &set.manifest, content: member.content, links: HashSet::new(), fault: None };
    let mut line = Vec::new();
    let read = |piece: shared::process::Line<'_>| {
        if piece.stream != Stream::Out {
            return;
        }
        if !piece.continues && !line.is_empty() {
            look.at(&line);
            line.clear();
        }
        let room = LINE_BYTES_MAX.saturating_sub(line.len()).min(piece.bytes.len());
        line.extend_from_slice(&piece.bytes[..room]);
    };
    unpack_and_read(lister(), &set.path(member), &member.name, "list it", control, read).await?;
    if !line.is_empty() {
        look.at(&line);
    }
    look.fault.map_or(Ok(()), |what| Err(damaged(what)))
}

/// Reads tar's list line by line.
struct Look<'m> {
    manifest: &'m Manifest,
    content: Content,
    /// Nothing may be unpacked through a link, wherever that leads.
    links: HashSet<PathBuf>,
    fault: Option<String>,
}

impl Look<'_> {
    fn at(&mut self, line: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        let Some(entry) = listed(line) else {
            self.fault = Some("its list cannot be read".to_owned());
            return;
        };
        let is_behind_link = entry.path.ancestors().skip(1).any(|folder| self.links.contains(folder));
        let item = item_of(&entry.path, self.content, self.manifest);
        let judged = if is_behind_link { Err(Refusal::LeadsOut) } else { judge(&entry, item) };
        if let Err(refusal) = judged {
            self.fault = Some(format!("{} {}", entry.path.display(), refusal.word()));
        }
        if entry.kind == Kind::Link {
            self.links.insert(entry.path);
        }
    }
}

/// Names in quotes as C has them, so that a name may hold anything; and as they are in the archive.
fn lister() -> Program {
    let tar = program("tar").env("LC_ALL", "C").args(["--list", "--verbose", "--file=-", "--numeric-owner"]);
    tar.args(["--quoting-style=c", "--absolute-names"])
}

/// `-rwxr-xr-x 0/0 12 2026-01-01 00:00 "a name"`, with ` -> "…"` or ` link to "…"` behind a link.
fn listed(line: &[u8]) -> Option<Entry> {
    let begin = memchr::memchr(b'"', line)?;
    let (columns, rest) = (&line[..begin], &line[begin + 1..]);
    let (path, rest) = quoted(rest)?;
    let kind = match columns.first()? {
        b'-' => Kind::File,
        b'd' => Kind::Folder,
        b'l' => Kind::Link,
        b'h' => Kind::Twin,
        _ => Kind::Other,
    };
    let target = match kind {
        Kind::Link => quoted(rest.strip_prefix(b" -> \"")?)?.0,
        Kind::Twin => quoted(rest.strip_prefix(b" link to \"")?)?.0,
        _ => PathBuf::new(),
    };
    let is_s = |place: usize| columns.get(place).is_some_and(|letter| letter.eq_ignore_ascii_case(&b's'));
    Some(Entry { path, kind, changes_user: is_s(3) || is_s(6), target })
}

/// The path up to the closing quote, and what follows.
fn quoted(text: &[u8]) -> Option<(PathBuf, &[u8])> {
    let (mut path, mut at) = (Vec::new(), 0);
    loop {
        match *text.get(at)? {
            b'"' => return Some((PathBuf::from(OsString::from_vec(path)), &text[at + 1..])),
            b'\\' => {
                let (byte, length) = escape(&text[at + 1..])?;
                path.push(byte);
                at += length;
            }
            byte => path.push(byte),
        }
        at += 1;
    }
}

/// What is written behind a backslash, and how long it is.
fn escape(text: &[u8]) -> Option<(u8, usize)> {
    let byte = match *text.first()? {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        b'0'..=b'3' => {
            let digits = std::str::from_utf8(text.get(..3)?).ok()?;
            return Some((u8::from_str_radix(digits, 8).ok()?, 3));
        }
        other => other,
    };
    Some((byte, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &str) -> Result<(), Refusal> {
        let entry = listed(line.as_bytes()).unwrap();
        let item = Path::new("plugins/X");
        judge(&entry, Some(item).filter(|item| entry.path.starts_with(item)))
    }

    #[test]
    fn what_tar_lists_is_judged_by_type_mode_name_and_target() {
        for good in [
            r#"-rw-r--r-- 0/0              12 2026-01-01 00:00 "plugins/X/a \"b\" -> c\n""#,
            r#"drwxr-sr-x 33/33             0 2026-01-01 00:00 "plugins/X/""#,
            r#"drwxrwsrwt 33/33             0 2026-01-01 00:00 "plugins/X/deep/""#,
            r#"lrwxrwxrwx 0/0               0 2026-01-01 00:00 "plugins/X/vendor/bin/a" -> "../b/./c""#,
            r#"hrw-r--r-- 0/0               0 2026-01-01 00:00 "plugins/X/b" link to "plugins/X/a""#,
        ] {
            assert_eq!(judged(good), Ok(()), "{good}");
        }
        for (bad, refusal) in [
            (r#"-rw-r--r-- 0/0 1 2026-01-01 00:00 "plugins/Y/a""#, Refusal::Foreign),
            (r#"-rw-r--r-- 0/0 1 2026-01-01 00:00 "/plugins/X/a""#, Refusal::Foreign),
            (r#"-rw-r--r-- 0/0 1 2026-01-01 00:00 "plugins/X/../Y""#, Refusal::Foreign),
            (r#"-rwsr-xr-x 0/0 1 2026-01-01 00:00 "plugins/X/a""#, Refusal::ChangesUser),
            (r#"-rwxr-Sr-x 0/0 1 2026-01-01 00:00 "plugins/X/a""#, Refusal::ChangesUser),
            (r#"brw-r--r-- 0/0 7,0 2026-01-01 00:00 "plugins/X/a""#, Refusal::Odd),
            (r#"prw-r--r-- 0/0 0 2026-01-01 00:00 "plugins/X/a""#, Refusal::Odd),
            (r#"lrwxrwxrwx 0/0 0 2026-01-01 00:00 "plugins/X/a" -> "/etc""#, Refusal::LeadsOut),
            (r#"lrwxrwxrwx 0/0 0 2026-01-01 00:00 "plugins/X/a" -> "../Y""#, Refusal::LeadsOut),
            (r#"lrwxrwxrwx 0/0 0 2026-01-01 00:00 "plugins/X/a" -> "../../plugins/X/b""#, Refusal::LeadsOut),
            (r#"lrwxrwxrwx 0/0 0 2026-01-01 00:00 "plugins/X" -> "X""#, Refusal::LeadsOut),
            (r#"lrwxrwxrwx 0/0 0 2026-01-01 00:00 "plugins/X/a" -> "dot/..""#, Refusal::LeadsOut),
            (r#"hrw-r--r-- 0/0 0 2026-01-01 00:00 "plugins/X/a" link to "config/config.ini.php""#, Refusal::LeadsOut),
            (r#"hrw-r--r-- 0/0 0 2026-01-01 00:00 "plugins/X/a" link to "plugins/X/../Y""#, Refusal::LeadsOut),
        ] {
            assert_eq!(judged(bad), Err(refusal), "{bad}");
        }
        assert_eq!(listed(b"tar: something else"), None);
        let odd = listed(br#"-rw-r--r-- 0/0 1 2026-01-01 00:00 "a\303\270\n\\b""#).unwrap();
        assert_eq!(odd.path, Path::new("a\u{f8}\n\\b"));
    }
}
