//! A port that greets as MariaDB does, and says no more.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

const BODY: &[u8] = b"\x0a10.11.14-MariaDB\0\x01\0\0\0abcdefgh\0";

/// A listener that is closed when it is dropped.
#[derive(Debug)]
pub struct Door {
    port: u16,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    /// Listen on this port of the loopback address; 0 for any that is free.
    ///
    /// # Panics
    /// When the port is taken.
    #[expect(clippy::expect_used, reason = "a journey without its database can only fail")]
    pub fn open(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port of the loopback address");
        let port = listener.local_addr().expect("the address of a listener").port();
        let closed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closed);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let length = u8::try_from(BODY.len()).unwrap_or(u8::MAX);
                // Whoever left does not want to be greeted.
                let _ = stream.write_all(&[&[length, 0, 0, 0], BODY].concat());
            }
        });
        Self { port, closed, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the thread up; it may be gone already.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
