//! Reads both outputs of a program: to the caller, to the log, and into the tail.

use std::{os::fd::OwnedFd, time::Duration};

use tokio::{net::unix::pipe, time::timeout};

use super::{
    hidden::Hidden,
    output::{Line, Splitter, Stream, Tail},
    program::Program,
};
use crate::logging::pump::Pump;

const READ_BYTES_MAX: usize = 32 << 10;

pub(super) struct Listener<R> {
    streams: [Source; 2],
    buffer: Box<[u8]>,
    reader: R,
    pump: Pump,
    tail: Tail,
    hidden: Hidden,
    lines: u64,
    bytes: u64,
    dropped: u64,
}

/// What was heard to the end.
pub(super) struct Heard {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) dropped: u64,
    pub(super) tail: String,
}

struct Source {
    stream: Stream,
    pipe: Option<pipe::Receiver>,
    splitter: Splitter,
}

impl Source {
    fn new(stream: Stream, pipe: Option<OwnedFd>) -> Self {
        let pipe = pipe.and_then(|pipe| pipe::Receiver::from_owned_fd(pipe).ok());
        Self { stream, pipe, splitter: Splitter::default() }
    }
}

impl<R: FnMut(Line<'_>)> Listener<R> {
    pub(super) fn new(program: &Program, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>, reader: R) -> Self {
        Self {
            streams: [Source::new(Stream::Out, stdout), Source::new(Stream::Err, stderr)],
            buffer: vec![0; READ_BYTES_MAX].into(),
            reader,
            pump: if program.logged { Pump::new(&program.label) } else { Pump::silent() },
            tail: Tail::default(),
            hidden: program.hidden.clone(),
            lines: 0,
            bytes: 0,
            dropped: 0,
        }
    }

    /// Whether the program may still say something.
    pub(super) fn is_open(&self) -> bool {
        self.streams.iter().any(|source| source.pipe.is_some())
    }

    /// Sends what was read before, then reads once. Abandoning it loses nothing.
    pub(super) async fn next(&mut self) {
        self.dropped += self.pump.send().await;
        let [out, err] = &mut self.streams;
        // Two buffers would cost more than the copy: each stream fills the same one, never both.
        let ready = tokio::select! {
            () = readable(&out.pipe), if out.pipe.is_some() => 0,
            () = readable(&err.pipe), if err.pipe.is_some() => 1,
            else => return,
        };
        self.read(ready);
    }

    fn read(&mut self, at: usize) {
        let source = &mut self.streams[at];
        let Some(pipe) = &source.pipe else { return };
        let count = match pipe.try_read(&mut self.buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(_) => 0,
        };
        let stream = source.stream;
        let (reader, pump, tail, lines) = (&mut self.reader, &mut self.pump, &mut self.tail, &mut self.lines);
        let hidden = &self.hidden;
        let mut give = |bytes: &[u8], continues: bool| {
            let bytes = &hidden.over(bytes)[..];
            let line = Line { stream, bytes, continues };
            *lines += u64::from(!continues);
            tail.keep(line);
            pump.add(line);
            reader(line);
        };
        if count == 0 {
            source.pipe = None;
            source.splitter.finish(&mut give);
        } else {
            self.bytes += count as u64;
            source.splitter.feed(&self.buffer[..count], &mut give);
        }
    }

    /// Reads what is still there, as long as that takes at most, and closes.
    pub(super) async fn finish(&mut self, patience: Duration) {
        let rest = async {
            while self.is_open() {
                self.next().await;
            }
        };
        // Whoever still holds the output open is no part of the program any more.
        let _ = timeout(patience, rest).await;
        for at in [0, 1] {
            self.close(at);
        }
        self.dropped += self.pump.send().await;
    }

    /// Takes the unfinished line of a stream that was not read to its end.
    fn close(&mut self, at: usize) {
        let source = &mut self.streams[at];
        if source.pipe.take().is_none() {
            return;
        }
        let stream = source.stream;
        let (reader, pump, tail, lines) = (&mut self.reader, &mut self.pump, &mut self.tail, &mut self.lines);
        let hidden = &self.hidden;
        source.splitter.finish(&mut |bytes, continues| {
            let bytes = &hidden.over(bytes)[..];
            let line = Line { stream, bytes, continues };
            *lines += u64::from(!continues);
            tail.keep(line);
            pump.add(line);
            reader(line);
        });
    }

    pub(super) fn heard(self) -> Heard {
        Heard { lines: self.lines, bytes: self.bytes, dropped: self.dropped, tail: self.tail.text() }
    }
}

async fn readable(pipe: &Option<pipe::Receiver>) {
    if let Some(pipe) = pipe {
        // An error shows again when it is read.
        let _ = pipe.readable().await;
    }
}
