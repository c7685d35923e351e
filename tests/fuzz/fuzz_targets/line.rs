//! Any bytes through every parser that needs no header, the filters and the writer: no panic, and every hit is JSON in UTF-8.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use log_analytics::format::{Chosen, FORMATS, FormatOptions, LineParser, Moment, Parsed};
use log_analytics::hit::{Dates, HitOptions, Judge, Replay, Site, Verdict};

const NOW: Moment = Moment { seconds: 1_800_000_000, micros: 0 };

/// What is costly to make. None of it remembers anything of a line that changes what is made of another.
struct Kept {
    judges: Vec<Judge>,
    parsers: Vec<Box<dyn LineParser + Send>>,
}

fn judges() -> Vec<Judge> {
    let all = HitOptions { enable_bots: true, enable_static: true, enable_http_errors: true, ..HitOptions::default() };
    let pair = |field: &str, name: &str| (field.to_owned(), name.to_owned());
    let every_option = HitOptions {
        enable_http_redirects: true,
        masked_ip_bytes: 2,
        dimensions: vec![(1, "agent_class".to_owned()), (2, "status".to_owned()), (3, "user_agent".to_owned())],
        page_variables: vec![pair("status", "Status"), pair("user_agent", "\"Agent\"")],
        visit_variables: vec![pair("userid", "User"), pair("path", "Path")],
        ignore_groups: vec!["length".to_owned()],
        exclude_paths: vec!["/a*[b-d]?".to_owned()],
        exclude_urls: vec!["*secret*".to_owned()],
        hostnames: vec!["*".to_owned()],
        track_http_method: true,
        force_lowercase_path: true,
        strip_query_string: true,
        ..all.clone()
    };
    let replay = HitOptions { replay: Some(Replay::default()), ..all.clone() };
    let judge = |(options, host_mode)| Judge::new(&options, host_mode).expect("these options are sound");
    [(all, false), (every_option, true), (replay, false)].map(judge).into()
}

fn parsers() -> Vec<Box<dyn LineParser + Send>> {
    let all = FORMATS.iter().map(|format| format.parser(&FormatOptions::default(), Chosen::ByName));
    all.filter(|parser| !parser.needs_header()).collect()
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::new(Kept { judges: judges(), parsers: parsers() });
}

fuzz_target!(|bytes: &[u8]| {
    let site = Site::new(4, "https://www.example.org");
    KEPT.with_borrow_mut(|Kept { judges, parsers }| {
        let (mut json, mut dates) = (Vec::new(), Dates::default());
        for line in bytes.split(|&byte| byte == b'\n') {
            for parser in &mut *parsers {
                let Parsed::Record(record) = parser.parse(line) else { continue };
                for judge in &mut *judges {
                    if let Verdict::Keep(hit) = judge.judge(&record, &mut dates, NOW) {
                        json.clear();
                        judge.write(&hit, &site, &mut json);
                        let hit: serde_json::Value = serde_json::from_slice(&json).expect("a hit is JSON");
                        assert!(hit.is_object());
                    }
                }
            }
        }
    });
});
