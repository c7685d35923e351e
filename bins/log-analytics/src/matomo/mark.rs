//! The extra hits by which Matomo itself can answer "did this batch arrive, and what was in it?".
//!
//! A batch carries one mark first and one last, so in the same transaction: two hits of one visitor on the ledger site, which
//! make one visit with two actions. Both are there: the batch is stored. None: it is not. One: the transaction was broken, and a
//! part is stored. What the batch held stands in their titles and addresses, of which Matomo keeps 1,024 characters each, so
//! that a ledger that was lost can be rebuilt. Measured: 40 to 90 ms a look-up, a write token suffices.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::json;

use super::{ApiError, Matomo, SiteFacts};
use crate::discover::SiteId;
use crate::file::Proof;
use crate::id::{FileId, IntentId, JournalId, Mark, PAGE_VIEW_DIGITS};
use crate::ledger::{Offsets, Part};

/// Ids asked for in one request (100 took 124 ms).
const MARKS_PER_REQUEST: usize = 100;
/// How long ago a hit may have happened for Matomo to be asked for it alone, without marks.
pub const RECENT_SECONDS: i64 = 24 * 60 * 60;
/// Characters of a title or an address that say what the batch held: fewer than Matomo keeps.
const CHUNK_CHARACTERS: usize = 960;
/// Visits asked for at once when single hits are looked for; more and more of them, up to the last number.
const VISITS_LIMITS: [&str; 4] = ["500", "2000", "8000", "32000"];

/// What is known of a part's file: the hash of its first line, and what is proven of it.
pub type IdentityOf<'l> = dyn Fn(&Part) -> Option<(u64, Proof)> + 'l;

/// What the marks of a batch say.
#[derive(Clone)]
pub struct Label<'l> {
    /// The site of its hits.
    pub site: SiteId,
    /// The site of its marks.
    pub ledger_site: Option<SiteId>,
    /// Its number.
    pub intent: IntentId,
    /// Its visitor id.
    pub mark: Mark,
    /// How many hits it holds.
    pub hits: usize,
    /// Date of its newest hit: the day of the site, and seconds since 1970.
    pub newest: Option<(Date, i64)>,
    /// The lines of each file.
    pub parts: Vec<Part>,
    /// What is known of the files.
    pub identity: Option<&'l IdentityOf<'l>>,
    /// The journal announces itself.
    pub announcement: Option<Announcement>,
}

/// How a journal announces itself on the ledger site, with its first batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// Its number.
    pub journal: JournalId,
    /// The number of its first batch.
    pub from: IntentId,
    /// All that it knew before this batch can be told by marks: nothing.
    pub is_complete: bool,
}

/// What stands around the hits of a batch.
#[derive(Debug, Default)]
pub struct Wrapped {
    /// Before the first hit.
    pub head: String,
    /// Behind the last hit, to the end of the body.
    pub tail: String,
    /// How many entries are marks.
    pub marks: u64,
}

impl Wrapped {
    /// No marks and no token.
    pub fn plain() -> Self {
        Self { tail: "]}".to_owned(), ..Self::default() }
    }
}

impl Label<'_> {
    /// Of a batch that is not filled yet.
    pub fn of(site: SiteId, ledger_site: Option<SiteId>, journal: JournalId, intent: IntentId) -> Self {
        let mark = Mark::of(journal, site, intent);
        Self {
            site,
            ledger_site,
            intent,
            mark,
            hits: 0,
            newest: None,
            parts: Vec::new(),
            identity: None,
            announcement: None,
        }
    }

    /// What the batch holds, as text; empty if not all of its files are known.
    fn text(&self) -> String {
        let part = |part: &Part| {
            let (line_key, proof) = self.identity.and_then(|identity| identity(part))?;
            Some(format!("{:x}.{line_key:x}.{proof}.{}", part.file.0, part.lines.text()))
        };
        self.parts.iter().map(part).collect::<Option<Vec<_>>>().unwrap_or_default().join("~")
    }
}

/// One part of a batch, as its marks tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldPart {
    /// The number of the content in its journal.
    pub file: FileId,
    /// Hash of the first line of the content.
    pub line_key: u64,
    /// What was proven of the content.
    pub proof: Proof,
    /// Its lines.
    pub lines: Offsets,
}

fn told_parts(text: &str) -> Option<Vec<ToldPart>> {
    let part = |text: &str| {
        let (file, rest) = text.split_once('.')?;
        let (line_key, rest) = rest.split_once('.')?;
        let (proof, lines) = rest.rsplit_once('.')?;
        Some(ToldPart {
            file: FileId(u32::from_str_radix(file, 16).ok()?),
            line_key: u64::from_str_radix(line_key, 16).ok()?,
            proof: proof.parse().ok()?,
            lines: Offsets::from_text(lines)?,
        })
    };
    text.split('~').map(part).collect()
}

