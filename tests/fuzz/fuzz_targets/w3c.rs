//! Any bytes as a W3C file, header and all, through the five formats of that family, named and detected: no panic, no hang.
#![no_main]

use libfuzzer_sys::fuzz_target;
use log_analytics::format::{Chosen, FORMATS, FormatOptions, Parsed};

fuzz_target!(|bytes: &[u8]| {
    let options = FormatOptions::default();
    for format in FORMATS {
        for chosen in [Chosen::ByName, Chosen::ByDetection] {
            // What a header says must not reach the next input.
            let mut parser = format.parser(&options, chosen);
            if !parser.needs_header() {
                break;
            }
            for line in bytes.split(|&byte| byte == b'\n') {
                if let Parsed::Record(record) = parser.parse(line) {
                    let _ = record.date.moment();
                }
                parser.fit(line, 0);
            }
        }
    }
});
