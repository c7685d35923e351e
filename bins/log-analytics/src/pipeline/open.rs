//! Opens a log file for import: whole if it is an archive, its format known, its lines from where the ledger stopped.

use std::path::{Path, PathBuf};

use shared::shutdown::Shutdown;

use super::cursor::{Ending, Opened};
use super::wanted::Wanted;
use crate::file::{self, Lines, ReadError, TextEncoding};
use crate::format::{self, Choice, Detector, FormatOptions, Found, Moment, NotFound, Parsed};
use crate::hit::Clock;
use crate::ledger::FileId;

/// How to read log files.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Which format, if the operator names one.
    pub format: FormatOptions,
    /// How the bytes of a line become text.
    pub encoding: TextEncoding,
    /// Zone of dates in formats that write none.
    pub zone: Option<jiff::tz::TimeZone>,
    /// The wish to stop: an archive may be long.
    pub shutdown: Shutdown,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its format is none that is known.
    #[error("cannot determine the format of {}; lines looked at: {lines}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Lines looked at.
        lines: u64,
    },
    /// Its text is in an encoding that logs do not have.
    #[error("{} is UTF-16 text, not a log file", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
}

/// What a first look at a file's lines tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// Name of the format; `None` for a file without a line.
    pub format: Option<&'static str>,
    /// Date of the first line that has one.
    pub begins: Option<Moment>,
}

/// Lines that may go by before one with a date, when a file is only looked at.
const UNDATED_LINES_MAX: usize = 1000;

impl Reading {
    /// Looks at the first unsettled lines of a file.
    ///
    /// # Errors
    /// When it cannot be read, or its format is unknown.
    pub fn glance(&self, path: &Path, wanted: &Wanted) -> Result<Glance, OpenError> {
        let Some(Found { name: format, mut parser }) = self.parser(path)? else {
            return Ok(Glance { format: None, begins: None });
        };
        let begin = if parser.needs_header() { 0 } else { wanted.begin() };
        let mut lines = self.lines_from(path, begin)?;
        let mut clock = Clock::new(self.zone.clone());
        let mut begins = None;
        for _ in 0..UNDATED_LINES_MAX {
            // A damaged archive is found out when it is read to its end, with a better sentence.
            let Ok(Some(line)) = lines.next_line() else { break };
            if let Parsed::Record(record) = parser.parse(line.bytes) {
                begins = clock.read(&record.date);
            }
            if begins.is_some() {
                break;
            }
        }
        Ok(Glance { format: Some(format), begins })
    }

    /// Opens a file for import. `None` if there is no line in it.
    ///
    /// # Errors
    /// When it cannot be read, is an archive cut short, or of unknown format.
    pub fn open(
        &self,
        path: &Path,
        file: FileId,
        wanted: Wanted,
        begins_cut: bool,
    ) -> Result<Option<Opened>, OpenError> {
        self.verify(path)?;
        let Some(Found { parser, .. }) = self.parser(path)? else { return Ok(None) };
        let begin = if parser.needs_header() { 0 } else { wanted.begin() };
        let lines = self.lines_from(path, begin)?;
        let begins_cut = begins_cut && begin > 0 && begin == wanted.begin();
        let encoding = self.encoding;
        Ok(Some(Opened { file, lines, parser, wanted, begins_cut, ending: Ending::MayGrow, encoding }))
    }

    /// The parser for a file, by its first lines unless the operator named the format.
    ///
    /// # Errors
    /// When the file cannot be read, or no format fits.
    pub fn parser(&self, path: &Path) -> Result<Option<Found>, OpenError> {
        match self.named() {
            Some(choice) => Ok(Some(Found { name: choice.name(), parser: choice.parser() })),
            None => self.detect(&mut self.lines_from(path, 0)?, path),
        }
    }

    /// See [`file::verify`].
    ///
    /// # Errors
    /// When the archive is cut short or damaged, or there is a wish to stop.
    pub fn verify(&self, path: &Path) -> Result<(), ReadError> {
        file::verify(path, &|| self.shutdown.requested())
    }

    /// See [`file::lines_from`].
    ///
    /// # Errors
    /// When it cannot be read, or there is a wish to stop.
    pub fn lines_from(&self, path: &Path, offset: u64) -> Result<Lines, ReadError> {
        file::lines_from(path, offset, &|| self.shutdown.requested())
    }

    /// The format that the operator named, if any. Its options were checked when they were read.
    pub fn named(&self) -> Option<Choice> {
        format::named(&self.format).ok().flatten()
    }

    /// Finds the format of some lines.
    ///
    /// # Errors
    /// When they cannot be read, or no format fits.
    pub fn detect(&self, lines: &mut Lines, path: &Path) -> Result<Option<Found>, OpenError> {
        let mut detector = Detector::new(&self.format);
        let mut looked_at = 0;
        // A header without a line below it is a file in which nothing happened yet.
        let mut only_comments = true;
        while !detector.exhausted() {
            let Some(line) = lines.next_line()? else { break };
            if looked_at == 0 && (line.bytes.starts_with(b"\xff\xfe") || line.bytes.starts_with(b"\xfe\xff")) {
                return Err(OpenError::Utf16 { path: path.to_owned() });
            }
            looked_at += 1;
            only_comments &= line.bytes.first().is_none_or(|&byte| byte == b'#');
            if let Some(found) = detector.offer(line.bytes) {
                return Ok(Some(found));
            }
        }
        match detector.not_found() {
            NotFound::Empty => Ok(None),
            NotFound::Undetectable { .. } if only_comments => Ok(None),
            NotFound::Undetectable { lines } => Err(OpenError::UnknownFormat { path: path.to_owned(), lines }),
        }
    }
}
