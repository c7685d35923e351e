//! Imports named files, one after another, in the order and with the rules of Matomo's own importer. No ledger.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::day::Days;
use super::open::{OpenError, Reading};
use super::pending_lines::PendingLines;
use super::reader::{Ending, Opened, Reader, Sites, Step};
use super::sender::{Offered, Sender, Shape, Stop, Unproven};
use crate::discover::SiteId;
use crate::file::{self, Compression, Lines, PrefixHasher, Source};
use crate::format::{Found, Moment};
use crate::hit::{Dates, Judge, OptionError, Site};
use crate::id::FileId;
use crate::matomo::{ApiError, Asked, Batch, Delivery, Label, Matomo, Outcome, PageView, Sink, Span, Trace, Wrapped};
use crate::options::ImportOptions;
use crate::summary::Counts;

/// The name of standard input.
const STANDARD_INPUT: &str = "-";
/// What detection may read of a stream that cannot be read twice.
const REPLAYED_BYTES_MAX: usize = 64 << 20;

/// Why an import by hand ended.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Lines of this format do not name their host.
    #[error("{} has lines without a host ({format}): give --idsite or --log-hostname", path.display())]
    NoHost {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
    },
    /// A file in a named W3C format does not begin with its header.
    #[error("{} has no line `#Fields: ...` above its first line ({format}): give --w3c-fields", path.display())]
    NoColumns {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
    },
    /// Matomo knows no site of this number, or cannot be asked.
    #[error("cannot get the main address of site {site} from Matomo")]
    Site {
        /// The site.
        site: SiteId,
        /// Why.
        #[source]
        error: ApiError,
    },
    /// The ledger of a site cannot be used.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// Another process imports into the site.
    #[error("an importer is at work on site {site}")]
    Busy {
        /// The site.
        site: SiteId,
    },
    /// Some of the files could not be imported.
    #[error("not all files of site {site} could be imported; the lines above say why")]
    NotAll {
        /// The site.
        site: SiteId,
    },
    /// Matomo cannot be asked for the site of a host.
    #[error("cannot ask Matomo for the site of a host")]
    Host(#[source] ApiError),
    /// The options contradict each other.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// Hits cannot be delivered.
    #[error("import stopped after {tracked} hits")]
    Stopped {
        /// Hits that Matomo acknowledged.
        tracked: u64,
        /// Why.
        #[source]
        stop: Stop,
    },
}

/// Where the hits of an import by hand go.
pub enum Target {
    /// To Matomo.
    Matomo(Box<Matomo>),
    /// Nowhere: a dry run.
    Nowhere,
}

impl Sink for Target {
    fn wrap(&self, label: &Label<'_>) -> Wrapped {
        match self {
            Self::Matomo(matomo) => matomo.wrap(label),
            Self::Nowhere => Wrapped::plain(),
        }
    }

    async fn send(&self, batch: &Batch) -> Outcome {
        match self {
            Self::Matomo(matomo) => matomo.send(batch).await,
            Self::Nowhere => Outcome::Delivered(crate::ledger::Receipt {
                tracked: batch.hits(),
                ..crate::ledger::Receipt::default()
            }),
        }
    }

    async fn traces(&self, asked: &[Asked]) -> Result<Vec<Option<Trace>>, ApiError> {
        match self {
            Self::Matomo(matomo) => Sink::traces(&**matomo, asked).await,
            Self::Nowhere => Ok(vec![Some(Trace::default()); asked.len()]),
        }
    }

    async fn stored(&self, span: &Span) -> Result<Option<HashSet<PageView>>, ApiError> {
        match self {
            Self::Matomo(matomo) => matomo.stored(span).await,
            Self::Nowhere => Ok(None),
        }
    }
}

/// An import of named files.
pub struct Import<'a> {
    /// What the words said.
    pub options: &'a ImportOptions,
    /// For questions about sites; hits go through the delivery.
    pub matomo: &'a Matomo,
    /// The way of the hits.
    pub delivery: Rc<Delivery<Target>>,
    /// How batches are made.
    pub shape: Shape,
}

/// An import under way.
struct Under<'a> {
    import: &'a Import<'a>,
    reading: Reading,
    judge: Judge,
    sites: Sites,
    sender: Sender<Target>,
    left_to_skip: u64,
    counts: Counts,
    progress: ProgressBar,
}

