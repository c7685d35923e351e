//! The way out to standard output: a bounded buffer and one thread that writes, so that a reader who stalls or leaves
//! never holds up the program.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Output of programs that waits for the reader, at most.
const ROOM_BYTES_MAX: usize = 256 << 10;
/// Our own events may use this much more, so that the last word is not lost behind a flood.
const EVENTS_BYTES_MAX: usize = 64 << 10;
/// How long a program is held up by a full buffer before its output is dropped.
const PATIENCE: Duration = Duration::from_secs(3);
/// As [`PATIENCE`], for our own events, which hold up everything.
const EVENT_PATIENCE: Duration = Duration::from_millis(200);
/// What an idle buffer keeps.
const IDLE_BYTES_MAX: usize = 16 << 10;

/// Cheap to clone; all clones write to the same place.
#[derive(Clone)]
pub(crate) struct Outlet {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    drained: Condvar,
    room: Notify,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Some bytes were taken and are not written yet.
    busy: bool,
    /// Nobody reads: nobody is waited for until something is written again.
    stalled: bool,
    dropped: Dropped,
}

/// What the buffer had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

impl Outlet {
    /// Starts the writing thread; without one (the system refuses threads) nothing is written.
    pub(crate) fn start(
        writer: impl Write + Send + 'static,
        note: impl Fn(Dropped) -> String + Send + 'static,
    ) -> Self {
        let state = Mutex::new(State::default());
        let shared = Shared { state, filled: Condvar::new(), drained: Condvar::new(), room: Notify::new() };
        let outlet = Self { shared: Arc::new(shared) };
        let writing = outlet.clone();
        // Without the thread the program is silent, which is no reason not to work.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_all(writer, &note));
        outlet
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut writer: impl Write, note: &dyn Fn(Dropped) -> String) {
        let mut chunk = Vec::new();
        loop {
            self.take(&mut chunk);
            write_patiently(&mut writer, &chunk);
            chunk.clear();
            chunk.shrink_to(IDLE_BYTES_MAX);
            let mut state = self.state();
            state.stalled = false;
            if state.dropped != Dropped::default() {
                let text = note(std::mem::take(&mut state.dropped));
                state.waiting.splice(0..0, text.into_bytes());
            }
        }
    }

    /// Waits for something to write.
    fn take(&self, chunk: &mut Vec<u8>) {
        let mut state = self.state();
        state.busy = false;
        while state.waiting.is_empty() {
            self.shared.drained.notify_all();
            state = self.shared.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.waiting, chunk);
        state.busy = true;
        self.shared.drained.notify_all();
        self.shared.room.notify_waiters();
    }

    /// Takes one of our own events; a full buffer is waited for shortly, then the event is dropped and counted.
    pub(crate) fn push_event(&self, line: &[u8]) {
        let fits = |state: &State| state.waiting.len() + line.len() <= ROOM_BYTES_MAX + EVENTS_BYTES_MAX;
        let mut state = self.state();
        let patient_until = Instant::now() + EVENT_PATIENCE;
        while !fits(&state) && !state.stalled {
            let left = patient_until.saturating_duration_since(Instant::now());
            state.stalled = left.is_zero();
            state = self.wait_for_writer(state, left);
        }
        if fits(&state) {
            state.waiting.extend_from_slice(line);
            self.shared.filled.notify_one();
        } else {
            state.dropped.lines += 1;
            state.dropped.bytes += line.len() as u64;
        }
    }

    /// Takes lines of a program's output, waiting a while for room; answers how many bytes were dropped instead.
    /// Dropping the future loses nothing: `lines` is emptied only when it was taken or dropped.
    pub(crate) async fn push_output(&self, lines: &mut Vec<u8>, count: u64) -> u64 {
        let patient_until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if let Some(dropped) = self.offer(lines, count, tokio::time::Instant::now() >= patient_until) {
                return dropped;
            }
            // An error means that patience is over; the next offer is the last.
            let _ = tokio::time::timeout_at(patient_until, room).await;
        }
    }

    /// `None` when there is no room and it is worth waiting.
    fn offer(&self, lines: &mut Vec<u8>, count: u64, patience_is_over: bool) -> Option<u64> {
        let mut state = self.state();
        if state.waiting.is_empty() || state.waiting.len() + lines.len() <= ROOM_BYTES_MAX {
            state.waiting.append(lines);
            self.shared.filled.notify_one();
            return Some(0);
        }
        if !state.stalled && !patience_is_over {
            return None;
        }
        state.stalled = true;
        let bytes = lines.len() as u64;
        state.dropped.lines += count;
        state.dropped.bytes += bytes;
        lines.clear();
        Some(bytes)
    }

    /// Waits until everything is written, at most this long.
    pub(crate) fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.state();
        while state.busy || !state.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wait_for_writer(state, left);
        }
    }

    fn wait_for_writer<'a>(&'a self, state: MutexGuard<'a, State>, patience: Duration) -> MutexGuard<'a, State> {
        let waited = self.shared.drained.wait_timeout(state, patience);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Each write is one event.
impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push_event(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that is slow is waited for; one that is gone loses what it would have read.
fn write_patiently(writer: &mut impl Write, mut bytes: &[u8]) {
    const LOOK_AGAIN: Duration = Duration::from_millis(20);
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return,
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK_AGAIN),
            Err(_) => return,
        }
    }
    // Standard output keeps an unfinished line to itself; ours are whole.
    let _ = writer.flush();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that reads when told to, and tells what it read.
    struct Reader {
        turns: mpsc::Receiver<()>,
        read: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.turns.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.read.send(bytes.to_owned()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn outlet() -> (Outlet, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
        let (turn, turns) = mpsc::channel();
        let (read, pages) = mpsc::channel();
        let note = |dropped: Dropped| format!("{} lines dropped\n", dropped.lines);
        (Outlet::start(Reader { turns, read }, note), turn, pages)
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_bounded_and_counted_and_said() {
        let (outlet, turn, pages) = outlet();
        let (mut dropped, mut pushed) = (0, 0);
        while dropped < 1_000_000 {
            let mut lines = vec![b'x'; 10_000];
            pushed += 10_000;
            dropped += outlet.push_output(&mut lines, 1).await;
        }
        assert!(pushed - dropped <= 2 * (ROOM_BYTES_MAX as u64), "{pushed} {dropped}");
        (0..10).for_each(|_| turn.send(()).unwrap());
        let mut read = Vec::new();
        let kept = usize::try_from(pushed - dropped).unwrap();
        while read.len() <= kept {
            read.extend(pages.recv_timeout(Duration::from_secs(60)).unwrap());
        }
        let text = String::from_utf8(read).unwrap();
        assert!(text.contains(&format!("{} lines dropped\n", dropped / 10_000)), "{}", text.len());
        assert_eq!(text.matches('x').count(), kept);
    }

    #[test]
    fn a_flush_waits_for_a_reader_but_not_for_ever() {
        let (outlet, turn, pages) = outlet();
        outlet.push_event(b"one\n");
        let begin = Instant::now();
        outlet.flush(Duration::from_millis(50));
        assert!(begin.elapsed() >= Duration::from_millis(50));
        turn.send(()).unwrap();
        outlet.flush(Duration::from_secs(60));
        assert_eq!(pages.recv().unwrap(), b"one\n");
    }
}
