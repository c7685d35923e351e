//! Any text as import options: refused with a reason or read, and then a judge can be made of them and they read alike again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use log_analytics::hit::Judge;
use log_analytics::options::ImportOptions;
use shared::shutdown::Shutdown;

fuzz_target!(|text: &str| {
    // Files of patterns may be named, but not devices that never end.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    match ImportOptions::from_text(text) {
        Ok(options) => {
            assert!(Judge::new(&options.hits, true).is_ok());
            let _ = (
                options.encoding(),
                options.reading(&Shutdown::never()),
                options.server.address("https://matomo.example", None, None),
            );
            assert!(options.read_again().is_ok_and(|again| again == options));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