impl Import<'_> {
    /// Imports the files; what was counted comes back even if it ends early.
    pub async fn run(&self) -> (Counts, Result<(), ImportError>) {
        let mut under = match self.begin().await {
            Ok(under) => under,
            Err(error) => return (Counts::default(), Err(error)),
        };
        let mut result = Ok(());
        for (index, path) in self.options.files.iter().enumerate() {
            result = under.import(FileId(index as u32), path).await;
            if result.is_err() {
                break;
            }
        }
        let finished = match result {
            Ok(()) => under.sender.finish(None, &mut Unproven).await,
            Err(_) => under.sender.drain(None).await,
        };
        under.progress.finish_and_clear();
        under.counts.recorded = under.sender.delivered().tracked + under.sender.delivered().short;
        let tracked = under.counts.recorded;
        let result = result.and(finished.map_err(|stop| ImportError::Stopped { tracked, stop }));
        (under.counts, result)
    }

    async fn begin(&self) -> Result<Under<'_>, ImportError> {
        let options = self.options;
        let host_mode = options.site.idsite.is_none();
        let sites = match options.site.idsite {
            Some(id) => Sites::One(self.site(SiteId(id)).await?),
            None => Sites::Several { by_host: HashMap::new(), by_id: self.replayed_sites().await? },
        };
        let site = SiteId(options.site.idsite.unwrap_or_default());
        // As in the reference, a site that is given counts though nothing is sent to it.
        let mut counts = Counts::default();
        counts.sites.extend(options.site.idsite);
        let days = Days::new(TimeZone::UTC, Timestamp::now());
        Ok(Under {
            import: self,
            reading: options.reading(&self.delivery.shutdown),
            judge: Judge::new(&options.hits, host_mode)?,
            sites,
            sender: Sender::new(Rc::clone(&self.delivery), self.shape.clone(), site, days, None),
            left_to_skip: options.skip,
            counts,
            progress: progress(),
        })
    }

    async fn site(&self, id: SiteId) -> Result<Site, ImportError> {
        let facts = self.matomo.site(id).await.map_err(|error| ImportError::Site { site: id, error })?;
        Ok(Site::new(id.0, &facts.main_url))
    }

    async fn replayed_sites(&self) -> Result<HashMap<u32, Site>, ImportError> {
        if self.options.hits.replay.is_none() {
            return Ok(HashMap::new());
        }
        let sites = self.matomo.all_sites().await.map_err(ImportError::Host)?;
        Ok(sites.into_iter().map(|(id, url)| (id.0, Site::new(id.0, &url))).collect())
    }

    /// The site of a host: one that Matomo knows, else the fallback, else a new one if that is wished.
    async fn site_of(&self, host: &str, counts: &mut Counts) -> Result<Option<Site>, ImportError> {
        let options = &self.options.site;
        let known = self.matomo.sites_of_host(host).await.map_err(ImportError::Host)?;
        let known = known.first().copied().or(options.idsite_fallback.map(SiteId));
        let url = format!("http://{host}");
        if known.is_some() || !options.add_sites_new_hosts {
            return Ok(known.map(|id| Site::new(id.0, &url)));
        }
        let id = match &self.delivery.sink {
            Target::Matomo(matomo) => matomo.add_site(host, &url).await.map_err(ImportError::Host)?,
            Target::Nowhere => SiteId(0),
        };
        counts.sites_created.insert(host.to_owned(), id.0);
        Ok(Some(Site::new(id.0, &url)))
    }
}

