//! What a journal amounts to, before and after it was rewritten.

use super::book::Book;
use super::record::{FileId, Intent, IntentId, Mark, Part, Record};
use super::{FileState, Offsets, Receipt, TakeOver, Totals, TurnEnded};
use crate::discover::{Fingerprint, Head, LogFile, SiteId};

const FILE: FileId = FileId(1);

fn seen(size: u64) -> Record {
    let print = Fingerprint { bytes: 10, first_line: 7, hash: 8 };
    Record::Seen { file: FILE, print, path: "/logs/4/a.log".to_owned(), size, modified_ns: 5_000_000_000 }
}

fn finished(offset: u64, cut: bool) -> Record {
    let path = "/logs/4/a.log".to_owned();
    Record::Finished { file: FILE, path, offset, cut, totals: Totals::default(), at_ms: 9, newest: None }
}

fn arrived(intent: u64, offset: u64, day: &str, hits: u64) -> [Record; 2] {
    let intent = IntentId(intent);
    let parts = vec![Part { file: FILE, lines: Offsets::new(vec![offset]) }];
    let by_day = vec![(day.parse().unwrap(), hits)];
    let (mark, ledger_site, pv_id, days) = (Mark(3), None, None, Vec::new());
    let sent = Intent { intent, mark, ledger_site, sent_ms: 1, parts, pv_id, newest: 100, days, by_day };
    [Record::Intent(sent), Record::Receipt { intent, receipt: Receipt::default() }]
}

fn read(records: impl IntoIterator<Item = Record>) -> Book {
    let mut book = Book::new(SiteId(4));
    records.into_iter().for_each(|record| book.apply(record));
    book
}

/// The book after its journal was rewritten.
fn again(book: &Book) -> Book {
    let mut short = Vec::new();
    let tell = &mut |record| {
        short.push(record);
        Ok(())
    };
    book.snapshot(tell).unwrap();
    read(short)
}

#[test]
fn what_people_are_shown_survives_a_rewrite() {
    let mut records = vec![seen(900)];
    records.extend(arrived(0, 50, "2026-11-23", 3));
    // This one lies beyond the checkpoint, so that its batch is written again.
    records.extend(arrived(1, 700, "2026-11-23", 4));
    records.push(Record::PutAway { file: FILE, offset: 600, totals: Totals { lines: 12, ..Totals::default() } });
    records.push(Record::Turn { at_ms: 5, hits: 7, took_ms: 2 });
    records.push(Record::TookOver { at_ms: 4, imported: 2, given_up: 1 });
    let book = read(records);
    let again = again(&book);
    assert_eq!(again.tally(), book.tally());
    assert_eq!(book.tally().by_day().values().sum::<u64>(), 7);
    assert_eq!(book.tally().last_turn, Some(TurnEnded { at_ms: 5, hits: 7, took_ms: 2 }));
    assert_eq!(book.tally().takeover, Some(TakeOver { at_ms: 4, imported: 2, given_up: 1 }));
    let standing = |book: &Book| {
        let file = book.file(FILE).unwrap();
        (file.checkpoint, file.lines, file.hits, file.state.clone(), book.newest_log_ns(), book.taken(FILE))
    };
    assert_eq!(standing(&book), (600, 12, 2, FileState::Waiting, Some(5_000_000_000), vec![700]));
    assert_eq!(standing(&again), standing(&book));
}

#[test]
fn days_that_were_invalidated_do_not_come_back_with_a_rewrite() {
    let day = "2026-11-23".parse().unwrap();
    let mut records = vec![seen(900)];
    records.extend(arrived(1, 700, "2026-11-23", 4));
    if let Record::Intent(intent) = &mut records[1] {
        intent.days = vec![day];
    }
    let waiting = read(records.clone());
    assert!(waiting.days().contains(&day) && again(&waiting).days().contains(&day));
    records.push(Record::Invalidated { days: vec![day] });
    let invalidated = read(records);
    assert!(invalidated.days().is_empty() && again(&invalidated).days().is_empty());
}

#[test]
fn that_a_line_was_cut_is_forgotten_once_the_checkpoint_moved_on() {
    let cut = |records: Vec<Record>| read(records).file(FILE).unwrap().cut;
    assert!(cut(vec![seen(100), finished(100, true)]));
    assert!(cut(vec![seen(100), finished(100, true), seen(300), Record::Checkpoint { file: FILE, offset: 100 }]));
    let moved = vec![seen(100), finished(100, true), seen(300), Record::Checkpoint { file: FILE, offset: 200 }];
    assert!(!cut(moved), "the first line after a crash would be taken for the rest of another one and be lost");
}

#[test]
fn batches_behind_the_checkpoints_are_forgotten_and_those_beyond_are_not() {
    let mut book = read([seen(10_000)]);
    let (beyond, day) = (9_000, "2026-11-23");
    for number in 0..1000 {
        let [sent, receipt] = arrived(number, if number == 500 { beyond } else { number }, day, 1);
        let checkpoint = Record::Checkpoint { file: FILE, offset: number + 1 };
        [sent, receipt, checkpoint].into_iter().for_each(|record| book.apply(record));
    }
    let left = |book: &Book| book.pending().map(|pending| pending.intent.intent.0).collect::<Vec<_>>();
    assert_eq!((left(&book), left(&again(&book)), book.taken(FILE)), (vec![500], vec![500], vec![beyond]));
    // Counted by what is held: a long import must not gather batches in memory.
    assert!(book.lines_at_least() < 20, "{}", book.lines_at_least());
    assert_eq!(book.next_intent(), IntentId(1000));
}

#[test]
fn a_copy_is_known_by_a_file_that_was_seen_just_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = Book::new(SiteId(4));
    let contents = ["first\nlog\n", "other\nlog\n", "first\nlog\n", "other\nlog\nthat grew\n"];
    let known = contents.iter().zip(1..).map(|(content, id)| {
        let path = folder.path().join(id.to_string());
        std::fs::write(&path, content).unwrap();
        let head = Head::read(&path).unwrap();
        let (size, modified_ns, print) = (content.len() as u64, 0, head.fingerprint());
        let known = book.identify(&LogFile { path: path.clone(), size, modified_ns }, &head, |_, _, _| false);
        let file = known.unwrap_or(FileId(id));
        book.apply(Record::Seen { file, print, path: path.to_string_lossy().into_owned(), size, modified_ns });
        known
    });
    assert_eq!(known.collect::<Vec<_>>(), [None, None, Some(FileId(1)), Some(FileId(2))]);
}
