//! A line that goes silent: connections stay open and nothing comes through any more.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A proxy in front of a server. Its threads end with the connections and with itself.
#[derive(Debug)]
pub struct Stall {
    port: u16,
    closed: Arc<AtomicBool>,
    passed: Arc<AtomicU64>,
}

impl Stall {
    /// Passes so many bytes from the server on each connection, then nothing in either direction.
    ///
    /// # Panics
    /// When there is no free port.
    #[expect(clippy::expect_used, reason = "a machine without a free port runs no test")]
    pub fn before(server: u16, bytes_max: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let stall = Self { port, closed: Arc::default(), passed: Arc::default() };
        let (closed, passed) = (stall.closed.clone(), stall.passed.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                let (closed, passed) = (closed.clone(), passed.clone());
                thread::spawn(move || serve(&client, server, bytes_max, &closed, &passed));
            }
        });
        stall
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that came through from the server so far.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the listener up.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(client: &TcpStream, server: u16, bytes_max: u64, closed: &AtomicBool, passed: &AtomicU64) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { return };
    let silent = AtomicBool::new(bytes_max == 0);
    thread::scope(|scope| {
        scope.spawn(|| forward(client, &server, u64::MAX, &silent, closed, None));
        scope.spawn(|| forward(&server, client, bytes_max, &silent, closed, Some(passed)));
    });
}

fn forward(
    from: &TcpStream,
    to: &TcpStream,
    bytes_max: u64,
    silent: &AtomicBool,
    closed: &AtomicBool,
    passed: Option<&AtomicU64>,
) {
    let (mut from, mut to) = (from, to);
    let mut buffer = [0; 8 << 10];
    let mut sum = 0;
    let _ = from.set_read_timeout(Some(Duration::from_millis(50)));
    while !closed.load(Ordering::Relaxed) {
        if silent.load(Ordering::Relaxed) {
            // Held open without a word until the client gives up and closes.
            let mut peeked = [0];
            match from.peek(&mut peeked) {
                Ok(0) => break,
                Ok(_) => thread::sleep(Duration::from_millis(20)),
                Err(error) if is_timeout(&error) => {}
                Err(_) => break,
            }
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
                sum += count as u64;
                if let Some(passed) = passed {
                    passed.fetch_add(count as u64, Ordering::Relaxed);
                }
                if sum >= bytes_max {
                    silent.store(true, Ordering::Relaxed);
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => break,
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
