//! Opens a log file for import: whole if it is an archive, its format known, its lines from where the ledger stopped, and its
//! bytes proven to be those that the ledger knows.

use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use shared::shutdown::Shutdown;

use super::pending_lines::PendingLines;
use super::reader::{Ending, Opened};
use crate::discover::Head;
use crate::file::{self, Lines, PrefixHasher, ReadError, Source, Stat, TextEncoding};
use crate::format::{self, Choice, Detector, FormatOptions, Found, Moment, NotFound, Parsed};
use crate::hit::Dates;
use crate::ledger::Content;

/// A last line without an end is taken once nobody has written to the file for so long.
const LAST_LINE_AFTER_NS: i64 = 24 * 3_600 * 1_000_000_000;

/// How to read log files.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Which format, if the operator names one.
    pub format: FormatOptions,
    /// How the bytes of a line become text.
    pub encoding: TextEncoding,
    /// Zone of dates in formats that write none.
    pub zone: Option<jiff::tz::TimeZone>,
    /// The shutdown request: an archive may be long.
    pub shutdown: Shutdown,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its format is none that is known.
    #[error("cannot determine the format of {}; lines looked at: {lines}, the first of them: {sample}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Lines looked at.
        lines: u64,
        /// The first one, as it may be shown.
        sample: String,
    },
    /// Its text is in an encoding that logs do not have.
    #[error("{} is UTF-16 text, not a log file", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold any more what it was seen to hold.
    #[error("{} has changed since it was looked at", path.display())]
    Changed {
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

/// What all lines of a file tell, roughly: whether two files are the same log, with other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// How many lines.
    pub lines: u64,
    /// Whether one of them is dated so.
    pub has_date: bool,
}

/// Lines that may go by before one with a date, when a file is only looked at.
const UNDATED_LINES_MAX: usize = 1000;
/// How often to look whether there is a shutdown request.
const LINES_PER_LOOK: u64 = 4096;

impl Reading {
    /// Looks at the first unsettled lines of a file.
    ///
    /// # Errors
    /// When it cannot be read, or its format is unknown.
    pub fn glance(&self, source: &Source, pending: &PendingLines) -> Result<Glance, OpenError> {
        let Some(Found { name: format, mut parser }) = self.parser(source)? else {
            return Ok(Glance { format: None, begins: None });
        };
        let begin = pending.begin();
        let from = if parser.needs_header() || source.is_packed() { 0 } else { begin };
        let mut lines = file::lines(source, PrefixHasher::unproven(from))?;
        let mut dates = Dates::new(self.zone.clone(), pending.newest_before());
        let (mut looked_at, mut passed) = (0, 0_u64);
        // A damaged archive is found out when it is read to its end, with a better sentence.
        while let Ok(Some(line)) = lines.next_line() {
            passed += 1;
            if passed.is_multiple_of(LINES_PER_LOOK) && self.shutdown.requested() {
                return Err(ReadError::GivenUp { path: source.path().to_owned() }.into());
            }
            if line.offset < begin {
                take_header(&mut *parser, line.bytes);
                continue;
            }
            if let Parsed::Record(record) = parser.parse(line.bytes)
                && let Some(begins) = dates.read(&record.date)
            {
                return Ok(Glance { format: Some(format), begins: Some(begins) });
            }
            looked_at += 1;
            if looked_at >= UNDATED_LINES_MAX {
                break;
            }
        }
        Ok(Glance { format: Some(format), begins: None })
    }

    /// Reads all lines of a file for how many there are, and whether one is dated `seconds`.
    ///
    /// # Errors
    /// When it cannot be read, or its format is unknown.
    pub fn outline(&self, source: &Source, seconds: i64) -> Result<Outline, OpenError> {
        let mut outline = Outline { lines: 0, has_date: false };
        let Some(Found { mut parser, .. }) = self.parser(source)? else { return Ok(outline) };
        let mut lines = file::lines(source, PrefixHasher::default())?;
        let mut dates = Dates::new(self.zone.clone(), None);
        while let Some(line) = lines.next_line()? {
            outline.lines += 1;
            if outline.lines.is_multiple_of(LINES_PER_LOOK) && self.shutdown.requested() {
                return Err(ReadError::GivenUp { path: source.path().to_owned() }.into());
            }
            if let Parsed::Record(record) = parser.parse(line.bytes) {
                outline.has_date |= dates.read(&record.date).is_some_and(|moment| moment.seconds == seconds);
            }
        }
        Ok(outline)
    }