/// A batch to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The site its hits went to.
    pub site: SiteId,
    /// The ledger site its marks went to, if it carried any.
    pub ledger_site: Option<SiteId>,
    /// Its visitor id there.
    pub mark: Mark,
}

/// What Matomo's ledger site has of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// How often it arrived.
    pub times: usize,
    /// The first mark is there.
    pub first: bool,
    /// The last mark is there.
    pub last: bool,
    /// What it held, if the marks say all of it.
    pub parts: Option<Vec<ToldPart>>,
    /// Date of its newest hit: the day of the site, and seconds since 1970.
    pub newest: Option<(Date, i64)>,
    /// Journals that announced themselves, the newest first.
    pub announcements: Vec<Announcement>,
}

/// Hits of a batch to look for.
#[derive(Debug, Clone)]
pub struct Span {
    /// Their site.
    pub site: SiteId,
    /// Days of the site in which they lie.
    pub days: Vec<Date>,
    /// Date of the oldest, seconds since 1970.
    pub oldest: i64,
    /// Their page views.
    pub page_views: HashSet<PageView>,
    /// Its marks say that the batch was stored: a list without one visit does not tell which of its hits were.
    pub is_marked: bool,
}

/// What Matomo shows as `idpageview`.
pub type PageView = [u8; PAGE_VIEW_DIGITS];

/// The visitor of marks: a user agent of a browser, since bots are not stored. Without a date, so that the purge of old logs
/// reaches it last, and with an address that the ledger site accepts.
fn hit(ledger_site: &SiteFacts, mark: Mark, is_new: bool, title: &str, chunk: &str) -> String {
    let mut hit = json!({
        "idsite": ledger_site.id.to_string(),
        "rec": "1",
        "apiv": "1",
        "queuedtracking": "0",
        "bots": "1",
        "url": format!("{}/{chunk}", ledger_site.main_url.trim_end_matches('/')),
        "action_name": title,
        "ua": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "cid": mark.to_string(),
    });
    if is_new {
        hit["new_visit"] = "1".into();
    }
    hit.to_string()
}

/// The marks of a batch, as entries of its body: before its hits and behind them.
pub(super) fn entries(ledger_site: &SiteFacts, label: &Label<'_>) -> (String, Vec<String>) {
    let text = label.text();
    let address_characters = CHUNK_CHARACTERS.saturating_sub(ledger_site.main_url.len());
    let mut rest = &*text;
    let mut chunk = |characters: usize| {
        let (now, later) = rest.split_at(characters.min(rest.len()));
        rest = later;
        now
    };
    let mut chunks = [CHUNK_CHARACTERS, address_characters, CHUNK_CHARACTERS, address_characters].map(&mut chunk);
    let mut length = text.len();
    if !rest.is_empty() {
        (chunks, length) = ([""; 4], 0);
    }
    let [first_title, first_address, last_title, last_address] = chunks;
    let newest = label.newest.map_or_else(|| "-".to_owned(), |(day, seconds)| format!("{day},{seconds}"));
    let title = |word: &str, chunk: &str| format!("{word} {} {} {newest} {length} {chunk}", label.intent.0, label.hits);
    let first = hit(ledger_site, label.mark, true, &title("first", first_title), first_address);
    let mut behind = Vec::new();
    if let Some(Announcement { journal, from, is_complete }) = label.announcement {
        let all = if is_complete { "complete" } else { "adopted" };
        let title = format!("journal {journal} from {} {all}", from.0);
        behind.push(hit(ledger_site, Mark::of_journals(label.site), true, &title, ""));
    }
    behind.push(hit(ledger_site, label.mark, false, &title("last", last_title), last_address));
    (first, behind)
}

/// A visit on the ledger site, or one in which hits are looked for.
#[derive(Debug, Deserialize)]
struct Visit {
    #[serde(default, rename = "visitorId")]
    visitor: Option<String>,
    #[serde(default, rename = "actionDetails")]
    actions: Vec<Action>,
}

#[derive(Debug, Deserialize)]
struct Action {
    #[serde(default, rename = "pageTitle")]
    title: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default, rename = "idpageview")]
    page_view: Option<String>,
}

