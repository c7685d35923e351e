//! Any bytes as a W3C file, header and all, read by one of the five formats of that family, named or detected: no panic, no hang.
//! A pattern is compiled for every header, so an input is shown to one format only; its length chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use log_analytics::format::{Chosen, FORMATS, FormatOptions, LogFormat, Parsed};

fn family() -> Vec<&'static dyn LogFormat> {
    let options = FormatOptions::default();
    let needs_header = |format: &&dyn LogFormat| format.parser(&options, Chosen::ByName).needs_header();
    FORMATS.iter().copied().filter(needs_header).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let family = family();
    let chosen = if bytes.len() % 2 == 0 { Chosen::ByName } else { Chosen::ByDetection };
    // What a header says must not reach the next input.
    let mut parser = family[bytes.len() / 2 % family.len()].parser(&FormatOptions::default(), chosen);
    for line in bytes.split(|&byte| byte == b'\n') {
        if let Parsed::Record(record) = parser.parse(line) {
            let _ = record.date.moment();
        }
        parser.fit(line, 0);
    }
});