    /// Opens a file for import; tells the name of its format, too. `None` if there is no line in it.
    ///
    /// # Errors
    /// When it cannot be read, is an archive cut short, of unknown format, or does not hold what the ledger knows of it.
    pub fn open(
        &self,
        source: Source,
        content: &Content,
        pending: PendingLines,
        takes_last_line: bool,
    ) -> Result<Option<(&'static str, Opened)>, OpenError> {
        source.verify(&|| self.shutdown.requested())?;
        let Some(Found { name, parser }) = self.parser(&source)? else { return Ok(None) };
        let begin = pending.begin();
        let from = if parser.needs_header() || source.is_packed() { 0 } else { begin };
        let hasher = self.hasher_at(&source, content, from)?;
        let begins_cut = content.cut && begin > 0 && begin == content.checkpoint;
        let opened = Opened {
            file: content.id,
            lines: file::lines(&source, hasher)?,
            parser,
            dates: Dates::new(self.zone.clone(), pending.newest_before()),
            pending,
            begins_cut,
            ending: Ending::MayGrow { takes_last_line },
            encoding: self.encoding,
            source: Some(source),
        };
        Ok(Some((name, opened)))
    }

    /// A hasher that stands at `from`, and has seen what the ledger knows of the bytes around it.
    fn hasher_at(&self, source: &Source, content: &Content, from: u64) -> Result<PrefixHasher, OpenError> {
        if from == 0 || source.is_packed() {
            return Ok(PrefixHasher::default());
        }
        let changed = || OpenError::Changed { path: source.path().to_owned() };
        let mut hasher = PrefixHasher::default();
        let proof = content.proof;
        if from >= proof.block_begin() {
            if !source.ends_as(&proof)? {
                return Err(changed());
            }
            hasher = PrefixHasher::at_block_of(&proof);
        }
        let mut bytes = source.plain_from(hasher.at()).take(from - hasher.at());
        let mut piece = vec![0; 64 * 1024];
        loop {
            if self.shutdown.requested() {
                return Err(ReadError::GivenUp { path: source.path().to_owned() }.into());
            }
            let count = file::read_full(&mut bytes, &mut piece)
                .map_err(|error| ReadError::Read { path: source.path().to_owned(), error })?;
            hasher.update(&piece[..count]);
            if count < piece.len() {
                break;
            }
        }
        if hasher.at() == from { Ok(hasher) } else { Err(changed()) }
    }

    /// The parser for a file, by its first lines unless the operator named the format.
    ///
    /// # Errors
    /// When the file cannot be read, or no format fits.
    pub fn parser(&self, source: &Source) -> Result<Option<Found>, OpenError> {
        match self.named() {
            Some(choice) => Ok(Some(Found { name: choice.name(), parser: choice.parser() })),
            None => self.detect(&mut file::lines(source, PrefixHasher::default())?, source.path()),
        }
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
        let (mut looked_at, mut sample) = (0, None);
        // A header without a line below it is a file in which nothing happened yet.
        let mut only_comments = true;
        while !detector.exhausted() {
            let Some(line) = lines.next_line()? else { break };
            if looked_at == 0 && (line.bytes.starts_with(b"\xff\xfe") || line.bytes.starts_with(b"\xfe\xff")) {
                return Err(OpenError::Utf16 { path: path.to_owned() });
            }
            looked_at += 1;
            let is_comment = line.bytes.first().is_none_or(|&byte| byte == b'#');
            only_comments &= is_comment;
            if !is_comment && sample.is_none() {
                sample = Some(crate::matomo::bulk::excerpt(line.bytes));
            }
            if let Some(found) = detector.offer(line.bytes) {
                return Ok(Some(found));
            }
        }
        match detector.not_found() {
            NotFound::Empty => Ok(None),
            NotFound::Undetectable { .. } if only_comments => Ok(None),
            NotFound::Undetectable { lines } => {
                let (path, sample) = (path.to_owned(), sample.unwrap_or_default());
                Err(OpenError::UnknownFormat { path, lines, sample })
            }
        }
    }
}

/// A header line shapes the lines after it even where it is not wanted itself.
pub(super) fn take_header(parser: &mut (dyn format::LineParser + Send), line: &[u8]) {
    if parser.needs_header() && line.starts_with(b"#") {
        let _ = parser.parse(line);
    }
}

/// Whether a file still begins as it did when it was looked at.
pub(super) fn begins_as(source: &Source, content: &Content) -> Result<bool, ReadError> {
    let head = Head::read(source)?;
    let is_as_long = content.milestones.len() <= head.milestones().len();
    Ok(is_as_long && head.agrees_with(&content.milestones) && head.line_key() == content.line_key)
}

/// Whether nobody has written to a file for so long that its last line is taken although it has no end.
pub(super) fn is_left_alone(stat: &Stat, now: Timestamp) -> bool {
    now.as_nanosecond() as i64 - stat.modified_ns >= LAST_LINE_AFTER_NS
}