impl Trace {
    fn of(visits: &[Visit], mark: Mark) -> Self {
        let mark = mark.to_string();
        let is_ours = |visit: &&Visit| visit.visitor.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(&mark));
        let mut trace = Self::default();
        let (mut text, mut length) = (BTreeMap::new(), None);
        let mut times = [0, 0];
        for visit in visits.iter().filter(is_ours) {
            for action in &visit.actions {
                let title = action.title.as_deref().unwrap_or_default();
                let words: Vec<&str> = title.splitn(6, ' ').collect();
                match words[..] {
                    // Version 1 had one mark, at the end.
                    ["batch"] => times = times.map(|times| times + 1),
                    ["journal", journal, "from", from, all] => {
                        trace.announcements.extend(announcement(journal, from, all));
                    }
                    [word @ ("first" | "last"), _, _, newest, all, ..] => {
                        trace.newest =
                            newest.split_once(',').and_then(|(day, at)| Some((day.parse().ok()?, at.parse().ok()?)));
                        let is_last = word == "last";
                        times[usize::from(is_last)] += 1;
                        length = all.parse::<usize>().ok();
                        let address = action.url.as_deref().and_then(|url| url.rsplit_once('/'));
                        let chunk = words.get(5).copied().unwrap_or_default();
                        text.insert(is_last, [chunk, address.map_or("", |(_, chunk)| chunk)].concat());
                    }
                    _ => {}
                }
            }
        }
        // Not visits: two marks on either side of midnight are two of them.
        (trace.times, trace.first, trace.last) = (times[0].max(times[1]), times[0] > 0, times[1] > 0);
        let text: String = text.into_values().collect();
        trace.parts = told_parts(&text).filter(|_| length.is_some_and(|length| length > 0 && length == text.len()));
        trace
    }
}

fn announcement(journal: &str, from: &str, all: &str) -> Option<Announcement> {
    Some(Announcement {
        journal: JournalId(u64::from_str_radix(journal, 16).ok()?),
        from: IntentId(from.parse().ok()?),
        is_complete: all == "complete",
    })
}

impl Matomo {
    /// What the ledger site has of each batch; `None` where Matomo cannot tell.
    pub(super) async fn traces(&self, asked: &[Asked]) -> Result<Vec<Option<Trace>>, ApiError> {
        let mut traces = vec![None; asked.len()];
        let mut by_ledger_site: BTreeMap<SiteId, Vec<usize>> = BTreeMap::new();
        for (index, asked) in asked.iter().enumerate() {
            if let Some(site) = asked.ledger_site {
                by_ledger_site.entry(site).or_default().push(index);
            }
        }
        for (ledger_site, indexes) in by_ledger_site {
            for some in indexes.chunks(MARKS_PER_REQUEST) {
                let marks: Vec<Mark> = some.iter().map(|&index| asked[index].mark).collect();
                let found = self.marks(ledger_site, &marks).await?;
                some.iter().zip(found).for_each(|(&index, trace)| traces[index] = Some(trace));
            }
        }
        Ok(traces)
    }

    async fn marks(&self, ledger_site: SiteId, marks: &[Mark]) -> Result<Vec<Trace>, ApiError> {
        let segment: Vec<String> = marks.iter().map(|mark| format!("visitorId=={mark}")).collect();
        let limit = (marks.len() * 4).max(50).to_string();
        let parameters = [
            ("idSite", &*ledger_site.to_string()),
            ("segment", &segment.join(",")),
            ("filter_limit", &limit),
            ("showColumns", "visitorId,actionDetails"),
        ];
        match self.visits(&parameters).await {
            Ok(visits) => Ok(marks.iter().map(|&mark| Trace::of(&visits, mark)).collect()),
            // The visits log may be switched off; this method works all the same, and tells no more than that.
            Err(ApiError::Refused { .. }) => {
                let mut traces = Vec::with_capacity(marks.len());
                for &mark in marks {
                    let times = self.mark_seen(ledger_site, mark).await?;
                    let is_there = times > 0;
                    traces.push(Trace { times, first: is_there, last: is_there, ..Trace::default() });
                }
                Ok(traces)
            }
            Err(error) => Err(error),
        }
    }

    async fn visits(&self, parameters: &[(&str, &str)]) -> Result<Vec<Visit>, ApiError> {
        let method = "Live.getLastVisitsDetails";
        let visits = self.api(method, parameters).await?;
        serde_json::from_value(visits).map_err(|error| ApiError::Refused {
            method,
            message: format!("its answer is no list of visits ({error})"),
        })
    }

    async fn mark_seen(&self, ledger_site: SiteId, mark: Mark) -> Result<usize, ApiError> {
        let (site, segment) = (ledger_site.to_string(), format!("visitorId=={mark}"));
        let value = self.api("Live.getMostRecentVisitorId", &[("idSite", &site), ("segment", &segment)]).await?;
        let id = value.get("value").unwrap_or(&value);
        Ok(usize::from(id.as_str().is_some_and(|id| id.eq_ignore_ascii_case(&mark.to_string()))))
    }

