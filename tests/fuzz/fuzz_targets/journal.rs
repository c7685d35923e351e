//! The ledger's journal: any records with a true checksum, any bytes without one, cut anywhere. It is read or refused, reading
//! changes nothing of what it says, and the shortest journal that says the same does.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use log_analytics::discover::SiteId;
use log_analytics::ledger::{Book, Ledger};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const SITE: SiteId = SiteId(4);

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| PathBuf::from(format!("/dev/shm/journal.{}", std::process::id())));

/// Lines with their checksums, each made with the one before since version 2.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    last: Option<u32>,
}

impl Lines {
    fn add(&mut self, json: &[u8]) {
        let sum = xxh3_64_with_seed(json, self.last.map_or(0, u64::from)) as u32;
        let record: Value = serde_json::from_slice(json).unwrap_or_default();
        let begins = record["opened"]["version"].as_u64().is_some_and(|version| version > 1);
        self.last = if begins { Some(sum) } else { self.last.map(|_| sum) };
        self.text.extend(format!("{sum:08x} ").as_bytes());
        self.text.extend(json);
    }
}

/// Lines that begin with `!` are taken as they are, all others get a checksum.
fn journal(bytes: &[u8]) -> Vec<u8> {
    let mut lines = Lines::default();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let (line, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |line| (line, b"\n"));
        match line {
            [b'!', raw @ ..] => lines.text.extend(raw),
            [] => {}
            json => lines.add(json),
        }
        lines.text.extend(end);
    }
    lines.text
}

/// All that a book says, in the words of the shortest journal.
fn told(book: &Book) -> Vec<u8> {
    let mut lines = Lines::default();
    book.snapshot(&mut |record| {
        lines.add(&serde_json::to_vec(&record)?);
        lines.text.push(b'\n');
        Ok(())
    })
    .expect("memory can be written");
    lines.text
}

fn read(ledger: &Ledger, journal: &[u8]) -> Option<Book> {
    fs::write(FOLDER.join("site-4.journal"), journal).expect("memory can be written");
    ledger.peek(SITE).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let ledger = Ledger::open(&FOLDER).expect("memory can be written");
    let Some(book) = read(&ledger, &journal(bytes)) else {
        assert!(ledger.claim(SITE).is_err());
        return;
    };
    for file in book.files() {
        let _ = book.taken(file.id);
    }
    let _ = (book.next_file(), book.next_intent(), book.newest_log_ns(), book.lines_at_least());
    // An older journal is gone on with in the present version.
    let lease = ledger.claim(SITE).expect("it can be read").expect("nobody else holds it");
    let said = told(lease.book());
    drop(lease);
    assert!(told(&ledger.peek(SITE).expect("it was read before")) == said);
    let again = read(&ledger, &said).expect("what was written can be read");
    assert_eq!(String::from_utf8_lossy(&told(&again)), String::from_utf8_lossy(&said));
});
