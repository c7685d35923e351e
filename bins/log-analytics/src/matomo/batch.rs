//! Hits that travel in one request, and so in one transaction of Matomo's database.

use bytes::Bytes;
use jiff::civil::Date;
use xxhash_rust::xxh3::xxh3_64;

use crate::discover::SiteId;
use crate::hit::Written;
use crate::interleave::{Origin, Waiting};
use crate::ledger::{FileId, Intent, IntentId, Mark, Offsets, Part};

const HEAD: &[u8] = b"{\"requests\":[";
/// By how much a body grows: doubled, it would mostly be empty, and there are several for each connection.
const GROWTH_BYTES: usize = 32 * 1024;
/// Matomo reads six characters (`idpageview`).
const PAGE_VIEW_DIGITS: usize = 6;
/// What a hit may grow by in a batch: a comma, and the page view.
const PAGE_VIEW_BYTES: usize = 1 + br#","pv_id":"""#.len() + PAGE_VIEW_DIGITS;

/// A full batch: the body of its request, and where its hits came from.
#[derive(Clone)]
pub struct Batch {
    /// The site.
    pub site: SiteId,
    /// The ledger site that its mark goes to, if any.
    pub ledger_site: Option<SiteId>,
    /// Its hash, known to Matomo's ledger site.
    pub mark: Mark,
    /// The whole body, with the token in it: never to be shown.
    pub body: Bytes,
    /// Where its hits came from.
    pub origins: Vec<Origin>,
    /// Date of the newest hit, seconds since 1970.
    pub newest: i64,
    /// The `pv_id` that every hit carries, if any.
    pub pv_id: Option<String>,
    /// Days of the site that it touches.
    pub days: Vec<DayTouched>,
}

/// A day of the site, and what a batch brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayTouched {
    /// The day.
    pub day: Date,
    /// It is over, so that its reports may have been computed before.
    pub past: bool,
    /// Hits of the batch.
    pub hits: u64,
}

impl Batch {
    /// How many hits it holds.
    pub fn hits(&self) -> u64 {
        self.origins.len() as u64
    }

    /// The files its hits came from.
    pub fn files(&self) -> Vec<FileId> {
        let mut files: Vec<_> = self.origins.iter().map(|origin| origin.file).collect();
        files.dedup();
        files.sort_unstable();
        files.dedup();
        files
    }

    fn parts(&self) -> Vec<Part> {
        let of = |file| self.origins.iter().filter(move |origin| origin.file == file).copied();
        self.files().into_iter().map(|file| Part { file, lines: ascending(of(file)) }).collect()
    }

    /// What the ledger has to know before it leaves.
    pub fn intent(&self, intent: IntentId, now_ms: i64) -> Intent {
        Intent {
            intent,
            mark: self.mark,
            ledger_site: self.ledger_site,
            sent_ms: now_ms,
            parts: self.parts(),
            pv_id: self.pv_id.clone(),
            newest: self.newest,
            days: self.days.iter().filter(|touched| touched.past).map(|touched| touched.day).collect(),
            by_day: self.days.iter().map(|touched| (touched.day, touched.hits)).collect(),
        }
    }
}

/// A batch that is being filled.
pub struct Filling {
    site: SiteId,
    ledger_site: Option<SiteId>,
    body: Vec<u8>,
    origins: Vec<Origin>,
    newest: i64,
    hash: u64,
    pv_id: Option<String>,
    days: Vec<DayTouched>,
}

impl Filling {
    /// An empty batch for a site; `body` is empty room for its bytes, and there is to be room for so many hits.
    pub fn new(site: SiteId, ledger_site: Option<SiteId>, salt: u64, mut body: Vec<u8>, hits: usize) -> Self {
        let hash = folded(salt, [u64::from(site.0)]);
        body.extend_from_slice(HEAD);
        Self {
            site,
            ledger_site,
            body,
            origins: Vec::with_capacity(hits),
            newest: i64::MIN,
            hash,
            pv_id: None,
            days: Vec::new(),
        }
    }

    /// Puts a hit in. `identity` is the hash of its file's first line: two files may hold the same line.
    #[inline(always)]
    pub fn push(&mut self, hit: &Waiting, identity: u64, json: Written<'_>, with_pv_id: bool) {
        if self.body.capacity() - self.body.len() < json.len() + PAGE_VIEW_BYTES {
            self.body.reserve_exact(json.len() + GROWTH_BYTES);
        }
        if !self.origins.is_empty() {
            self.body.push(b',');
        }
        // What tells a line from any other, at a fraction of the cost of hashing the whole hit.
        self.hash =
            folded(self.hash, [identity, hit.origin.offset, hit.seconds.cast_unsigned(), hit.visitor, hit.agent]);
        json.append_to(&mut self.body);
        if with_pv_id {
            let hash = self.hash;
            let pv_id = self.pv_id.get_or_insert_with(|| page_view_id(hash));
            // A written hit ends with its closing brace.
            self.body.pop();
            self.body.extend_from_slice(b",\"pv_id\":\"");
            self.body.extend_from_slice(pv_id.as_bytes());
            self.body.extend_from_slice(b"\"}");
        }
        self.origins.push(hit.origin);
        self.newest = self.newest.max(hit.seconds);
    }

