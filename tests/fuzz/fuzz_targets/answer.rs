//! Any HTTP answer to a bulk request: judged without a panic, and taken for a success only where Matomo says so.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use log_analytics::matomo::bulk::{Answered, Outcome, judge};

fuzz_target!(|bytes: &[u8]| {
    let [low, high, hits, marks, body @ ..] = bytes else { return };
    let status = u16::from_le_bytes([*low, *high]);
    let (hits, sent) = (u64::from(*hits), u64::from(*hits) + u64::from(*marks));
    let location = str::from_utf8(body).ok();
    let answer = Answered { status, body, location, elapsed: Duration::from_millis(40) };
    match judge(answer, hits, sent) {
        Outcome::Delivered(receipt) => {
            assert_eq!(status, 200);
            assert!(receipt.tracked <= hits && receipt.invalid < hits && receipt.short <= sent);
        }
        Outcome::InDoubt(doubt) => assert!(!doubt.why.is_empty()),
        Outcome::Transient(why) => assert!(!why.is_empty()),
        Outcome::Rejected(_) => {}
    }
});
