//! Which content a file holds: proven by its bytes, whatever the file is called and however often it was copied or rotated.
//!
//! A known content has a proof: the hash of all bytes that were booked of it. A file holds it if its own first bytes have the
//! same hash; what lies behind them is new. A file that is shorter than a proof may be an older copy; it is one if it equals
//! the beginning of a file that still holds the content. Where neither can be shown, a person decides.

use std::io::Read;

use xxhash_rust::xxh3::xxh3_64;

use crate::file::{BLOCK_BYTES, GiveUp, Proof, ReadError, Source};
use crate::id::FileId;

/// Where the first bytes of a content are hashed: at this offset, twice this, and so on up to a block.
const MILESTONE_BYTES: usize = 256;

/// The first block of a content: what it is searched by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    bytes: Vec<u8>,
    /// Where its first line begins that is neither blank nor a comment.
    line_begin: usize,
}

impl Head {
    /// Reads the first original bytes of a file. An archive damaged within them is known by those before the damage.
    ///
    /// # Errors
    /// When not one byte can be read.
    pub fn read(source: &Source) -> Result<Self, ReadError> {
        let mut bytes = Vec::new();
        match source.bytes()?.take(BLOCK_BYTES).read_to_end(&mut bytes) {
            Err(error) if bytes.is_empty() => Err(ReadError::Read { path: source.path().to_owned(), error }),
            _ => Ok(Self::of(bytes)),
        }
    }

    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let line_begin = first_line(&bytes);
        Self { bytes, line_begin }
    }

    /// How many bytes there are: a block, or all of a shorter file.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Hash of the first `length` bytes, if there are so many.
    pub fn hash_of(&self, length: usize) -> Option<u64> {
        self.bytes.get(..length).map(xxh3_64)
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Hash of the first line that is neither blank nor a comment, its terminator included.
    pub fn line_key(&self) -> u64 {
        line_hash(&self.bytes[self.line_begin..])
    }

    /// Hash of the very first line: what a ledger of version 1 knows a content by.
    pub fn first_line_key(&self) -> u64 {
        line_hash(&self.bytes)
    }

    /// Hashes of the first 256 bytes, 512 bytes and so on, as far as there are so many.
    pub fn milestones(&self) -> Box<[u64]> {
        let lengths = std::iter::successors(Some(MILESTONE_BYTES), |length| Some(length * 2));
        lengths.take_while(|length| *length <= self.bytes.len()).map(|length| xxh3_64(&self.bytes[..length])).collect()
    }

    /// Whether these milestones and its own are the same as far as both go.
    pub fn agrees_with(&self, milestones: &[u64]) -> bool {
        milestones.iter().zip(&self.milestones()).all(|(one, other)| one == other)
    }

    /// The hash of all of these bytes: all that is known of a content that somebody else imported.
    pub fn proof(&self) -> Proof {
        Proof::of_head(&self.bytes)
    }

    /// Whether both are the same as far as both go.
    fn is_twin_of(&self, other: &Self) -> bool {
        let length = self.bytes.len().min(other.bytes.len());
        self.bytes[..length] == other.bytes[..length]
    }

    /// Whether the whole file is the beginning of a line.
    pub fn is_half_a_line(&self) -> bool {
        !self.holds_a_line() && (self.bytes.len() as u64) < BLOCK_BYTES
    }

    /// Whether its first line that is neither blank nor a comment has an end.
    fn holds_a_line(&self) -> bool {
        memchr::memchr2(b'\n', b'\r', &self.bytes[self.line_begin..]).is_some()
    }

    /// Whether at least two lines that are no comments end before `at`.
    fn holds_lines(&self, at: u64) -> bool {
        // A whole block holds more than a line, unless it is a hole, and then there is something behind it.
        if at > self.bytes.len() as u64 {
            return true;
        }
        let end = usize::try_from(at).unwrap_or(usize::MAX).min(self.bytes.len());
        let lines = self.bytes.get(self.line_begin..end).unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
        lines.filter(|line| !line.starts_with(b"#")).take(2).count() == 2
    }
}

