//! One open file, read as the hits that are still to be sent.

use std::collections::HashMap;

use super::open::take_header;
use super::pending_lines::PendingLines;
use crate::file::{Lines, Proof, ReadError, Source, Stat, TextEncoding};
use crate::format::{LineParser, Moment, Parsed};
use crate::hit::{Dates, Judge, Site, Skip, Skipped, Verdict};
use crate::ledger::{FileId, Spans};
use crate::merge::{Origin, Queued};
use crate::summary::{Counts, Place};

/// A line dated further ahead than this is a mistake; one dated less far is a clock or a zone that differs,
/// and its file waits until its time has come.
const WAIT_FOR_FUTURE_SECONDS: i64 = 48 * 60 * 60;

/// Which site a hit goes to.
#[derive(Debug)]
pub enum Sites {
    /// The same for all.
    One(Site),
    /// As each line says.
    Several {
        /// By host, as far as Matomo was asked; `None` where it knows no site.
        by_host: HashMap<Vec<u8>, Option<Site>>,
        /// By number, for replayed tracker requests.
        by_id: HashMap<u32, Site>,
    },
}

/// What reading on came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The next hit: [`Reader::current`] and [`Reader::json`].
    Hit,
    /// Nothing yet; others want the processor too.
    Pause,
    /// Matomo has to be asked for the site of this host; call again when it is known.
    AskSite(Vec<u8>),
    /// The end.
    End(Ended),
}

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ended {
    /// The last line has no end yet: it waits for it.
    pub unfinished: bool,
    /// A line is dated this many seconds in the future: the file waits.
    pub future_seconds: Option<i64>,
}

/// How to treat what may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The file may be continued later: lines dated in the future are left for then, and the last line if it has no end.
    MayGrow {
        /// Nobody will end the last line any more: it is taken as it is.
        takes_last_line: bool,
    },
    /// What is there is all there is.
    Final,
}

/// What a reader starts from.
pub struct Opened {
    /// The file's number.
    pub file: FileId,
    /// Its lines, from [`PendingLines::begin`] on or before it.
    pub lines: Lines,
    /// Its parser.
    pub parser: Box<dyn LineParser + Send>,
    /// Reads its dates.
    pub dates: Dates,
    /// Which lines are to be sent.
    pub pending: PendingLines,
    /// The first line is the rest of one that was taken without its terminator.
    pub begins_cut: bool,
    /// How to treat what may still change.
    pub ending: Ending,
    /// How the bytes of a line become text.
    pub encoding: TextEncoding,
    /// The open file, where it has to be held against what was read of it.
    pub source: Option<Source>,
}

/// A file being read.
pub struct Reader {
    opened: Opened,
    now: Moment,
    read_to: u64,
    /// A line whose site had to be asked for.
    kept_line: Option<(u64, Vec<u8>)>,
    cut: bool,
    /// The file as it was when what was read of it was last held against it.
    verified: Stat,
    /// The hit that was read last, until the next step.
    pub current: Option<Queued>,
    /// Its JSON.
    pub json: Vec<u8>,
    /// Where the lines stand that cannot be read.
    pub unreadable: Spans,
    /// What the lines were.
    pub counts: Counts,
    /// Date of the newest hit.
    pub newest: Option<i64>,
}

/// Lines read before others get their turn.
const LINES_PER_TURN: u32 = 4096;

impl Reader {
    /// Begins to read; `now` decides what lies in the future.
    pub fn new(opened: Opened, now: Moment) -> Self {
        let (read_to, cut) = (opened.pending.begin(), opened.begins_cut);
        let verified = opened.source.as_ref().map(Source::stat).unwrap_or_default();
        Self {
            opened,
            now,
            read_to,
            kept_line: None,
            cut,
            verified,
            current: None,
            json: Vec::new(),
            unreadable: Spans::none(),
            counts: Counts::default(),
            newest: None,
        }
    }

