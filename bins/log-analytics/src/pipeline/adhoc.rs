//! Imports named files, one after another, in the order and with the rules of Matomo's own importer. No ledger.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::cursor::{Cursor, Ending, Opened, Sites, Step};
use super::day::Days;
use super::flow::{Flow, Shape, Stop};
use super::open::{OpenError, Reading};
use super::wanted::Wanted;
use crate::discover::SiteId;
use crate::file::{self, Compression, Lines};
use crate::format::Found;
use crate::hit::{Judge, OptionError, Site};
use crate::ledger::{FileId, Mark};
use crate::matomo::{ApiError, Batch, Delivery, Matomo, Outcome, Sink};
use crate::options::ImportOptions;
use crate::summary::Counts;

/// The name of standard input.
const STANDARD_INPUT: &str = "-";
/// What detection may read of a stream that cannot be read twice.
const REPLAYED_BYTES_MAX: usize = 64 << 20;

/// Why an ad hoc import ended.
#[derive(Debug, thiserror::Error)]
pub enum AdhocError {
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

/// Where the hits of an ad hoc import go.
pub enum Target {
    /// To Matomo.
    Matomo(Box<Matomo>),
    /// Nowhere: a dry run.
    Nowhere,
}

impl Sink for Target {
    fn end_of_body(&self, mark: Mark) -> String {
        match self {
            Self::Matomo(matomo) => matomo.end_of_body(mark),
            Self::Nowhere => String::new(),
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

    async fn arrived(&self, asked: &[crate::matomo::Asked]) -> Result<Vec<Option<usize>>, ApiError> {
        match self {
            Self::Matomo(matomo) => matomo.arrived(asked).await,
            Self::Nowhere => Ok(vec![Some(0); asked.len()]),
        }
    }
}

/// An import of named files.
pub struct Adhoc<'a> {
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
    adhoc: &'a Adhoc<'a>,
    reading: Reading,
    judge: Judge,
    sites: Sites,
    flow: Flow<Target>,
    left_to_skip: u64,
    counts: Counts,
    progress: ProgressBar,
}

impl Adhoc<'_> {
    /// Imports the files; what was counted comes back even if it ends early.
    pub async fn run(&self) -> (Counts, Result<(), AdhocError>) {
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
            Ok(()) => under.flow.finish(None).await,
            Err(_) => under.flow.drain(None).await,
        };
        under.progress.finish_and_clear();
        under.counts.recorded = under.flow.delivered().tracked + under.flow.delivered().short;
        let tracked = under.counts.recorded;
        let result = result.and(finished.map_err(|stop| AdhocError::Stopped { tracked, stop }));
        (under.counts, result)
    }

