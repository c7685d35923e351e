//! A stand-in for Matomo's web side that obeys the two switches of a real configuration file, as was measured on Matomo 5.
#![expect(clippy::unwrap_used, reason = "a journey without its web server can only fail")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use maintenance::ini::Document;
use maintenance::switch::effective;

/// The only token it knows.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const HTML: &str = "<!DOCTYPE html><html><body>maintenance</body></html>";

/// The server. It stops when it is dropped.
#[derive(Debug)]
pub struct Web {
    port: u16,
    stopping: Arc<AtomicBool>,
    torn: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// A server that reads this configuration anew for each request.
    pub fn start(config: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stopping, torn) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stop, count) = (stopping.clone(), torn.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    let (config, count) = (config.clone(), count.clone());
                    thread::spawn(move || answer(&stream, &config, &count));
                }
            }
        });
        Self { port, stopping, torn, thread: Some(thread) }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How often the configuration could not be read.
    pub fn torn(&self) -> usize {
        self.torn.load(Ordering::SeqCst)
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a caller.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request, one answer; the caller may go away at any time.
fn answer(stream: &TcpStream, config: &PathBuf, torn: &AtomicUsize) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap_or(0) <= 2 {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let request = format!("{line}{}", String::from_utf8_lossy(&body));
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, kind, text) = judge(&path, &request, config, torn);
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let mut stream = stream;
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
    let _ = stream.shutdown(Shutdown::Write);
}

fn judge(path: &str, request: &str, config: &PathBuf, torn: &AtomicUsize) -> (u16, &'static str, String) {
    let parsed = std::fs::read(config).ok().and_then(|text| Document::parse(text).ok());
    let Some(document) = parsed else {
        torn.fetch_add(1, Ordering::SeqCst);
        return (500, "text/html", HTML.to_owned());
    };
    let state = effective(&document);
    if path.starts_with("/matomo.php") || path.starts_with("/piwik.php") {
        return if state.tracking {
            (200, "text/html", "This resource is part of Matomo".to_owned())
        } else {
            (503, "image/gif", "GIF89a".to_owned())
        };
    }
    if !state.ui {
        let is_one_of_many = document.get("General", "multi_server_environment").as_deref() == Some("1");
        return (if is_one_of_many { 200 } else { 503 }, "text/html", HTML.to_owned());
    }
    if request.contains(&format!("token_auth={TOKEN}")) {
        return (200, "application/json", "{\"value\":\"5.0.2\"}".to_owned());
    }
    if request.contains("module=API") {
        return (401, "application/json", "{\"result\":\"error\",\"message\":\"You must be logged in\"}".to_owned());
    }
    (200, "text/html", "<html>Matomo</html>".to_owned())
}