    /// What is proven of the file: everything before the next line. `None` if the file does not hold any more what was read of
    /// it: it was truncated or written over meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn prove(&mut self) -> Result<Option<Proof>, ReadError> {
        let proof = self.opened.lines.proof();
        let Some(source) = &self.opened.source else { return Ok(Some(proof)) };
        let stat = source.stat_now()?;
        if stat == self.verified {
            return Ok(Some(proof));
        }
        let is_true = if source.is_packed() {
            (stat.size, stat.modified_ns) == (self.verified.size, self.verified.modified_ns)
        } else {
            stat.size >= proof.at && source.ends_as(&proof)?
        };
        self.verified = stat;
        Ok(is_true.then_some(proof))
    }

    /// Bytes of holes that were passed over.
    pub fn nul_bytes(&self) -> u64 {
        self.opened.lines.nul_bytes()
    }

    /// The file's number.
    pub fn file(&self) -> FileId {
        self.opened.file
    }

    /// The last line read had no terminator and was taken as it is.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Every line before this offset was read.
    pub fn read_to(&self) -> u64 {
        self.read_to
    }

    /// Reads the header that lays out the lines, if that is still to come; answers whether it is there, or nothing at all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_header(&mut self) -> Result<bool, ReadError> {
        let Opened { lines, parser, .. } = &mut self.opened;
        while parser.awaits_header() {
            if !matches!(lines.peek()?, None | Some(b'#' | b'\n' | b'\r')) {
                return Ok(false);
            }
            let Some(line) = lines.next_line()? else { return Ok(true) };
            let _ = parser.parse(line.bytes);
            self.read_to = line.end;
            self.counts.lines += 1;
        }
        Ok(true)
    }

    /// Whether the lines name the host they are for.
    pub fn carries_host(&self) -> bool {
        self.opened.parser.carries_host()
    }

    /// Leaves out the next lines; answers how many there were to leave out beyond the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn leave_out(&mut self, lines: u64) -> Result<u64, ReadError> {
        let Opened { lines: all, parser, .. } = &mut self.opened;
        for left in (1..=lines).rev() {
            let Some(line) = all.next_line()? else { return Ok(left) };
            take_header(&mut **parser, line.bytes);
            self.read_to = line.end;
        }
        Ok(0)
    }

    /// Reads on to the next hit.
    ///
    /// # Errors
    /// When the file cannot be read on.
    pub fn step(&mut self, judge: &mut Judge, sites: &Sites) -> Result<Step, ReadError> {
        self.current = None;
        self.json.clear();
        let Self { opened, now, read_to, kept_line, cut, counts, json, unreadable, .. } = self;
        let mut reading = Reading {
            parser: &mut *opened.parser,
            dates: &mut opened.dates,
            judge,
            sites,
            now: *now,
            json,
            counts,
            unreadable,
        };
        if let Some((offset, line)) = kept_line.take() {
            let came = reading.read(&line);
            if let Came::AskSite(host) = came {
                *kept_line = Some((offset, line));
                return Ok(Step::AskSite(host));
            }
            if let Some(hit) = reading.count(came, opened.file, (offset, *read_to), &line) {
                return Ok(self.is_at(hit));
            }
        }
        for _ in 0..LINES_PER_TURN {
            let Some(line) = opened.lines.next_line()? else { return Ok(Step::End(Ended::default())) };
            if std::mem::take(&mut opened.begins_cut) || !opened.pending.wants(line.offset) {
                take_header(reading.parser, line.bytes);
                (*read_to, *cut) = ((*read_to).max(line.end), !line.terminated);
                continue;
            }
            if !line.terminated && opened.ending == (Ending::MayGrow { takes_last_line: false }) {
                return Ok(Step::End(Ended { unfinished: true, ..Ended::default() }));
            }
            let decoded = opened.encoding.decode(line.bytes);
            let bytes = decoded.as_ref().map_or(line.bytes, |text| text.as_bytes());
            let came = if line.overlong { Came::Malformed } else { reading.read(bytes) };
            if let Came::Skip(Skipped { reason: Skip::InFuture { seconds_ahead }, .. }) = came
                && seconds_ahead <= WAIT_FOR_FUTURE_SECONDS
                && opened.ending != Ending::Final
            {
                return Ok(Step::End(Ended { future_seconds: Some(seconds_ahead), ..Ended::default() }));
            }
            *read_to = (*read_to).max(line.end);
            if let Came::AskSite(host) = came {
                *kept_line = Some((line.offset, bytes.to_vec()));
                return Ok(Step::AskSite(host));
            }
            *cut = !line.terminated;
            if let Some(hit) = reading.count(came, opened.file, (line.offset, line.end), bytes) {
                return Ok(self.is_at(hit));
            }
        }
        Ok(Step::Pause)
    }

    #[inline]
    fn is_at(&mut self, hit: Queued) -> Step {
        self.current = Some(hit);
        self.newest = self.newest.max(Some(hit.seconds));
        Step::Hit
    }
}

