//! The text of a configuration, with the edits that an operator makes by hand and seldom gets right.

use std::collections::BTreeMap;
use std::ops::Range;

use super::scan::{self, Entry, Item, Open};
use super::value::Value;

/// A configuration that cannot be edited safely. Its text is never repeated here: it holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IniError {
    /// Nothing in it, as while somebody else writes it.
    #[error("the file is empty")]
    Empty,
    /// Without its first line the web server would show the file to everybody.
    #[error("its first line is not the guard `; <?php exit; ?> …`")]
    NoGuard,
    /// A configuration without a database is none.
    #[error("there is no section [database]")]
    NoDatabase,
    /// PHP keeps only the last of them, whole.
    #[error("the section [{name}] occurs more than once, on lines {lines}: PHP reads only the last one")]
    SectionTwice {
        /// Which.
        name: String,
        /// Where, as a comma list.
        lines: String,
    },
    /// Everything behind it is one value.
    #[error("a quote opens on line {line} and is never closed")]
    OpenQuote {
        /// Where.
        line: usize,
    },
    /// PHP cannot read it.
    #[error("a section's name opens on line {line} and is never closed")]
    OpenBracket {
        /// Where.
        line: usize,
    },
}

impl IniError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            IniError::Empty => {
                "Matomo may be writing it this very moment: try again; else put the copy of a backup in its place"
            }
            IniError::NoGuard => "put the line `; <?php exit; ?> DO NOT REMOVE THIS LINE` first; nothing was changed",
            IniError::NoDatabase => "is this Matomo's configuration? set MATOMO_CONFIG; nothing was changed",
            IniError::SectionTwice { .. } => "join the sections by hand: which one was meant, only you know",
            IniError::OpenQuote { .. } | IniError::OpenBracket { .. } => "close it by hand; nothing was changed",
        }
    }
}

/// A configuration that can be edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    text: Vec<u8>,
    items: Vec<Item>,
}

