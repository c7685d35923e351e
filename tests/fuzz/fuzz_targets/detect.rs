//! Any bytes as the beginning of a file of unknown format: no panic, no hang, and what is found reads on to the end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use log_analytics::format::{Detector, FORMATS, FormatOptions};

fuzz_target!(|bytes: &[u8]| {
    let mut detector = Detector::new(&FormatOptions::default());
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let Some(mut found) = lines.find_map(|line| detector.offer(line)) else {
        let _ = detector.not_found();
        return;
    };
    assert!(detector.exhausted() && FORMATS.iter().any(|format| format.name() == found.name));
    for line in lines {
        let _ = found.parser.parse(line);
    }
});