fn line_hash(bytes: &[u8]) -> u64 {
    let end = memchr::memchr2(b'\n', b'\r', bytes).map_or(bytes.len(), |at| at + 1);
    xxh3_64(&bytes[..end])
}

/// Where the first line begins that is neither blank nor a comment; 0 if there is none.
fn first_line(bytes: &[u8]) -> usize {
    let mut begin = 0;
    for line in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        let nul = line.iter().take_while(|byte| **byte == 0).count();
        let text = &line[nul..];
        if !text.starts_with(b"#") && !text.trim_ascii().is_empty() {
            return begin + nul;
        }
        begin += line.len();
    }
    0
}

/// A content that the file at hand may hold, by its first line.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its number.
    pub id: FileId,
    /// What is proven of it.
    pub proof: Proof,
    /// See [`Head::milestones`]; none of a content that a ledger of version 1 knows.
    pub milestones: Box<[u64]>,
    /// Whether it has the first line of the file.
    pub has_same_line: bool,
}

/// Which content a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// A known one; it may have grown.
    Known(FileId),
    /// The beginning of a known one: an older copy, of which all is known up to the proof's place.
    Copy(FileId, Proof),
    /// None that is known.
    New,
    /// Perhaps an older copy of a known one, which no file holds any more.
    Unsure(FileId),
}

/// A file whose identity is looked for.
pub struct Looking<'l> {
    /// The file.
    pub source: &'l Source,
    /// Its first bytes.
    pub head: &'l Head,
    /// The content that this path held before, if any.
    pub before: Option<FileId>,
    /// Opens a file that still holds a content as it was proven, under another path.
    pub holder: &'l dyn Fn(FileId) -> Option<Source>,
    /// Whether to give up.
    pub give_up: GiveUp<'l>,
}

/// Which of the known contents a file holds.
///
/// # Errors
/// When a file cannot be read, or after a shutdown request.
pub fn identify(looking: &Looking<'_>, mut known: Vec<Known>) -> Result<Identity, ReadError> {
    known.retain(|known| looking.head.agrees_with(&known.milestones));
    if known.is_empty() {
        return Ok(Identity::New);
    }
    known.sort_by_key(|known| known.proof.at);
    let (best, longer, whole) = looking.compare(&known)?;
    // What has another first line is no beginning of it.
    let is_whole_line = looking.head.holds_a_line();
    let mut unsure = None;
    for candidate in longer.iter().filter(|known| known.has_same_line || !is_whole_line) {
        match looking.begins(candidate, &whole)? {
            Some(true) => return Ok(Identity::Copy(candidate.id, whole)),
            Some(false) => {}
            // The next one may tell: of a copy that was noted more than once, only the last note has a file.
            None => unsure = unsure.or(Some(candidate.id)),
        }
    }
    if let Some(id) = unsure.filter(|_| best.is_none_or(|best| best.proof.at < whole.at)) {
        return Ok(Identity::Unsure(id));
    }
    match best {
        Some(best) if !looking.is_other_server(best, &whole)? => Ok(Identity::Known(best.id)),
        _ => Ok(Identity::New),
    }
}

