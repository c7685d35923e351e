//! Formats in an operator's own words, and lines read by them: refused or read, no panic, no hang.
//!
//! The first letter says which words the first line is made of; the other lines are read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use log_analytics::format::{FormatOptions, Parsed, named};

const LINE: &str = r"(?P<ip>\S*) (?P<path>\S*) (?P<status>\d*) (?P<date>.*)";

fn pairs(text: &str) -> Vec<(String, String)> {
    text.split(',').filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

fn options(kind: u8, text: String) -> Option<FormatOptions> {
    let none = FormatOptions::default();
    Some(match kind {
        b't' => FormatOptions { template: Some(text), ..none },
        b'j' => FormatOptions { json_fields: pairs(&text), ..none },
        b'r' => FormatOptions { regex: Some(text), ..none },
        b'd' => FormatOptions { regex: Some(LINE.to_owned()), date_format: Some(text), ..none },
        b'w' => FormatOptions { name: Some("w3c_extended".to_owned()), w3c_fields: Some(text), ..none },
        b'f' => FormatOptions {
            name: Some("iis".to_owned()),
            w3c_fields: Some("date time c-ip cs-uri-stem sc-status a b".to_owned()),
            w3c_field_regexes: pairs(&text),
            ..none
        },
        _ => return None,
    })
}

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let Some([kind, text @ ..]) = lines.next() else { return };
    let Some(options) = options(*kind, String::from_utf8_lossy(text).into_owned()) else { return };
    let Ok(Some(choice)) = named(&options) else { return };
    let mut parser = choice.parser();
    for line in lines {
        if let Parsed::Record(record) = parser.parse(line) {
            let _ = record.date.moment();
        }
        parser.fit(line, 0);
    }
});
