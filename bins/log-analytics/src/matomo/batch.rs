//! Hits that travel in one request, and so in one transaction of Matomo's database.

use bytes::Bytes;
use jiff::civil::Date;

use super::mark::{Label, Wrapped};
use crate::discover::SiteId;
use crate::file::Proof;
use crate::id::{FileId, IntentId, Mark, PAGE_VIEW_DIGITS};
use crate::ledger::{Intent, Offsets, Part};
use crate::merge::{Origin, Queued};

const HEAD: &[u8] = b"{\"requests\":[";
const PAGE_VIEW: &[u8] = br#","pv_id":"""#;

/// A full batch: the body of its request, and where its hits came from.
#[derive(Clone)]
pub struct Batch {
    /// The site.
    pub site: SiteId,
    /// The ledger site that its marks go to, if any.
    pub ledger_site: Option<SiteId>,
    /// Its number.
    pub intent: IntentId,
    /// Its visitor id on the ledger site.
    pub mark: Mark,
    /// The whole body, with the token in it: never to be shown.
    pub body: Bytes,
    /// Entries of the body that are no hits: marks.
    pub marks: u64,
    /// Where its hits came from.
    pub origins: Vec<Origin>,
    /// Date of the oldest hit, seconds since 1970.
    pub oldest: i64,
    /// Date of the newest hit, seconds since 1970.
    pub newest: i64,
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
        files(&self.origins)
    }

    /// What the ledger has to know before it leaves. `proof` tells what was proven of a file.
    pub fn intent(&self, now_ms: i64, proof: impl Fn(FileId) -> Option<Proof>) -> Intent {
        let mut parts = parts(&self.origins);
        parts.iter_mut().for_each(|part| part.proof = proof(part.file));
        Intent {
            intent: self.intent,
            mark: self.mark,
            ledger_site: self.ledger_site,
            marks: 2,
            sent_ms: now_ms,
            parts,
            newest: self.newest,
            oldest: Some(self.oldest),
            days: self.days.iter().filter(|touched| touched.past).map(|touched| touched.day).collect(),
            by_day: self.days.iter().map(|touched| (touched.day, touched.hits)).collect(),
        }
    }
}

fn files(origins: &[Origin]) -> Vec<FileId> {
    let mut files: Vec<_> = origins.iter().map(|origin| origin.file).collect();
    files.dedup();
    files.sort_unstable();
    files.dedup();
    files
}

/// The lines of each file.
pub fn parts(origins: &[Origin]) -> Vec<Part> {
    let lines = |file| origins.iter().filter(move |origin| origin.file == file).map(|origin| origin.offset);
    let part = |file| Part { file, lines: Offsets::new(lines(file).collect()), proof: None };
    files(origins).into_iter().map(part).collect()
}

/// A batch that is being filled.
#[derive(Default)]
pub struct BatchBuilder {
    /// JSON of the hits, one after another.
    hits: Vec<u8>,
    /// Each hit, and where its JSON ends.
    queued: Vec<(Queued, usize)>,
    days: Vec<DayTouched>,
}

impl BatchBuilder {
    /// An empty batch; `room` is empty room for its hits.
    pub fn in_room(mut room: Vec<u8>) -> Self {
        room.clear();
        Self { hits: room, ..Self::default() }
    }

    /// Puts a hit in: one JSON object, whose last byte is its closing brace. `day` is the site's, and whether it is over.
    pub fn push(&mut self, hit: &Queued, json: &[u8], day: Option<(Date, bool)>) {
        debug_assert_eq!(json.last(), Some(&b'}'), "a hit ends with its closing brace");
        self.hits.extend_from_slice(&json[..json.len().saturating_sub(1)]);
        // Room for its page view, whose digits depend on the number of the batch.
        self.hits.extend_from_slice(&PAGE_VIEW[..PAGE_VIEW.len() - 1]);
        self.hits.extend_from_slice(&[b'0'; PAGE_VIEW_DIGITS]);
        self.hits.extend_from_slice(b"\"}");
        self.queued.push((*hit, self.hits.len()));
        if let Some((day, past)) = day {
            self.touch(day, past);
        }
    }

    fn touch(&mut self, day: Date, past: bool) {
        // Most batches are of one day, or of two.
        match self.days.iter_mut().rev().find(|touched| touched.day == day) {
            Some(touched) => touched.hits += 1,
            None => self.days.push(DayTouched { day, past, hits: 1 }),
        }
    }

