//! Streams with lines about as long as the longest that is kept: every line comes out once, at its offset, whatever the size
//! of the reads. The input is a list of runs, so that a few bytes make megabytes.
#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use log_analytics::file::{LINE_BYTES_MAX, Lines, PrefixHasher};

const STREAM_BYTES_MAX: usize = 4 << 20;

struct Drops {
    bytes: Vec<u8>,
    at: usize,
    most: usize,
}

impl Read for Drops {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.most.min(buffer.len()).min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..][..count]);
        self.at += count;
        Ok(count)
    }
}

fn stream(runs: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for run in runs.chunks_exact(2) {
        let (letter, length) = match run[0] % 8 {
            0 | 1 => (b'\n', 1),
            2 => (b'\r', 1),
            3 => (b'x', 1 << (run[1] % 21)),
            4 => (b'y', LINE_BYTES_MAX - 128 + usize::from(run[1])),
            _ => (b'z', usize::from(run[1])),
        };
        bytes.resize(STREAM_BYTES_MAX.min(bytes.len() + length), letter);
    }
    bytes
}

/// Where each line starts, ends and is followed by the next.
fn expected(bytes: &[u8]) -> Vec<(usize, usize, usize)> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes[start..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).map(|at| start + at);
        let next = match end {
            Some(end) if bytes[end..].starts_with(b"\r\n") => end + 2,
            Some(end) => end + 1,
            None => bytes.len(),
        };
        lines.push((start, end.unwrap_or(bytes.len()), next));
        start = next;
    }
    lines
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, runs)) = input.split_first() else { return };
    let bytes = stream(runs);
    let most = if size < 128 { usize::MAX } else { usize::from(size - 127) * 1021 };
    let source = Drops { bytes: bytes.clone(), at: 0, most };
    let mut lines = Lines::new("stream".into(), Box::new(source), PrefixHasher::default());
    for (start, end, next) in expected(&bytes) {
        let line = lines.next_line().expect("the source never fails").expect("no line is lost");
        assert_eq!((line.offset, line.end), (start as u64, next as u64));
        let kept = LINE_BYTES_MAX.min(end - start);
        // Of an overlong line at least so much is there.
        assert!(line.bytes[..kept] == bytes[start..start + kept] && (line.overlong || line.bytes.len() == kept));
        assert_eq!((line.overlong, line.terminated), (end - start > LINE_BYTES_MAX, end < next));
    }
    assert!(lines.next_line().expect("the source never fails").is_none());
});
