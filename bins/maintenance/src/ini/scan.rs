//! Cuts the text of an ini file into sections and entries where PHP's own scanner cuts it.
//! Quotes may hold line ends, so a line that looks like a section can be part of a value.

use std::ops::Range;

/// What the text consists of, besides comments and blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// `[name]`, without the brackets.
    Section { name: Range<usize>, end: usize },
    /// `key = value`.
    Entry(Entry),
}

/// Where the parts of an entry lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Without the blanks around it; an array's name keeps its brackets.
    pub key: Range<usize>,
    /// Without the blanks around it, quotes included; empty where nothing follows the `=` or there is none.
    pub value: Range<usize>,
    /// Whether there is a `=`.
    pub assigned: bool,
}

/// The text ends inside something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    Quote { at: usize },
    Bracket { at: usize },
}

/// Every section and entry, in order.
pub(super) fn items(text: &[u8]) -> Result<Vec<Item>, Open> {
    let mut scan = Scan { text, at: 0 };
    let mut found = Vec::new();
    loop {
        scan.skip(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        match scan.peek() {
            None => return Ok(found),
            Some(b';') => scan.skip(|byte| !is_line_end(byte)),
            Some(b'[') => found.push(scan.section()?),
            Some(_) => found.push(Item::Entry(scan.entry()?)),
        }
    }
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// What stands between the brackets is the name, blanks included; quotes may hold a bracket.
    fn section(&mut self) -> Result<Item, Open> {
        let open = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b']') => break,
                Some(b'"') => self.double_quoted()?,
                None | Some(b'\r' | b'\n') => return Err(Open::Bracket { at: open }),
                Some(_) => self.at += 1,
            }
        }
        let name = open + 1..self.at;
        self.at += 1;
        Ok(Item::Section { name, end: self.at })
    }

    fn entry(&mut self) -> Result<Entry, Open> {
        let begin = self.at;
        self.skip(|byte| !is_line_end(byte) && !matches!(byte, b'=' | b';'));
        let key = begin..trimmed_end(self.text, begin, self.at);
        if self.peek() != Some(b'=') {
            // A bare word is an entry with no value; what follows a `;` is a comment.
            return Ok(Entry { value: self.at..self.at, key, assigned: false });
        }
        self.at += 1;
        self.skip(is_blank);
        let begin = self.at;
        self.value()?;
        Ok(Entry { key, value: begin..trimmed_end(self.text, begin, self.at), assigned: true })
    }

    fn value(&mut self) -> Result<(), Open> {
        let mut begins_word = true;
        while let Some(byte) = self.peek() {
            match byte {
                b'\r' | b'\n' | b';' => return Ok(()),
                b'"' => {
                    self.double_quoted()?;
                    begins_word = true;
                }
                // An apostrophe within a word, or one that nothing closes, is an ordinary letter.
                b'\'' if begins_word && self.closing_apostrophe().is_some() => {
                    self.at = self.closing_apostrophe().unwrap_or(self.at) + 1;
                }
                _ => {
                    self.at += 1;
                    begins_word = is_blank(byte);
                }
            }
        }
        Ok(())
    }

    fn closing_apostrophe(&self) -> Option<usize> {
        memchr::memchr(b'\'', self.text.get(self.at + 1..)?).map(|distance| self.at + 1 + distance)
    }

    /// A quote behind a backslash belongs to the value, unless it ends the line: PHP takes `"C:\"` as closed.
    fn double_quoted(&mut self) -> Result<(), Open> {
        let open = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(Open::Quote { at: open }),
                Some(b'"') => {
                    let escaped = self.text[self.at - 1] == b'\\' && self.at - 1 > open;
                    let ends_line = self.text.get(self.at + 1).is_none_or(|next| is_line_end(*next));
                    self.at += 1;
                    if !escaped || ends_line {
                        return Ok(());
                    }
                }
                Some(b'\\') if self.text.get(self.at + 1).is_some_and(|next| *next != b'"') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn trimmed_end(text: &[u8], begin: usize, end: usize) -> usize {
    let blanks = text[begin..end].iter().rev().take_while(|byte| is_blank(**byte)).count();
    end - blanks
}
