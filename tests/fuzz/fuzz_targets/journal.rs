//! The ledger's journal: any records with a true checksum, any bytes without one, cut anywhere. It is read or refused, reading
//! changes nothing of what it says, and the shortest journal that says the same does.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use log_analytics::discover::SiteId;
use log_analytics::ledger::{Book, Ledger};
use xxhash_rust::xxh3::xxh3_64;

const SITE: SiteId = SiteId(4);

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| PathBuf::from(format!("/dev/shm/journal.{}", std::process::id())));

fn with_checksum(json: &[u8]) -> Vec<u8> {
    [format!("{:08x} ", xxh3_64(json) as u32).as_bytes(), json].concat()
}

/// Lines that begin with `!` are taken as they are, all others get a checksum.
fn journal(bytes: &[u8]) -> Vec<u8> {
    let lines: Vec<Vec<u8>> = bytes
        .split(|&byte| byte == b'\n')
        .map(|line| match line {
            [b'!', raw @ ..] => raw.to_vec(),
            [] => Vec::new(),
            json => with_checksum(json),
        })
        .collect();
    lines.join(&b'\n')
}

/// All that a book says, in the words of the shortest journal.
fn told(book: &Book) -> Vec<u8> {
    let mut text = Vec::new();
    let tell = |text: &mut Vec<u8>| {
        book.snapshot(&mut |record| {
            text.extend(with_checksum(&serde_json::to_vec(&record)?));
            text.push(b'\n');
            Ok(())
        })
    };
    tell(&mut text).expect("memory can be written");
    text
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
    let said = told(&book);
    for file in book.files() {
        let _ = book.taken(file.id);
    }
    let _ = (book.next_file(), book.next_intent(), book.newest_log_ns(), book.lines_at_least());
    let lease = ledger.claim(SITE).expect("it can be read").expect("nobody else holds it");
    assert!(told(lease.book()) == said);
    drop(lease);
    let again = read(&ledger, &said).expect("what was written can be read");
    assert_eq!(String::from_utf8_lossy(&told(&again)), String::from_utf8_lossy(&said));
});
