//! Test: no line, however odd, makes any parser panic, and a parser stays usable after it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::{Chosen, Detector, FORMATS, FormatOptions, LineParser, Parsed, named};

/// Lines of every format in a file of its own, and in `lines.log` those that once went wrong somewhere, or look as if they
/// could: yours goes at its end. A fuzzer starts from these files.
static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
});

/// What a fuzzer takes of a file.
const SEED_BYTES_MAX: usize = 4096;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format/corpus")
}

const HEADERS: [&str; 3] = [
    "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status sc-bytes time-taken cs(User-Agent) cs(Referer)",
    "#Fields: c-ip date time cs-uri-stem c-status x-event x-sname sc-status cs(User-Agent)",
    "#Fields: date time c-ip cs-uri sc-status cs(User-Agent)",
];

fn odd_lines() -> impl Iterator<Item = &'static [u8]> {
    CORPUS.iter().flat_map(|file| file.split(|byte| *byte == b'\n'))
}

fn every_parser() -> impl Iterator<Item = Box<dyn LineParser + Send>> {
    let custom = r"(?P<ip>\S+)\s+(?P<date>.*?)\s+(?P<path>\S*)\s(?P<status>\S+)(?P<extra>.*)";
    let custom = FormatOptions { regex: Some(custom.to_owned()), ..FormatOptions::default() };
    let own = named(&custom).unwrap().unwrap().parser();
    let known = FORMATS.iter().map(|format| format.parser(&FormatOptions::default(), Chosen::ByName));
    known.chain([own])
}

fn read(parser: &mut dyn LineParser, line: &[u8]) {
    if let Parsed::Record(record) = parser.parse(line) {
        let _ = record.date.moment();
    }
    parser.fit(line, 0);
}

#[test]
fn odd_lines_are_read_or_refused_by_every_parser() {
    for mut parser in every_parser() {
        for header in HEADERS {
            read(&mut *parser, header.as_bytes());
            odd_lines().for_each(|line| read(&mut *parser, line));
        }
    }
}

#[test]
fn every_format_has_a_file_in_the_corpus() {
    for format in FORMATS {
        let file = folder().join(format!("{}.log", format.name()));
        let lines = fs::read(&file).unwrap_or_else(|error| {
            panic!("a fuzzer would hardly find a line of {}: write some to {} ({error})", format.name(), file.display())
        });
        assert!(lines.len() <= SEED_BYTES_MAX, "{} is longer than {SEED_BYTES_MAX} bytes", file.display());
        let mut parser = format.parser(&FormatOptions::default(), Chosen::ByName);
        let mut lines = lines.split(|byte| *byte == b'\n');
        assert!(lines.any(|line| matches!(parser.parse(line), Parsed::Record(_))), "{}", file.display());
    }
}

#[test]
fn odd_lines_do_not_disturb_detection() {
    let good = r#"192.0.2.1 - - [05/Jun/2024:08:00:05 +0200] "GET / HTTP/1.1" 200 1 "-" "UA""#;
    for line in odd_lines().filter(|line| !line.trim_ascii().is_empty()) {
        let mut detector = Detector::new(&FormatOptions::default());
        let found = [line, good.as_bytes()].into_iter().find_map(|line| detector.offer(line));
        assert!(found.is_some(), "{}", line.escape_ascii());
    }
}

/// Bytes as a hostile or broken server could write them: mostly the characters that mean something.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(b" \t\"[](){}:,/\\-+.%#0129aZ\x1c\x85\xc3\xa9\xe2\xff".to_vec());
    prop::collection::vec(prop_oneof![3 => telling, 1 => any::<u8>()], 0..120)
}

/// A line of some sample with a few bytes changed, so that parsers get far into it.
fn broken_sample() -> impl Strategy<Value = Vec<u8>> {
    let samples: Vec<Vec<u8>> = odd_lines().filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    (prop::sample::select(samples), bytes(), any::<prop::sample::Index>()).prop_map(|(mut line, bytes, at)| {
        let at = at.index(line.len());
        line.truncate(2_000);
        let at = at.min(line.len());
        line.splice(at..at, bytes);
        line
    })
}

proptest! {
    // Every case compiles the patterns of all formats.
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_lines_are_read_or_refused_by_every_parser(lines in prop::collection::vec(prop_oneof![bytes(), broken_sample()], 1..20)) {
        for mut parser in every_parser() {
            for header in HEADERS {
                read(&mut *parser, header.as_bytes());
                lines.iter().for_each(|line| read(&mut *parser, line));
            }
        }
    }
}