/// What one line came to.
enum Came {
    Hit { seconds: i64, visitor: u64, download: bool, site: u32 },
    Skip(Skipped),
    Malformed,
    Header,
    NoSite { host: Vec<u8>, download: bool },
    AskSite(Vec<u8>),
}

/// From a line to a hit.
struct Reading<'c> {
    parser: &'c mut (dyn LineParser + Send),
    dates: &'c mut Dates,
    judge: &'c mut Judge,
    sites: &'c Sites,
    now: Moment,
    json: &'c mut Vec<u8>,
    counts: &'c mut Counts,
    unreadable: &'c mut Spans,
}

impl Reading<'_> {
    #[inline(always)]
    fn read(&mut self, line: &[u8]) -> Came {
        // Both are large, and stay where they were made.
        let parsed = self.parser.parse(line);
        let record = match &parsed {
            Parsed::Record(record) => record,
            Parsed::Malformed(_) => return Came::Malformed,
            Parsed::Header => return Came::Header,
        };
        let verdict = self.judge.judge(record, self.dates, self.now);
        let judged = match &verdict {
            Verdict::Keep(judged) => judged,
            Verdict::Skip(skipped) => return Came::Skip(*skipped),
        };
        let site = match self.sites {
            Sites::One(site) => site,
            Sites::Several { by_host, by_id } => {
                let host = self.judge.host(judged).unwrap_or_default();
                let known = match judged.replayed_site() {
                    Some(id) => Some(by_id.get(&id)),
                    None => by_host.get(host).map(Option::as_ref),
                };
                match known {
                    Some(Some(site)) => site,
                    Some(None) => return Came::NoSite { host: host.to_vec(), download: judged.download },
                    None => return Came::AskSite(host.to_vec()),
                }
            }
        };
        let seconds = judged.moment.seconds;
        let (visitor, download) = (judged.visitor, judged.download);
        self.judge.write(judged, site, self.json);
        Came::Hit { seconds, visitor, download, site: site.id() }
    }

    #[inline(always)]
    fn count(&mut self, came: Came, file: FileId, (offset, end): (u64, u64), line: &[u8]) -> Option<Queued> {
        self.counts.lines += 1;
        let place = Place { line: self.counts.lines, offset };
        match came {
            Came::Hit { seconds, visitor, download, site } => {
                self.counts.kept(download);
                if self.counts.sites.last() != Some(&site) {
                    self.counts.sites.insert(site);
                }
                // Its number it gets when it is handed out.
                let origin = Origin { file, number: 0, offset };
                return Some(Queued { origin, seconds, visitor });
            }
            Came::Skip(skipped) => self.counts.skip(skipped, place, line),
            Came::Malformed => {
                self.counts.malformed(place, line);
                self.unreadable.extend(offset, end);
            }
            Came::NoSite { host, download } => self.counts.without_site(&host, download),
            Came::Header | Came::AskSite(_) => {}
        }
        None
    }
}