    /// Which of these hits Matomo has; `None` if it shows too many visits of these days to tell, or none where there must be one.
    pub(super) async fn page_views(&self, span: &Span) -> Result<Option<HashSet<PageView>>, ApiError> {
        let (mut found, mut visits) = (HashSet::new(), 0);
        for day in &span.days {
            match self.page_views_of(span, *day, &mut found).await? {
                Some(of_day) => visits += of_day,
                None => return Ok(None),
            }
        }
        Ok(Some(found).filter(|_| visits > 0 || !span.is_marked))
    }

    /// Adds those of a day; answers how many visits were seen if those were all of the day.
    async fn page_views_of(
        &self,
        span: &Span,
        day: Date,
        found: &mut HashSet<PageView>,
    ) -> Result<Option<usize>, ApiError> {
        // The date given is left out itself.
        let (site, since, date) = (span.site.to_string(), (span.oldest - 1).to_string(), day.to_string());
        for limit in VISITS_LIMITS {
            let parameters = [
                ("idSite", &*site),
                ("period", "day"),
                ("date", &date),
                ("minTimestamp", &since),
                ("filter_limit", limit),
                ("showColumns", "visitorId,actionDetails"),
            ];
            let visits = self.visits(&parameters).await?;
            let shown = visits.iter().flat_map(|visit| &visit.actions).filter_map(|action| action.page_view.as_deref());
            let page_views = shown.filter_map(|text| PageView::try_from(text.as_bytes()).ok());
            found.extend(page_views.filter(|page_view| span.page_views.contains(page_view)));
            let is_all = visits.len() < limit.parse().unwrap_or(usize::MAX);
            if is_all || found.len() == span.page_views.len() {
                return Ok(Some(visits.len()));
            }
        }
        Ok(None)
    }
}

/// A list of days without doubles.
pub(super) fn days(by_day: &[(Date, u64)]) -> Vec<Date> {
    by_day.iter().map(|(day, _)| *day).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::id::FileId;

    fn told(lines: usize, announcement: Option<Announcement>) -> (Trace, Mark, Vec<Part>) {
        let site = SiteFacts { id: SiteId(9), main_url: "https://ledger.example.org/".to_owned(), zone: TimeZone::UTC };
        let parts = vec![
            Part {
                file: FileId(1),
                lines: Offsets::new((0..lines as u64).map(|line| line * 230).collect()),
                proof: None,
            },
            Part { file: FileId(2), lines: Offsets::new(vec![7]), proof: None },
        ];
        let identity: &IdentityOf<'_> =
            &|part| Some((u64::from(part.file.0), Proof { at: 70_000, hash: u128::MAX.into(), block: 5.into() }));
        let mut label = Label::of(SiteId(4), Some(SiteId(9)), JournalId(3), IntentId(12));
        (label.parts, label.identity, label.announcement) = (parts.clone(), Some(identity), announcement);
        let (first, behind) = entries(&site, &label);
        let visits: Vec<Visit> = [first].into_iter().chain(behind).map(|hit| shown(&hit)).collect();
        (Trace::of(&visits, label.mark), label.mark, parts)
    }

    /// A hit as Matomo shows it, each in a visit of its own.
    fn shown(hit: &str) -> Visit {
        let hit: serde_json::Value = serde_json::from_str(hit).unwrap();
        let text = |name: &str| Some(hit[name].as_str().unwrap().to_owned());
        let (title, url) = (text("action_name"), text("url"));
        assert!(title.as_ref().unwrap().len() <= 1024 && url.as_ref().unwrap().len() <= 1000);
        Visit { visitor: text("cid"), actions: vec![Action { title, url, page_view: None }] }
    }

    #[test]
    fn marks_tell_what_a_batch_held() {
        for lines in [1, 400, 1_000] {
            let (trace, _, parts) = told(lines, None);
            assert!(trace.first && trace.last);
            let got = trace.parts.unwrap();
            assert_eq!(
                got.iter().map(|part| &part.lines).collect::<Vec<_>>(),
                parts.iter().map(|part| &part.lines).collect::<Vec<_>>()
            );
            assert_eq!((got[1].line_key, got[1].proof.at), (2, 70_000));
        }
        assert_eq!(told(10_000, None).0.parts, None, "too long: the marks say that they are there, and no more");
    }

    #[test]
    fn a_journal_is_found_by_its_announcement() {
        let announcement = Announcement { journal: JournalId(3), from: IntentId(12), is_complete: true };
        let site = SiteFacts { id: SiteId(9), main_url: "https://ledger.example.org".to_owned(), zone: TimeZone::UTC };
        let mut label = Label::of(SiteId(4), Some(SiteId(9)), JournalId(3), IntentId(12));
        label.announcement = Some(announcement);
        let (_, behind) = entries(&site, &label);
        let visits: Vec<Visit> = behind.iter().map(|hit| shown(hit)).collect();
        assert_eq!(Trace::of(&visits, Mark::of_journals(SiteId(4))).announcements, [announcement]);
    }
}