    async fn begin(&self) -> Result<Under<'_>, AdhocError> {
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
            adhoc: self,
            reading: options.reading(&self.delivery.shutdown),
            judge: Judge::new(&options.hits, host_mode)?,
            sites,
            flow: Flow::new(Rc::clone(&self.delivery), self.shape.clone(), site, days, None),
            left_to_skip: options.skip,
            counts,
            progress: progress(),
        })
    }

    async fn site(&self, id: SiteId) -> Result<Site, AdhocError> {
        let facts = self.matomo.site(id).await.map_err(|error| AdhocError::Site { site: id, error })?;
        Ok(Site::new(id.0, &facts.main_url))
    }

    async fn replayed_sites(&self) -> Result<HashMap<u32, Site>, AdhocError> {
        if self.options.hits.replay.is_none() {
            return Ok(HashMap::new());
        }
        let sites = self.matomo.all_sites().await.map_err(AdhocError::Host)?;
        Ok(sites.into_iter().map(|(id, url)| (id.0, Site::new(id.0, &url))).collect())
    }

    /// The site of a host: one that Matomo knows, else the fallback, else a new one if that is wished.
    async fn site_of(&self, host: &str, counts: &mut Counts) -> Result<Option<Site>, AdhocError> {
        let options = &self.options.site;
        let known = self.matomo.sites_of_host(host).await.map_err(AdhocError::Host)?;
        let known = known.first().copied().or(options.idsite_fallback.map(SiteId));
        let url = format!("http://{host}");
        if known.is_some() || !options.add_sites_new_hosts {
            return Ok(known.map(|id| Site::new(id.0, &url)));
        }
        let id = match &self.delivery.sink {
            Target::Matomo(matomo) => matomo.add_site(host, &url).await.map_err(AdhocError::Host)?,
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
    async fn import(&mut self, file: FileId, path: &Path) -> Result<(), AdhocError> {
        let Some((Found { name: format, parser }, lines)) = self.open(path)? else { return Ok(()) };
        let options = self.adhoc.options;
        let encoding = self.reading.encoding;
        let wanted = Wanted::all();
        let opened = Opened { file, lines, parser, wanted, begins_cut: false, ending: Ending::Final, encoding };
        self.flow.open(file, u64::from(file.0), 0);
        let mut cursor = Cursor::new(opened, super::now());
        if !cursor.read_header().map_err(OpenError::from)? {
            return Err(AdhocError::NoColumns { path: path.to_owned(), format });
        }
        let hostless =
            options.site.idsite.is_none() && options.hits.log_hostname.is_none() && options.hits.replay.is_none();
        if hostless && !format.ends_with("_json") && !cursor.carries_host() {
            return Err(AdhocError::NoHost { path: path.to_owned(), format });
        }
        self.left_to_skip = cursor.leave_out(self.left_to_skip).map_err(OpenError::from)?;
        let result = self.read(&mut cursor).await;
        self.counts += &cursor.counts;
        result
    }

    async fn read(&mut self, cursor: &mut Cursor) -> Result<(), AdhocError> {
        // As in the reference, none at all is no limit.
        let limit = self.adhoc.options.debug_request_limit.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        let mut hits = 1;
        while hits < limit {
            let step =
                self.flow.write(ONE_FILE, |json, common| cursor.step(&mut self.judge, &self.sites, json, common));
            match step.map_err(OpenError::from)? {
                Step::Hit => {
                    hits += 1;
                    if let Some(mut hit) = cursor.current {
                        self.flow.tracker.hand_out(&mut hit.origin, cursor.read_to());
                        self.flow.offer(ONE_FILE, hit);
                    }
                    if !self.flow.is_due() {
                        continue;
                    }
                }
                Step::Pause => {}
                Step::AskSite(host) => {
                    let text = String::from_utf8_lossy(&host).into_owned();
                    let site = self.adhoc.site_of(&text, &mut self.counts).await?;
                    if let Sites::Several { by_host, .. } = &mut self.sites {
                        by_host.insert(host, site);
                    }
                    continue;
                }
                Step::End(_) => return Ok(()),
            }
            let tracked = self.flow.delivered().tracked;
            let lines = self.counts.lines + cursor.counts.lines;
            self.progress.set_message(format!("{lines} lines read, {tracked} hits imported"));
            if self.adhoc.delivery.shutdown.requested() {
                return Err(AdhocError::Stopped { tracked, stop: Stop::Asked });
            }
            self.flow.turn(None).await.map_err(|stop| AdhocError::Stopped { tracked, stop })?;
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> Result<Option<(Found, Lines)>, AdhocError> {
        if path.as_os_str() == STANDARD_INPUT {
            return self.open_stream(Box::new(std::io::stdin()));
        }
        match self.reading.verify(path) {
            Err(file::ReadError::GivenUp { .. }) => {
                return Err(AdhocError::Stopped { tracked: self.flow.delivered().tracked, stop: Stop::Asked });
            }
            other => other.map_err(OpenError::from)?,
        }
        let Some(found) = self.reading.parser(path)? else { return Ok(None) };
        Ok(Some((found, self.reading.lines_from(path, 0).map_err(OpenError::from)?)))
    }

    /// A stream cannot be read twice: what detection reads is kept and read again.
    fn open_stream(&self, mut stream: Box<dyn Read + Send>) -> Result<Option<(Found, Lines)>, AdhocError> {
        let path = PathBuf::from(STANDARD_INPUT);
        let failed = |error| OpenError::Read(file::ReadError::Read { path: PathBuf::from(STANDARD_INPUT), error });
        let mut magic = vec![0; 6];
        let known = file::read_full(&mut stream, &mut magic).map_err(failed)?;
        magic.truncate(known);
        let compression = Compression::of(&magic);
        let mut bytes = compression.decode(std::io::Cursor::new(magic).chain(stream)).map_err(failed)?;
        if let Some(choice) = self.reading.named() {
            let found = Found { name: choice.name(), parser: choice.parser() };
            return Ok(Some((found, Lines::new(path, bytes, 0))));
        }
        let mut head = Vec::new();
        loop {
            let before = head.len();
            bytes.by_ref().take(HEAD_STEP_BYTES).read_to_end(&mut head).map_err(failed)?;
            let ended = head.len() - before < HEAD_STEP_BYTES as usize;
            let mut lines = Lines::new(path.clone(), Box::new(std::io::Cursor::new(head.clone())), 0);
            match self.reading.detect(&mut lines, &path) {
                Ok(Some(found)) => {
                    let again = Box::new(std::io::Cursor::new(head).chain(bytes));
                    return Ok(Some((found, Lines::new(path, again, 0))));
                }
                Ok(None) if ended => return Ok(None),
                Err(error) if ended || head.len() > REPLAYED_BYTES_MAX => return Err(error.into()),
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// Files are read one after another, so the window need not tell them apart.
const ONE_FILE: usize = 0;

/// How much of a stream is read before detection is tried.
const HEAD_STEP_BYTES: u64 = 64 * 1024;
