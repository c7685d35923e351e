//! What a journal amounts to, before and after it was rewritten.

use super::book::Book;
use super::record::{FileId, Intent, IntentId, Mark, Part, Print, Record, Seen};
use super::{FileState, Offsets, Receipt, Spans, TakeOver, Totals, TurnEnded};
use crate::discover::SiteId;
use crate::file::Proof;

const FILE: FileId = FileId(1);

fn seen_as(size: u64, line_key: u64, print: Option<Print>) -> Record {
    Record::Seen(Seen {
        file: FILE,
        path: "/logs/4/a.log".to_owned(),
        size,
        modified_ns: 5_000_000_000,
        changed_ns: 6,
        device: 1,
        inode: 2,
        line_key,
        milestones: Box::default(),
        print,
    })
}

fn seen(size: u64) -> Record {
    seen_as(size, 7, None)
}

fn proof(at: u64) -> Option<Proof> {
    Some(Proof { at, hash: u128::from(at).into(), ..Proof::default() })
}

fn finished(offset: u64, cut: bool) -> Record {
    let (path, totals) = ("/logs/4/a.log".to_owned(), Totals::default());
    let (begins, newest, proof) = (None, None, proof(offset));
    Record::Finished { file: FILE, path, offset, cut, totals, at_ms: 9, newest, begins, proof, rest: false }
}

fn arrived(intent: u64, offset: u64, day: &str, hits: u64) -> [Record; 2] {
    let intent = IntentId(intent);
    let parts = vec![Part { file: FILE, lines: Offsets::new(vec![offset]), proof: proof(offset + 1) }];
    let by_day = vec![(day.parse().unwrap(), hits)];
    let (ledger_site, days) = (Some(SiteId(9)), Vec::new());
    let mark = Mark(intent.0 + 3);
    let oldest = Some(100);
    let sent = Intent { intent, mark, ledger_site, marks: 2, sent_ms: 1, parts, newest: 100, oldest, days, by_day };
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
    records.push(Record::PutAway {
        file: FILE,
        offset: 600,
        totals: Totals { lines: 12, ..Totals::default() },
        proof: proof(600),
    });
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
    // Counted by what is held: a long import gathers batches in memory only so far as Matomo may lose them again.
    assert!(book.lines_at_least() - book.sent().count() < 20, "{}", book.lines_at_least());
    assert_eq!(book.next_intent(), IntentId(1000));
}

#[test]
fn reading_goes_on_where_something_was_proven_and_never_behind_it() {
    let mut records = vec![seen(900)];
    records.extend(arrived(0, 50, "2026-11-23", 1));
    records.push(Record::Checkpoint { file: FILE, offset: 400 });
    let book = read(records);
    assert_eq!(book.file(FILE).map(|content| (content.checkpoint, content.resume())), Some((400, 51)));
    assert_eq!(again(&book).file(FILE).map(super::Content::resume), Some(51));
}

#[test]
fn a_content_of_version_1_is_believed_as_far_as_its_checkpoint() {
    let print = Print { bytes: 10, first_line: 7, hash: 8 };
    let book = read([seen_as(900, 0, Some(print)), Record::Checkpoint { file: FILE, offset: 400 }]);
    let resume = |book: &Book| book.file(FILE).map(|content| (content.resume(), content.line_key, content.proof));
    assert_eq!(resume(&book), Some((400, 7, print.proof())));
    assert_eq!(resume(&again(&book)), resume(&book));
}

#[test]
fn what_matomo_lost_is_sent_again_though_the_file_was_finished() {
    let mut records = vec![seen(900)];
    records.extend(arrived(0, 50, "2026-11-23", 1));
    records.extend(arrived(1, 80, "2026-11-23", 1));
    records.push(finished(900, false));
    let book = read(records);
    assert_eq!(book.sent().map(|sent| sent.intent.0).collect::<Vec<_>>(), [1, 0]);
    for mut book in [book.clone(), again(&book)] {
        book.apply(Record::Lost { intent: IntentId(1) });
        let content = book.file(FILE).unwrap();
        assert_eq!((content.state.clone(), content.hits), (FileState::Waiting, 1));
        assert!(content.again.contains(80) && !content.again.contains(50));
        assert_eq!(book.sent().count(), 1);
    }
}

#[test]
fn of_a_batch_that_arrived_in_part_the_rest_is_sent_again() {
    let mut records = vec![seen(900)];
    let [mut sent, _] = arrived(0, 50, "2026-11-23", 2);
    if let Record::Intent(intent) = &mut sent {
        intent.parts[0].lines = Offsets::new(vec![50, 70, 90]);
    }
    let missing = vec![Part { file: FILE, lines: Offsets::new(vec![50, 90]), proof: None }];
    records.extend([sent, Record::Checkpoint { file: FILE, offset: 60 }]);
    records.push(Record::Partial { intent: IntentId(0), missing });
    let book = read(records);
    assert_eq!((book.taken(FILE), book.file(FILE).unwrap().hits), (vec![70], 1));
    assert!(book.file(FILE).unwrap().again.contains(50), "what lies behind the checkpoint is owed");
}

#[test]
fn lines_that_could_not_be_read_are_read_again_once_a_person_wants_it() {
    let mut unreadable = Spans::none();
    unreadable.add(100, 200);
    let Record::Finished { file, path, offset, cut, at_ms, newest, begins, proof, rest, .. } = finished(900, false)
    else {
        panic!()
    };
    let totals = Totals { lines: 10, invalid: 3, unreadable, ..Totals::default() };
    let finished = Record::Finished { file, path, offset, cut, totals, at_ms, newest, begins, proof, rest };
    let mut book = again(&read([seen(900), finished]));
    assert_eq!(book.file(FILE).unwrap().unreadable_lines, 3);
    book.apply(Record::Released { file: FILE });
    let content = book.file(FILE).unwrap();
    assert!(content.again.contains(150) && content.unreadable.is_empty() && content.state == FileState::Waiting);
}