impl Looking<'_> {
    /// The longest content that the file holds, those that are longer than the file, and the proof of all of the file that was
    /// read: all of it, if it is shorter than one of them.
    fn compare<'k>(&self, known: &'k [Known]) -> Result<(Option<&'k Known>, &'k [Known], Proof), ReadError> {
        let mut best = None;
        let mut next = 0;
        let whole = self.source.prove(self.give_up, |proof| {
            while let Some(candidate) = known.get(next).filter(|candidate| candidate.proof.at <= proof.at) {
                if candidate.proof.at == proof.at && candidate.proof.hash == proof.hash {
                    best = Some(candidate);
                }
                next += 1;
            }
            known.get(next).map(|candidate| candidate.proof.at)
        })?;
        Ok((best, &known[next..], whole))
    }

    /// Whether a longer content begins with all of the file; `None` if nothing can tell.
    fn begins(&self, longer: &Known, whole: &Proof) -> Result<Option<bool>, ReadError> {
        let Some(holder) = (self.holder)(longer.id) else { return Ok(None) };
        let mut same = None;
        holder.prove(self.give_up, |proof| {
            same = (proof.at == whole.at).then(|| proof == whole);
            (proof.at < whole.at).then_some(whole.at)
        })?;
        // It holds less of the content itself.
        let Some(same) = same else { return Ok(None) };
        // Two servers behind a balancer may begin with the same line: one line makes no copy.
        let is_copy = self.before == Some(longer.id) || self.is_beside(&holder) && self.head.holds_lines(whole.at);
        Ok(Some(same && is_copy))
    }

    /// Whether a file that begins with a content is another server's all the same, as the content still lies where it lay:
    /// one line in common, or lines of another folder, make no copy.
    fn is_other_server(&self, best: &Known, whole: &Proof) -> Result<bool, ReadError> {
        if self.before == Some(best.id) || self.is_all(best, whole) {
            return Ok(false);
        }
        let Some(holder) = (self.holder)(best.id) else { return Ok(false) };
        if !self.is_beside(&holder) || self.head.holds_lines(best.proof.at) {
            return Ok(!self.is_beside(&holder));
        }
        // Of the content hardly anything was imported yet: what lies behind that tells.
        let other = Head::read(&holder)?;
        let is_copy = self.head == &other
            || self.head.is_twin_of(&other)
                && self.head.holds_lines(other.bytes.len().min(self.head.bytes.len()) as u64);
        Ok(!is_copy)
    }

    /// Whether there is nothing behind the content: an exact copy.
    fn is_all(&self, best: &Known, whole: &Proof) -> bool {
        let ends_there = !self.source.is_packed() && self.source.stat().size == best.proof.at;
        ends_there || whole.at == best.proof.at && self.source.is_packed()
    }

    fn is_beside(&self, other: &Source) -> bool {
        self.source.path().parent() == other.path().parent()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        }
    }

    fn known(id: u32, bytes: &[u8]) -> Known {
        let mut hasher = crate::file::PrefixHasher::default();
        hasher.update(bytes);
        let head = Head::of(bytes[..bytes.len().min(BLOCK_BYTES as usize)].to_vec());
        Known { id: FileId(id), proof: hasher.proof(), milestones: head.milestones(), has_same_line: true }
    }

    fn identity(path: &Path, before: Option<u32>, known: Vec<Known>, holder: Option<&Path>) -> Identity {
        let source = Source::open(path).unwrap();
        let head = Head::read(&source).unwrap();
        let holder = |_| holder.map(|path| Source::open(path).unwrap());
        let before = before.map(FileId);
        let looking = Looking { source: &source, head: &head, before, holder: &holder, give_up: &|| false };
        identify(&looking, known).unwrap()
    }

    fn lines(tag: &str, count: usize) -> Vec<u8> {
        (0..count).flat_map(|number| format!("{tag} {number:06} some more of a line\n").into_bytes()).collect()
    }

    #[test]
    fn a_file_holds_the_longest_content_it_begins_with() {
        let folder = Folder::new();
        for count in [3, 5_000] {
            let bytes = lines("a", count);
            let path = folder.file("access.log", &[&bytes[..], b"more\n"].concat());
            let all = vec![known(1, &bytes[..62]), known(2, &bytes), known(3, &lines("b", count))];
            assert_eq!(identity(&path, None, all, None), Identity::Known(FileId(2)));
        }
    }

    #[test]
    fn a_head_in_common_makes_no_copy() {
        let folder = Folder::new();
        let head = lines("health check", 2_000);
        let path = folder.file("b/access.log", &[&head[..], &lines("b", 10)].concat());
        let other = [&head[..], &lines("a", 20)].concat();
        let holder = folder.file("a/access.log", &other);
        assert_eq!(identity(&path, None, vec![known(1, &other)], Some(&holder)), Identity::New);
        assert_eq!(identity(&path, None, vec![known(1, &other)], None), Identity::Unsure(FileId(1)));
    }

    #[test]
    fn an_older_copy_is_one_if_a_file_that_holds_the_content_shows_it() {
        let folder = Folder::new();
        let bytes = lines("a", 200);
        let path = folder.file("access.log.bak", &bytes[..3_000]);
        let holder = folder.file("access.log", &bytes);
        let copy = identity(&path, None, vec![known(1, &bytes)], Some(&holder));
        assert!(matches!(copy, Identity::Copy(FileId(1), proof) if proof.at == 3_000), "{copy:?}");
        let other = folder.file("access.log.new", &lines("b", 80));
        assert_eq!(identity(&other, None, vec![known(1, &bytes)], None), Identity::New, "its first bytes tell");
    }

    #[test]
    fn one_file_that_shows_a_copy_is_enough() {
        let folder = Folder::new();
        let bytes = lines("a", 200);
        let path = folder.file("access.log.bak", &bytes[..3_000]);
        let holder = folder.file("access.log", &bytes);
        let (source, no_file) = (Source::open(&path).unwrap(), FileId(1));
        let holder = |id| (id != no_file).then(|| Source::open(&holder).unwrap());
        let head = Head::read(&source).unwrap();
        let looking = Looking { source: &source, head: &head, before: None, holder: &holder, give_up: &|| false };
        let copy = identify(&looking, vec![known(1, &bytes[..3_500]), known(2, &bytes)]).unwrap();
        assert!(matches!(copy, Identity::Copy(FileId(2), _)), "{copy:?}");
    }

    #[test]
    fn one_line_in_common_or_another_folder_is_another_server() {
        let folder = Folder::new();
        let line = lines("a", 1);
        let holder = folder.file("web1.log", &line);
        let grown = folder.file("web2.log", &[&line[..], &lines("b", 3)].concat());
        assert_eq!(identity(&grown, None, vec![known(1, &line)], Some(&holder)), Identity::New);
        assert_eq!(identity(&grown, None, vec![known(1, &line)], None), Identity::Known(FileId(1)), "rotated");
        assert_eq!(identity(&grown, Some(1), vec![known(1, &line)], Some(&holder)), Identity::Known(FileId(1)));
        let three = known(1, &lines("a", 3));
        let holder_of_three = folder.file("web4.log", &lines("a", 3));
        let shorter = folder.file("web5.log", &line);
        assert_eq!(identity(&shorter, None, vec![three.clone()], Some(&holder_of_three)), Identity::New, "one line");
        let elsewhere = folder.file("other/web4.log", &lines("a", 2));
        assert_eq!(identity(&elsewhere, None, vec![three], Some(&holder_of_three)), Identity::New, "another folder");
        let copy = folder.file("web3.log", &line);
        assert_eq!(identity(&copy, None, vec![known(1, &line)], Some(&holder)), Identity::Known(FileId(1)));
    }

    #[test]
    fn the_first_line_is_the_first_that_says_something() {
        let head = |text: &str| Head::of(text.as_bytes().to_vec());
        let plain = head("line\nmore\n").line_key();
        for text in ["#Version: 1.0\n#Fields: a\nline\n", "\0\0\0line\n", "\n \nline\n", "#x\r\n\0line\n"] {
            assert_eq!(head(text).line_key(), plain, "{text:?}");
        }
        assert_ne!(head("#Version: 1.0\n").line_key(), plain);
    }
}
