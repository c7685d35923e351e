//! The lines of an answer, while its pieces come in.

/// A piece of a line is taken for a line when the rest does not come within this.
const LINE_BYTES_MAX: usize = 16_000;

/// Pieces of an answer to lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    pub(super) fn feed(&mut self, mut part: &[u8], give: &mut impl FnMut(&[u8])) {
        while let Some(end) = part.iter().position(|byte| *byte == b'\n') {
            self.keep(&part[..end]);
            self.finish(give);
            part = &part[end + 1..];
        }
        self.keep(part);
    }

    /// The rest of an endless line is let go.
    fn keep(&mut self, part: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&part[..part.len().min(room)]);
    }

    pub(super) fn finish(&mut self, give: &mut impl FnMut(&[u8])) {
        if !self.begun.is_empty() {
            give(self.begun.trim_ascii_end());
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_pieces_and_bounded() {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for part in ["on", "e\r\ntw", "o\n\nthree", ""] {
            lines.feed(part.as_bytes(), &mut |line: &[u8]| found.push(String::from_utf8_lossy(line).into_owned()));
        }
        lines.finish(&mut |line: &[u8]| found.push(String::from_utf8_lossy(line).into_owned()));
        assert_eq!(found, ["one", "two", "three"]);
        let mut lines = Lines::default();
        (0..1_000).for_each(|_| lines.feed(&[b'x'; 1_000], &mut |_| {}));
        assert_eq!(lines.begun.len(), LINE_BYTES_MAX);
    }
}