impl Document {
    /// Reads a configuration, and refuses one that an edit could damage further.
    pub fn parse(text: Vec<u8>) -> Result<Self, IniError> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(IniError::Empty);
        }
        let items = scan::items(&text).map_err(|open| match open {
            Open::Quote { at } => IniError::OpenQuote { line: line_of(&text, at) },
            Open::Bracket { at } => IniError::OpenBracket { line: line_of(&text, at) },
        })?;
        let document = Self { text, items };
        document.check()?;
        Ok(document)
    }

    /// Reads a file of defaults, which is only looked at: it needs neither guard nor database.
    pub fn lenient(text: Vec<u8>) -> Option<Self> {
        let items = scan::items(&text).ok()?;
        Some(Self { text, items })
    }

    fn check(&self) -> Result<(), IniError> {
        if !is_guard(self.text.split(|byte| *byte == b'\n').next().unwrap_or_default()) {
            return Err(IniError::NoGuard);
        }
        let sections: Vec<(&[u8], usize)> =
            self.sections().map(|(name, _)| (&self.text[name.clone()], name.start)).collect();
        for (place, (name, _)) in sections.iter().enumerate() {
            if sections[..place].iter().any(|(other, _)| other == name) {
                let places = sections.iter().filter(|(other, _)| other == name);
                let lines: Vec<String> = places.map(|(_, at)| line_of(&self.text, *at).to_string()).collect();
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(IniError::SectionTwice { name, lines: lines.join(", ") });
            }
        }
        if self.section("database").is_none() { Err(IniError::NoDatabase) } else { Ok(()) }
    }

    /// The whole text.
    pub fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// The value as it is written, quotes included; where a key occurs twice, the last, which is the one PHP takes.
    pub fn raw(&self, section: &str, key: &str) -> Option<&[u8]> {
        self.entry(section, key).map(|entry| &self.text[entry.value.clone()])
    }

    /// The value without quotes and escapes; nothing when there is none, or none that can be read.
    pub fn get(&self, section: &str, key: &str) -> Option<String> {
        super::decode(self.raw(section, key)?)
    }

    /// The values of all entries of this name, as of a list `key[]`; those that cannot be read are left out.
    pub fn list(&self, section: &str, key: &str) -> Vec<String> {
        let entries = self.entries_of(section).filter(|entry| self.text[entry.key.clone()] == *key.as_bytes());
        entries.filter_map(|entry| super::decode(&self.text[entry.value.clone()])).collect()
    }

    /// Whether a key stands there without a `=`.
    pub fn is_bare(&self, section: &str, key: &str) -> bool {
        self.entry(section, key).is_some_and(|entry| !entry.assigned)
    }

    /// Names of all keys by section, each once; no values.
    pub fn keys(&self) -> BTreeMap<String, Vec<String>> {
        let lossy = |range: &Range<usize>| String::from_utf8_lossy(&self.text[range.clone()]).into_owned();
        let mut all = BTreeMap::new();
        for (name, _) in self.sections() {
            let section = lossy(name);
            let mut keys: Vec<String> = self.entries_of(&section).map(|entry| lossy(&entry.key)).collect();
            keys.dedup();
            all.insert(section, keys);
        }
        all
    }

    /// Whether there is a section of this name.
    pub fn has_section(&self, section: &str) -> bool {
        self.section(section).is_some()
    }

    /// Gives a key a value: the value alone changes where the key exists; else the key is put first in its section, and
    /// the section at the end of the file when there is none.
    pub fn set(&mut self, section: &str, key: &str, value: &Value) {
        self.put(section, key, value.as_str().as_bytes());
    }

    /// As [`Document::set`], with a value as [`Document::raw`] gave it, quotes included.
    pub fn put_back(&mut self, section: &str, key: &str, raw: &str) {
        self.put(section, key, raw.as_bytes());
    }

    /// Takes the `=` and the value of a key away, so that it stands there bare.
    pub fn strip(&mut self, section: &str, key: &str) {
        if let Some(entry) = self.entry(section, key).filter(|entry| entry.assigned) {
            self.splice(entry.key.end..entry.value.end.max(entry.key.end), b"");
        }
    }

    fn put(&mut self, section: &str, key: &str, value: &[u8]) {
        if let Some(entry) = self.entry(section, key) {
            let (range, assigned) = (entry.value.clone(), entry.assigned);
            let prefix = if assigned { "" } else { " = " };
            // A bare key ends where its blanks begin.
            let range = if assigned { range } else { entry.key.end..entry.key.end };
            return self.splice(range, &[prefix.as_bytes(), value].concat());
        }
        let line_end = self.line_end();
        if let Some(end) = self.section(section) {
            let at = self.behind_header(section, end);
            // A text whose last line has no end keeps none: what is added is all that has to go again.
            let (before, after) = if self.text[..at].ends_with(b"\n") { ("", line_end) } else { (line_end, "") };
            let line = [before.as_bytes(), key.as_bytes(), b" = ", value, after.as_bytes()].concat();
            return self.splice(at..at, &line);
        }
        let (before, after) = if self.text.ends_with(b"\n") { ("", line_end) } else { (line_end, "") };
        let end = self.text.len();
        let header = format!("{before}[{section}]{line_end}{key} = ");
        self.splice(end..end, &[header.as_bytes(), value, after.as_bytes()].concat());
    }

    /// Takes a key away, with its line, so that Matomo's default counts again.
    pub fn remove(&mut self, section: &str, key: &str) {
        while let Some(entry) = self.entry(section, key) {
            let (key, end) = (entry.key.start, entry.value.end.max(entry.key.end));
            let header = self.section(section).unwrap_or_default();
            let line = self.line_begin(key);
            // A key on the line of its header leaves that line standing.
            if line < header {
                self.splice(header..self.behind_line(end), self.line_end().as_bytes());
            } else {
                self.remove_lines(line, end);
            }
        }
    }

    /// Takes lines away, from the beginning of one to the end of that of `end`. The last line of a text that does not end
    /// with a line end takes the one in front of it along.
    fn remove_lines(&mut self, begin: usize, end: usize) {
        let end = self.behind_line(end);
        let is_open = end == self.text.len() && !self.text.ends_with(b"\n");
        let before = &self.text[..begin];
        let line_end = if before.ends_with(b"\r\n") { 2 } else { usize::from(before.ends_with(b"\n")) };
        self.splice(if is_open { begin - line_end } else { begin }..end, b"");
    }

    /// Takes a section away that holds no entry any more.
    pub fn remove_empty_section(&mut self, section: &str) {
        if self.entries_of(section).next().is_some() {
            return;
        }
        if let Some(end) = self.section(section) {
            // The name stands on the line of its closing bracket.
            self.remove_lines(self.line_begin(end), end);
        }
    }

    /// Puts the lines of a section of another configuration in the place of the same section here.
    pub fn adopt_section(&mut self, other: &Document, section: &str) {
        if let (Some(ours), Some(theirs)) = (self.body(section), other.body(section)) {
            let mut lines = other.text[theirs].to_vec();
            if !lines.ends_with(b"\n") && ours.end < self.text.len() {
                lines.push(b'\n');
            }
            self.splice(ours, &lines);
        }
    }

    /// Behind the header's line, its comment included, and behind the entries that begin on it.
    fn behind_header(&self, section: &str, end: usize) -> usize {
        let line = self.behind_line(end);
        let on_line = self.entries_of(section).take_while(|entry| entry.key.start < line);
        on_line.last().map_or(line, |entry| self.behind_line(entry.value.end.max(end)))
    }

    /// From behind a section's header to the line of the next header.
    fn body(&self, section: &str) -> Option<Range<usize>> {
        let begin = self.section(section)?;
        let next = self.sections().map(|(name, _)| name.start).find(|start| *start > begin);
        Some(begin..next.map_or(self.text.len(), |start| self.line_begin(start)))
    }

    fn splice(&mut self, range: Range<usize>, bytes: &[u8]) {
        self.text.splice(range, bytes.iter().copied());
        // An edit replaces a whole value, or adds or removes whole lines: what was readable stays so.
        self.items = scan::items(&self.text).unwrap_or_default();
    }

    /// Each section's name, and where its bracket closes.
    fn sections(&self) -> impl Iterator<Item = (&Range<usize>, usize)> {
        self.items.iter().filter_map(|item| match item {
            Item::Section { name, end } => Some((name, *end)),
            Item::Entry(_) => None,
        })
    }

    fn section(&self, wanted: &str) -> Option<usize> {
        self.sections().find(|(name, _)| self.text[(*name).clone()] == *wanted.as_bytes()).map(|(_, end)| end)
    }

    fn entries_of(&self, section: &str) -> impl Iterator<Item = &Entry> {
        let is_header =
            |item: &Item| matches!(item, Item::Section { name, .. } if self.text[name.clone()] == *section.as_bytes());
        let begin = self.items.iter().position(is_header).map_or(self.items.len(), |place| place + 1);
        self.items[begin..].iter().map_while(|item| match item {
            Item::Entry(entry) => Some(entry),
            Item::Section { .. } => None,
        })
    }

    fn entry(&self, section: &str, key: &str) -> Option<&Entry> {
        self.entries_of(section).filter(|entry| self.text[entry.key.clone()] == *key.as_bytes()).last()
    }

    fn line_begin(&self, at: usize) -> usize {
        memchr::memrchr(b'\n', &self.text[..at]).map_or(0, |end| end + 1)
    }

    fn behind_line(&self, at: usize) -> usize {
        memchr::memchr(b'\n', &self.text[at..]).map_or(self.text.len(), |distance| at + distance + 1)
    }

    /// The line end of the guard line is the one the file was written with.
    fn line_end(&self) -> &'static str {
        match memchr::memchr(b'\n', &self.text) {
            Some(at) if at > 0 && self.text[at - 1] == b'\r' => "\r\n",
            _ => "\n",
        }
    }
}

fn is_guard(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    line.starts_with(b";") && memchr::memmem::find(line, b"<?php exit").is_some()
}

fn line_of(text: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', &text[..at]).count() + 1
}