    /// Notes the day of a hit; `past` if that day is over.
    #[inline]
    pub fn touch(&mut self, day: Date, past: bool) {
        // Most batches are of one day, or of two.
        match self.days.iter_mut().rev().find(|touched| touched.day == day) {
            Some(touched) => touched.hits += 1,
            None => self.days.push(DayTouched { day, past, hits: 1 }),
        }
    }

    /// How many hits it holds so far.
    pub fn hits(&self) -> usize {
        self.origins.len()
    }

    /// Its size in bytes so far.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Closes it; `end` makes the end of the body, the mark and what else the receiver wants there.
    pub fn close(self, end: impl FnOnce(Mark) -> String) -> Batch {
        let Self { site, ledger_site, mut body, origins, newest, hash, pv_id, days } = self;
        let mark = Mark(xxh3_64(&hash.to_le_bytes()));
        body.extend_from_slice(end(mark).as_bytes());
        Batch { site, ledger_site, mark, body: Bytes::from(body), origins, newest, pv_id, days }
    }
}

/// The offsets of these hits of one file, ascending.
fn ascending(hits: impl Iterator<Item = Origin> + Clone) -> Offsets {
    /// Numbers for each hit that are worth counting through.
    const NUMBERS_MAX: usize = 64;
    let (count, first) = hits.clone().fold((0, u32::MAX), |(count, first), hit| (count + 1, first.min(hit.number)));
    let place = |hit: &Origin| ((hit.number - first) / u64::BITS, (hit.number - first) % u64::BITS);
    let words = hits.clone().map(|hit| place(&hit).0 as usize + 1).max().unwrap_or(0);
    if words * u64::BITS as usize > NUMBERS_MAX * count {
        return Offsets::new(hits.map(|hit| hit.offset).collect());
    }
    // Hits are numbered in the order of their lines: as many offsets go before a hit's as there are smaller numbers, and
    // those are counted 64 at a time. Sorting takes three times as long.
    let mut numbers = vec![(0u64, 0u32); words];
    hits.clone().map(|hit| place(&hit)).for_each(|(word, bit)| numbers[word as usize].0 |= 1 << bit);
    let mut before = 0;
    for (word, smaller) in &mut numbers {
        *smaller = before;
        before += word.count_ones();
    }
    let mut offsets = vec![0; count];
    for hit in hits {
        let (word, bit) = place(&hit);
        let (word, smaller) = numbers[word as usize];
        offsets[(smaller + (word & ((1 << bit) - 1)).count_ones()) as usize] = hit.offset;
    }
    Offsets::ascending(offsets)
}

/// A hash that depends on everything folded into it so far, and on the order: a wide product, its halves laid over each
/// other. This is done for every hit, so it has to be short.
fn folded<const N: usize>(hash: u64, words: [u64; N]) -> u64 {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15;
    words.iter().fold(hash, |hash, word| {
        let product = u128::from(hash ^ word) * ODD;
        product as u64 ^ (product >> u64::BITS) as u64
    })
}

fn page_view_id(hash: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let digit = |place: u32| DIGITS[(hash / 62u64.pow(place) % 62) as usize] as char;
    (0..PAGE_VIEW_DIGITS as u32).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(site: u32, salt: u64, identity: u64, hits: &[(u32, u64, &str)], with_pv_id: bool) -> Batch {
        let mut filling = Filling::new(SiteId(site), None, salt, Vec::new(), hits.len());
        for &(file, offset, json) in hits {
            let origin = Origin { file: FileId(file), number: offset as u32, offset };
            let hit = Waiting { origin, seconds: 0, visitor: 0, agent: 0 };
            filling.push(&hit, identity, Written { own: json.as_bytes(), common: None }, with_pv_id);
        }
        filling.close(|_| "]}".to_owned())
    }

    #[test]
    fn a_mark_tells_batches_apart_and_is_the_same_next_time() {
        let hits = [(1, 0, r#"{"a":"1"}"#), (2, 9, r#"{"a":"2"}"#)];
        let mark = |site, salt, identity, hits: &[_]| filled(site, salt, identity, hits, false).mark;
        let first = mark(4, 0, 7, &hits);
        assert_eq!(first, mark(4, 0, 7, &hits));
        for other in [mark(5, 0, 7, &hits), mark(4, 1, 7, &hits), mark(4, 0, 8, &hits), mark(4, 0, 7, &hits[..1])] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn every_hit_carries_the_page_view_id() {
        let batch = filled(4, 0, 7, &[(1, 0, r#"{"a":"1"}"#), (1, 9, r#"{"a":"2"}"#)], true);
        let document: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
        let pv_id = batch.pv_id.unwrap();
        assert_eq!(pv_id.len(), PAGE_VIEW_DIGITS);
        assert!(document["requests"].as_array().unwrap().iter().all(|hit| hit["pv_id"] == pv_id.as_str()));
    }

    #[test]
    fn an_intent_names_the_lines_of_each_file() {
        let intent = filled(4, 0, 7, &[(2, 50, "{}"), (1, 9, "{}"), (2, 10, "{}")], false).intent(IntentId(3), 0);
        assert_eq!(intent.hits(), 3);
        assert_eq!(intent.parts[1].lines.as_slice(), [10, 50]);
        // Numbers far apart, as of a batch that was filled for long.
        let intent = filled(4, 0, 7, &[(2, 5_000_000, "{}"), (2, 10, "{}")], false).intent(IntentId(3), 0);
        assert_eq!(intent.parts[0].lines.as_slice(), [10, 5_000_000]);
    }
}
