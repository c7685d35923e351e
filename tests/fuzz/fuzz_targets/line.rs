//! Any bytes through every parser, the filters and the writer: no panic, and every hit is JSON in UTF-8.
//!
//! ```sh
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz line bins/log-analytics/src/format/corpus
//! ```
#![no_main]

use libfuzzer_sys::fuzz_target;
use log_analytics::format::{Chosen, Detector, FORMATS, FormatOptions, Moment, Parsed};
use log_analytics::hit::{HitOptions, Judge, Site, Verdict};

fuzz_target!(|bytes: &[u8]| {
    let options = HitOptions { enable_bots: true, enable_static: true, enable_http_errors: true, ..HitOptions::default() };
    let Ok(mut judge) = Judge::new(&options, false) else { return };
    let site = Site::new(4, "https://www.example.org");
    let now = Moment { seconds: 1_800_000_000, micros: 0 };
    let format_options = FormatOptions::default();
    let mut detector = Detector::new(&format_options);
    for line in bytes.split(|&byte| byte == b'\n') {
        let _ = detector.offer(line);
    }
    for format in FORMATS {
        let mut parser = format.parser(&format_options, Chosen::ByName);
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