/// Drawn on a terminal only; a file or a pipe never sees it.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}");
    let bar = ProgressBar::new_spinner();
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Under<'_> {
    async fn import(&mut self, file: FileId, path: &Path) -> Result<(), ImportError> {
        let Some((Found { name: format, parser }, lines)) = self.open(path)? else { return Ok(()) };
        let options = self.import.options;
        let encoding = self.reading.encoding;
        let (pending, ending) = (PendingLines::all(), Ending::Final);
        let dates = Dates::new(self.reading.zone.clone(), None);
        let opened = Opened { file, lines, parser, dates, pending, begins_cut: false, ending, encoding, source: None };
        self.sender.progress.open(file, 0);
        let now = Moment { seconds: Timestamp::now().as_second(), micros: 0 };
        let mut reader = Reader::new(opened, now);
        if !reader.read_header().map_err(OpenError::from)? {
            return Err(ImportError::NoColumns { path: path.to_owned(), format });
        }
        let hostless =
            options.site.idsite.is_none() && options.hits.log_hostname.is_none() && options.hits.replay.is_none();
        if hostless && !format.ends_with("_json") && !reader.carries_host() {
            return Err(ImportError::NoHost { path: path.to_owned(), format });
        }
        self.left_to_skip = reader.leave_out(self.left_to_skip).map_err(OpenError::from)?;
        let result = self.read(&mut reader).await;
        self.counts += &reader.counts;
        result
    }

    async fn read(&mut self, reader: &mut Reader) -> Result<(), ImportError> {
        // As in the reference, none at all is no limit.
        let limit = self.import.options.debug_request_limit.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        let mut hits = 1;
        while hits < limit {
            match reader.step(&mut self.judge, &self.sites).map_err(OpenError::from)? {
                Step::Hit => {
                    hits += 1;
                    self.send(reader).await?;
                    if !self.sender.is_due() {
                        continue;
                    }
                }
                Step::Pause => {}
                Step::AskSite(host) => {
                    let text = String::from_utf8_lossy(&host).into_owned();
                    let site = self.import.site_of(&text, &mut self.counts).await?;
                    if let Sites::Several { by_host, .. } = &mut self.sites {
                        by_host.insert(host, site);
                    }
                    continue;
                }
                Step::End(_) => return Ok(()),
            }
            let tracked = self.sender.delivered().tracked;
            let lines = self.counts.lines + reader.counts.lines;
            self.progress.set_message(format!("{lines} lines read, {tracked} hits imported"));
            if self.import.delivery.shutdown.requested() {
                return Err(ImportError::Stopped { tracked, stop: Stop::Asked });
            }
            self.sender.turn(None, &mut Unproven).await.map_err(|stop| ImportError::Stopped { tracked, stop })?;
        }
        Ok(())
    }

    async fn send(&mut self, reader: &mut Reader) -> Result<(), ImportError> {
        let Some(mut hit) = reader.current.take() else { return Ok(()) };
        self.sender.progress.hand_out(&mut hit.origin, reader.read_to());
        if self.sender.offer(&hit, &reader.json) == Offered::NewDay {
            let sent = self.sender.send_alone(&hit, &reader.json, None, &mut Unproven).await;
            let tracked = self.sender.delivered().tracked;
            sent.map_err(|stop| ImportError::Stopped { tracked, stop })?;
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> Result<Option<(Found, Lines)>, ImportError> {
        if path.as_os_str() == STANDARD_INPUT {
            return self.open_stream(path, Box::new(std::io::stdin()));
        }
        // A pipe with a name, such as /dev/stdin or <(zcat x.gz), is read as standard input is.
        let failed = |error| OpenError::Read(file::ReadError::Open { path: path.to_owned(), error });
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return self.open_stream(path, Box::new(std::fs::File::open(path).map_err(failed)?));
        }
        let source = Source::open(path).map_err(OpenError::from)?;
        match source.verify(&|| self.reading.shutdown.requested()) {
            Err(file::ReadError::GivenUp { .. }) => {
                return Err(ImportError::Stopped { tracked: self.sender.delivered().tracked, stop: Stop::Asked });
            }
            other => other.map_err(OpenError::from)?,
        }
        let Some(found) = self.reading.parser(&source)? else { return Ok(None) };
        Ok(Some((found, file::lines(&source, PrefixHasher::default()).map_err(OpenError::from)?)))
    }

    /// A stream cannot be read twice: what detection reads is kept and read again.
    fn open_stream(
        &self,
        path: &Path,
        mut stream: Box<dyn Read + Send>,
    ) -> Result<Option<(Found, Lines)>, ImportError> {
        let path = path.to_owned();
        let failed = |error| OpenError::Read(file::ReadError::Read { path: path.clone(), error });
        let mut magic = vec![0; 6];
        let known = file::read_full(&mut stream, &mut magic).map_err(failed)?;
        magic.truncate(known);
        let compression = Compression::of(&magic);
        let mut bytes = compression.decode(std::io::Cursor::new(magic).chain(stream)).map_err(failed)?;
        if let Some(choice) = self.reading.named() {
            let found = Found { name: choice.name(), parser: choice.parser() };
            return Ok(Some((found, Lines::new(path, bytes, PrefixHasher::default()))));
        }
        let mut head = Vec::new();
        loop {
            let before = head.len();
            bytes.by_ref().take(HEAD_STEP_BYTES).read_to_end(&mut head).map_err(failed)?;
            let ended = head.len() - before < HEAD_STEP_BYTES as usize;
            let mut lines =
                Lines::new(path.clone(), Box::new(std::io::Cursor::new(head.clone())), PrefixHasher::default());
            match self.reading.detect(&mut lines, &path) {
                Ok(Some(found)) => {
                    let again = Box::new(std::io::Cursor::new(head).chain(bytes));
                    return Ok(Some((found, Lines::new(path, again, PrefixHasher::default()))));
                }
                Ok(None) if ended => return Ok(None),
                Err(error) if ended || head.len() > REPLAYED_BYTES_MAX => return Err(error.into()),
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// How much of a stream is read before detection is tried.
const HEAD_STEP_BYTES: u64 = 64 * 1024;
