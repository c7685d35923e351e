//! Cuts a stream of bytes into lines, and proves which bytes stood before the last one; memory is bounded whatever the stream
//! holds.

use std::io::{self, Read};
use std::path::PathBuf;

use super::ReadError;
use super::prefix::{PrefixHasher, Proof};

/// A line longer than this is counted as malformed, its bytes are passed over.
pub const LINE_BYTES_MAX: usize = 1 << 20;

const BUFFER_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line, without its terminator (CR, LF or CRLF, as the reference importer reads them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'b> {
    /// Where it starts, in original bytes from the start of the file.
    pub offset: u64,
    /// Where the next line starts.
    pub end: u64,
    /// Its bytes; of an overlong line only the first ones.
    pub bytes: &'b [u8],
    /// A terminator was seen; false only for the last line of a stream.
    pub terminated: bool,
    /// Longer than [`LINE_BYTES_MAX`].
    pub overlong: bool,
}

/// The lines of one stream, one after another.
pub struct Lines {
    path: PathBuf,
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    ended: bool,
    offset: u64,
    hasher: PrefixHasher,
    /// Up to here the buffer was hashed; the rest follows before it leaves the buffer.
    hashed: usize,
    nul_bytes: u64,
}

impl Lines {
    /// Lines of `source`; its first byte lies where `hasher` stands in the file `path`.
    pub fn new(path: PathBuf, source: Box<dyn Read + Send>, hasher: PrefixHasher) -> Self {
        Self {
            path,
            source,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            filled: 0,
            ended: false,
            offset: hasher.at(),
            hasher,
            hashed: 0,
            nul_bytes: 0,
        }
    }

    /// What stands before the next line: all bytes up to the end of the last one.
    pub fn proof(&mut self) -> Proof {
        self.hash_to(self.start);
        self.hasher.proof()
    }

    /// Bytes of holes so far: runs of NUL before a line, as a writer leaves them that goes on behind the end of a file that
    /// was truncated. They belong to no line.
    pub fn nul_bytes(&self) -> u64 {
        self.nul_bytes
    }

