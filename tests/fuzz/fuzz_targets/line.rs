//! Any bytes through every parser, the filters and the writer: no panic, and every hit is JSON in UTF-8.
//!
//! ```sh
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz line NEW_INPUTS bins/log-analytics/src/format/corpus -- -max_len=4096
//! ```
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use log_analytics::format::{Chosen, Detector, FORMATS, FormatOptions, LineParser, Moment, Parsed};
use log_analytics::hit::{HitOptions, Judge, Site, Verdict};

/// What is costly to make. Only parsers that remember a header are made anew for each input, so that an input alone
/// decides what happens.
struct Kept {
    judge: Judge,
    parsers: Vec<Box<dyn LineParser + Send>>,
}

fn parsers() -> impl Iterator<Item = Box<dyn LineParser + Send>> {
    FORMATS.iter().map(|format| format.parser(&FormatOptions::default(), Chosen::ByName))
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::new({
        let options =
            HitOptions { enable_bots: true, enable_static: true, enable_http_errors: true, ..HitOptions::default() };
        Kept { judge: Judge::new(&options, false).expect("the default options are sound"), parsers: parsers().collect() }
    });
}

fuzz_target!(|bytes: &[u8]| {
    let site = Site::new(4, "https://www.example.org");
    let now = Moment { seconds: 1_800_000_000, micros: 0 };
    let format_options = FormatOptions::default();
    let mut detector = Detector::new(&format_options);
    for line in bytes.split(|&byte| byte == b'\n') {
        let _ = detector.offer(line);
    }
    KEPT.with_borrow_mut(|Kept { judge, parsers: kept }| {
        for (parser, fresh) in kept.iter_mut().zip(parsers()) {
            if parser.needs_header() {
                *parser = fresh;
            }
            for line in bytes.split(|&byte| byte == b'\n') {
                let Parsed::Record(record) = parser.parse(line) else { continue };
                if let Verdict::Keep(hit) = judge.judge(&record, now) {
                    let mut json = Vec::new();
                    judge.write(&hit, &site, &mut json);
                    assert!(std::str::from_utf8(&json).is_ok() && json.ends_with(b"}"));
                }
            }
        }
    });
});