    /// How many hits it holds so far.
    pub fn len(&self) -> usize {
        self.queued.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Its size in bytes so far, without what stands around the hits.
    pub fn bytes(&self) -> usize {
        self.hits.len()
    }

    /// The files its hits came from.
    pub fn files(&self) -> Vec<FileId> {
        files(&self.origins())
    }

    /// The visitors of its hits, one for each.
    pub fn visitors(&self) -> impl Iterator<Item = u64> {
        self.queued.iter().map(|(hit, _)| hit.visitor)
    }

    /// The visitors of a file's hits, one for each.
    pub fn visitors_of(&self, file: FileId) -> impl Iterator<Item = u64> {
        self.queued.iter().filter(move |(hit, _)| hit.origin.file == file).map(|(hit, _)| hit.visitor)
    }

    /// Where its hits came from.
    pub fn origins(&self) -> Vec<Origin> {
        self.queued.iter().map(|(hit, _)| hit.origin).collect()
    }

    /// Takes the hits of a file out, as they were not read from what the file holds. `day` as for [`BatchBuilder::push`].
    pub fn remove(&mut self, file: FileId, mut day: impl FnMut(i64) -> Option<(Date, bool)>) {
        let (hits, queued) = (std::mem::take(&mut self.hits), std::mem::take(&mut self.queued));
        self.days.clear();
        let mut begin = 0;
        for (hit, end) in queued {
            if hit.origin.file != file {
                self.hits.extend_from_slice(&hits[begin..end]);
                self.queued.push((hit, self.hits.len()));
                if let Some((day, past)) = day(hit.seconds) {
                    self.touch(day, past);
                }
            }
            begin = end;
        }
    }

    /// Closes the batch under its number. `wrap` makes the marks around the hits. Answers the room that the hits took as well.
    pub fn close(
        self,
        mut label: Label<'_>,
        with_page_views: bool,
        wrap: impl FnOnce(&Label<'_>) -> Wrapped,
    ) -> (Batch, Vec<u8>) {
        let origins = self.origins();
        let Self { hits, queued, days } = self;
        let newest = days.iter().map(|touched| touched.day).max().zip(queued.iter().map(|(hit, _)| hit.seconds).max());
        (label.parts, label.hits, label.newest) = (parts(&origins), origins.len(), newest);
        let Wrapped { head, tail, marks } = wrap(&label);
        let mut body = Vec::with_capacity(HEAD.len() + head.len() + hits.len() + queued.len() + tail.len());
        body.extend_from_slice(HEAD);
        body.extend_from_slice(head.as_bytes());
        let mut begin = 0;
        for (hit, end) in &queued {
            if begin > 0 {
                body.push(b',');
            }
            push_hit(
                &mut body,
                &hits[begin..*end],
                with_page_views,
                label.mark.page_view(hit.origin.file, hit.origin.offset),
            );
            begin = *end;
        }
        body.extend_from_slice(tail.as_bytes());
        let seconds = || queued.iter().map(|(hit, _)| hit.seconds);
        let batch = Batch {
            site: label.site,
            ledger_site: label.ledger_site,
            intent: label.intent,
            mark: label.mark,
            body: body.into(),
            marks,
            origins,
            oldest: seconds().min().unwrap_or_default(),
            newest: seconds().max().unwrap_or_default(),
            days,
        };
        (batch, hits)
    }
}

/// Appends a hit, with the digits of its page view or without one.
fn push_hit(body: &mut Vec<u8>, hit: &[u8], with_page_views: bool, digits: [u8; PAGE_VIEW_DIGITS]) {
    const END: &[u8] = b"\"}";
    let own = &hit[..hit.len() - (PAGE_VIEW.len() - 1 + PAGE_VIEW_DIGITS + END.len())];
    body.extend_from_slice(own);
    if with_page_views {
        body.extend_from_slice(&PAGE_VIEW[..PAGE_VIEW.len() - 1]);
        body.extend_from_slice(&digits);
        body.extend_from_slice(END);
    } else {
        body.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JournalId;

    fn queued(file: u32, offset: u64) -> Queued {
        Queued { origin: Origin { file: FileId(file), number: 0, offset }, seconds: offset as i64, visitor: 0 }
    }

    fn built(hits: &[(u32, u64, &str)]) -> BatchBuilder {
        let mut builder = BatchBuilder::default();
        hits.iter().for_each(|(file, offset, json)| builder.push(&queued(*file, *offset), json.as_bytes(), None));
        builder
    }

    fn closed(builder: BatchBuilder, with_page_views: bool) -> (Batch, serde_json::Value) {
        let label = Label::of(SiteId(4), None, JournalId(1), IntentId(3));
        let (batch, _) = builder.close(label, with_page_views, |_| Wrapped::plain());
        let body = serde_json::from_slice(&batch.body).unwrap();
        (batch, body)
    }

    #[test]
    fn every_hit_carries_a_page_view_id_of_its_own() {
        let hits = [(1, 0, r#"{"a":"1"}"#), (1, 9, r#"{"a":"2"}"#)];
        let (batch, body) = closed(built(&hits), true);
        let ids: Vec<_> =
            body["requests"].as_array().unwrap().iter().map(|hit| hit["pv_id"].as_str().unwrap().to_owned()).collect();
        let expected =
            [0, 9].map(|offset| String::from_utf8(batch.mark.page_view(FileId(1), offset).to_vec()).unwrap());
        assert_eq!(ids, expected);
        assert_ne!(ids[0], ids[1]);
        let (_, body) = closed(built(&hits), false);
        assert_eq!(body["requests"], serde_json::json!([{"a": "1"}, {"a": "2"}]));
    }

    #[test]
    fn an_intent_names_the_lines_of_each_file() {
        let (batch, _) =
            closed(built(&[(2, 50, r#"{"a":"1"}"#), (1, 9, r#"{"a":"2"}"#), (2, 10, r#"{"a":"3"}"#)]), true);
        let intent = batch.intent(0, |_| None);
        assert_eq!((intent.hits(), intent.oldest, intent.newest), (3, Some(9), 50));
        assert_eq!(intent.parts[1].lines.as_slice(), [10, 50]);
    }

    #[test]
    fn the_hits_of_a_file_can_be_taken_out() {
        let mut builder = built(&[(2, 50, r#"{"a":"1"}"#), (1, 9, r#"{"a":"2"}"#), (2, 60, r#"{"a":"3"}"#)]);
        builder.remove(FileId(2), |_| None);
        let (batch, body) = closed(builder, false);
        assert_eq!(batch.files(), [FileId(1)]);
        assert_eq!(body["requests"], serde_json::json!([{"a": "2"}]));
    }
}