    /// The same, with so many bytes read at once. To be said before the first line is read.
    #[must_use]
    pub fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.buffer = vec![0; bytes];
        self
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// When the source fails, for example an archive cut short.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        let found = match self.find_line() {
            Ok(found) => found,
            Err(error) => return Err(ReadError::Read { path: self.path.clone(), error }),
        };
        let Some(found) = found else { return Ok(None) };
        let offset = self.offset;
        let begin = self.start;
        self.offset += found.skipped + (found.next - begin) as u64;
        self.start = found.next;
        let mut bytes = &self.buffer[begin..found.end];
        if offset == 0 {
            bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        }
        Ok(Some(Line { offset, end: self.offset, bytes, terminated: found.terminated, overlong: found.overlong }))
    }

    /// The first byte of the next line, or of its terminator if it is empty; `None` at the end.
    ///
    /// # Errors
    /// As [`Lines::next_line`].
    pub fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            let unread = &self.buffer[self.start..self.filled];
            if unread.len() > BYTE_ORDER_MARK.len() || self.ended {
                let mark = unread.strip_prefix(BYTE_ORDER_MARK).filter(|_| self.offset == 0);
                return Ok(mark.unwrap_or(unread).first().copied());
            }
            self.fill().map_err(|error| ReadError::Read { path: self.path.clone(), error })?;
        }
    }

    fn find_line(&mut self) -> io::Result<Option<Found>> {
        self.pass_nul()?;
        let mut scanned = 0;
        loop {
            let unread = &self.buffer[self.start..self.filled];
            if let Some(at) = memchr::memchr2(b'\n', b'\r', &unread[scanned..]) {
                let at = scanned + at;
                // A CR at the very end may be the first half of a CRLF.
                if unread[at] == b'\n' || at + 1 < unread.len() || self.ended {
                    return Ok(Some(self.cut_at(at)));
                }
                scanned = at;
            } else {
                scanned = unread.len();
            }
            if self.ended {
                return Ok((scanned > 0).then(|| Found::unterminated(self.filled)));
            }
            if scanned > LINE_BYTES_MAX {
                return self.pass_over().map(Some);
            }
            self.fill()?;
        }
    }

    /// Passes over the NUL bytes before a line.
    fn pass_nul(&mut self) -> io::Result<()> {
        loop {
            let unread = &self.buffer[self.start..self.filled];
            let nul = unread.iter().position(|byte| *byte != 0).unwrap_or(unread.len());
            self.start += nul;
            self.offset += nul as u64;
            self.nul_bytes += nul as u64;
            if self.start < self.filled || self.ended {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Hashes the buffer up to `end`, as far as that was not done.
    fn hash_to(&mut self, end: usize) {
        if end > self.hashed {
            self.hasher.update(&self.buffer[self.hashed..end]);
            self.hashed = end;
        }
    }

    fn cut_at(&self, at: usize) -> Found {
        let unread = &self.buffer[self.start..self.filled];
        let crlf = unread[at] == b'\r' && unread.get(at + 1) == Some(&b'\n');
        let end = self.start + at;
        Found { end, next: end + if crlf { 2 } else { 1 }, skipped: 0, terminated: true, overlong: at > LINE_BYTES_MAX }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.move_to_front();
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        self.read_more()
    }

    fn move_to_front(&mut self) {
        if self.start > 0 {
            self.hash_to(self.start);
            self.hashed -= self.start;
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        }
    }

    /// Reads behind what is there. Without room there it would take the file for ended.
    fn read_more(&mut self) -> io::Result<()> {
        let count = loop {
            match self.source.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.filled += count;
        self.ended = count == 0;
        Ok(())
    }

    /// Keeps the head of an overlong line and forgets the rest of it, so that memory stays bounded.
    fn pass_over(&mut self) -> io::Result<Found> {
        // The buffer is longer than a line may be: at its front there is room behind the head.
        self.move_to_front();
        let head_end = self.start + LINE_BYTES_MAX;
        self.hash_to(head_end);
        let mut skipped = 0;
        loop {
            let tail = &self.buffer[head_end..self.filled];
            if let Some(at) = memchr::memchr2(b'\n', b'\r', tail) {
                let line_end = head_end + at;
                if tail[at] == b'\n' || line_end + 1 < self.filled || self.ended {
                    let found = self.cut_at(line_end - self.start);
                    return Ok(Found { end: head_end, skipped, overlong: true, ..found });
                }
                // Only the CR stays, so that the LF that may follow is seen beside it.
                skipped += at as u64;
                self.hasher.update(&tail[..at]);
                self.buffer[head_end] = b'\r';
                self.filled = head_end + 1;
            } else {
                skipped += tail.len() as u64;
                self.hasher.update(tail);
                self.filled = head_end;
            }
            if self.ended {
                let found = Found::unterminated(self.filled);
                return Ok(Found { end: head_end, skipped, overlong: true, ..found });
            }
            self.read_more()?;
        }
    }
}

/// Where in the buffer a line ends and the next begins.
struct Found {
    end: usize,
    next: usize,
    /// Bytes of an overlong line that were not kept in the buffer.
    skipped: u64,
    terminated: bool,
    overlong: bool,
}

impl Found {
    fn unterminated(end: usize) -> Self {
        Self { end, next: end, skipped: 0, terminated: false, overlong: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Drops(Vec<u8>, usize, usize);
    impl Read for Drops {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.2.min(buffer.len()).min(self.0.len() - self.1);
            buffer[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
            self.1 += count;
            Ok(count)
        }
    }

    fn lines(bytes: &[u8], drop: usize) -> Vec<(u64, u64, Vec<u8>, bool, bool)> {
        let mut lines = Lines::new("x".into(), Box::new(Drops(bytes.to_vec(), 0, drop)), PrefixHasher::default());
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            let end = line.end;
            all.push((line.offset, end, line.bytes.to_vec(), line.terminated, line.overlong));
            let mut hasher = PrefixHasher::default();
            hasher.update(&bytes[..end as usize]);
            assert_eq!(lines.proof(), hasher.proof(), "what stands before {end}");
        }
        all
    }

    #[test]
    fn every_kind_of_line_end_ends_a_line() {
        let got: Vec<_> = lines(b"a\nb\r\nc\rd\n\r\ne", 3).into_iter().map(|line| line.2).collect();
        assert_eq!(got, [&b"a"[..], b"b", b"c", b"d", b"", b"e"]);
    }

    #[test]
    fn an_overlong_line_costs_only_itself() {
        let mut bytes = b"first\n".to_vec();
        bytes.extend(vec![b'x'; 3 * LINE_BYTES_MAX]);
        bytes.extend(b"\r\nlast\n");
        let got = lines(&bytes, 70_001);
        assert_eq!(got.len(), 3);
        assert!(got[1].4 && got[1].2.len() == LINE_BYTES_MAX);
        assert_eq!(got[1].1, bytes.len() as u64 - 5);
        assert_eq!((got[2].2.as_slice(), got[2].4), (&b"last"[..], false));
    }

    #[test]
    fn an_overlong_line_that_begins_late_in_the_buffer_does_not_end_the_file() {
        // The first line makes the buffer two lines long, the second leaves the third a byte less than that.
        let mut bytes = vec![b'a'; LINE_BYTES_MAX + 10];
        bytes.push(b'\n');
        bytes.extend(vec![b'b'; LINE_BYTES_MAX - 2]);
        bytes.push(b'\n');
        bytes.extend(vec![b'c'; LINE_BYTES_MAX + 5]);
        bytes.extend(b"\r\nlast\n");
        let got = lines(&bytes, usize::MAX);
        assert_eq!(got.len(), 4);
        assert_eq!((got[2].2.len(), got[2].4), (LINE_BYTES_MAX, true));
        assert_eq!((got[3].1, got[3].2.as_slice()), (bytes.len() as u64, &b"last"[..]));
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_first_line() {
        let got = lines(b"\xef\xbb\xbfa\nb\n", 100);
        assert_eq!((got[0].0, got[0].1, got[0].2.as_slice()), (0, 5, &b"a"[..]));
    }

    #[test]
    fn a_hole_belongs_to_no_line_however_long_it_is() {
        let mut bytes = vec![0; 2 * LINE_BYTES_MAX];
        bytes.extend(b"first\n\0\0second\n\0");
        let begin = 2 * LINE_BYTES_MAX as u64;
        let got: Vec<_> = lines(&bytes, 70_001).into_iter().map(|line| (line.0 - begin, line.2)).collect();
        assert_eq!(got, [(0, b"first".to_vec()), (8, b"second".to_vec())]);
    }

    proptest! {
        #[test]
        fn offsets_join_and_the_size_of_reads_does_not_matter(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a')], 0..200), drop in 1usize..9
        ) {
            let got = lines(&bytes, drop);
            let mut at = 0;
            for line in &got {
                prop_assert_eq!(line.0, at);
                at = line.1;
            }
            prop_assert_eq!(at, bytes.len() as u64);
            prop_assert_eq!(got, lines(&bytes, 1000));
        }
    }
}
