//! Matomo's archiving entry over HTTP, played by a thread: the log of an archiving as text, then the answer of the API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The token it knows.
pub const TOKEN: &str = "5ec2e7c0ffee0123456789abcdef0123";

/// How it answers a wish to archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plays {
    /// All goes well.
    Well,
    /// One site fails.
    Errors,
    /// The answer takes this long; the first half comes at once.
    Slowly(Duration),
    /// The connection ends in the middle.
    Cut,
    /// The gateway gives up.
    Gateway,
    /// Maintenance mode, for every question.
    Maintenance,
    /// A proxy with nobody behind it, for every question.
    Nobody,
    /// Every question is sent elsewhere.
    Moved,
    /// The token's user is no superuser.
    Forbidden,
    /// The answer is compressed, although nobody asked for that.
    Compressed,
    /// PHP ends without a word.
    Died,
    /// The answer ends early and nothing shows it.
    Short,
    /// Something else lives at the address.
    Page,
    /// Ten megabytes of lines come first.
    Flood,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its first line.
    pub line: String,
    /// Its body.
    pub body: String,
}

#[derive(Debug)]
struct Stage {
    plays: Mutex<Plays>,
    asked: Mutex<Vec<Asked>>,
    closed: AtomicBool,
}

/// A server that is closed when it is dropped.
#[derive(Debug)]
pub struct Web {
    port: u16,
    stage: Arc<Stage>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// Listen on a free port of the loopback address.
    ///
    /// # Panics
    /// When there is none.
    #[expect(clippy::expect_used, reason = "a journey without its stand-in can only fail")]
    pub fn open(plays: Plays) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of the loopback address");
        let port = listener.local_addr().expect("the address of a listener").port();
        let stage =
            Arc::new(Stage { plays: Mutex::new(plays), asked: Mutex::default(), closed: AtomicBool::new(false) });
        let seen = Arc::clone(&stage);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.closed.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let stage = Arc::clone(&seen);
                // A client that goes away is part of the play.
                thread::spawn(move || drop(serve(stream, &stage)));
            }
        });
        Self { port, stage, thread: Some(thread) }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.stage.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stage.closed.store(true, Ordering::Relaxed);
        // Wakes the thread up; it may be gone already.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request per connection.
fn serve(stream: TcpStream, stage: &Stage) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let asked = Asked { line: line.trim().to_owned(), body: body.clone() };
    stage.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let plays = *stage.plays.lock().unwrap_or_else(PoisonError::into_inner);
    answer(stream, &line, &body, plays)
}

fn answer(mut stream: TcpStream, line: &str, body: &str, plays: Plays) -> std::io::Result<()> {
    let head =
        |status: &str, kind: &str| format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    if plays == Plays::Nobody {
        return write!(stream, "{}<html>no server is available</html>", head("503 Service Unavailable", "text/html"));
    }
    if plays == Plays::Moved {
        let moved = "HTTP/1.1 301 Moved Permanently\r\nlocation: https://elsewhere.example.org/index.php\r\n";
        return write!(stream, "{moved}content-length: 0\r\nconnection: close\r\n\r\n");
    }
    if line.starts_with("GET /matomo.js ") {
        return write!(stream, "{}/* matomo */", head("200 OK", "application/javascript"));
    }
    let knows = body.contains(&format!("token_auth={TOKEN}"));
    if plays == Plays::Maintenance {
        return write!(stream, "{}<html>maintenance</html>", head("503 Service Unavailable", "text/html"));
    }
    if !knows {
        return write!(
            stream,
            "{}{{\"result\":\"error\",\"message\":\"no\"}}",
            head("401 Unauthorized", "application/json")
        );
    }
    if body.contains("method=API.getMatomoVersion") {
        return write!(stream, "{}{{\"value\":\"5.0.2\"}}", head("200 OK", "application/json"));
    }
    if body.contains("method=UsersManager.hasSuperUserAccess") {
        let yes = plays != Plays::Forbidden;
        return write!(stream, "{}{{\"value\":{yes}}}", head("200 OK", "application/json"));
    }
    if body.contains("method=CoreAdminHome.runScheduledTasks") {
        return write!(
            stream,
            "{}[{{\"task\":\"x\",\"output\":\"Time elapsed: 0.1s\"}}]",
            head("200 OK", "application/json")
        );
    }
    let text = head("200 OK", "text/plain; charset=utf-8");
    match plays {
        Plays::Gateway => write!(stream, "{}<html>gateway</html>", head("504 Gateway Timeout", "text/html")),
        Plays::Forbidden => write!(
            stream,
            "{}{{\"result\":\"error\",\"message\":\"You need superuser access\"}}",
            head("200 OK", "application/json")
        ),
        Plays::Compressed => {
            let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
            stream.write_all(&[head.as_bytes(), b"\x1f\x8b\x08\x00 squeezed"].concat())
        }
        Plays::Died => write!(stream, "{}", head("500 Internal Server Error", "text/html")),
        Plays::Short => write!(stream, "{text}{}", site(1)),
        Plays::Page => write!(stream, "{}<html>Welcome to nginx</html>", head("200 OK", "text/html")),
        Plays::Cut => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{}", site(1))?;
            stream.flush()
        }
        Plays::Slowly(pause) => {
            write!(stream, "{text}{}", site(1))?;
            stream.flush()?;
            thread::sleep(pause);
            write!(stream, "{}{}", site(2), end())
        }
        Plays::Flood => {
            write!(stream, "{text}")?;
            for number in 0..100_000 {
                writeln!(
                    stream,
                    "INFO CoreAdminHome[2026-11-24 10:00:00 UTC] [77] line {number} of a hundred thousand that say nothing"
                )?;
            }
            write!(stream, "{}{}", site(1), end())
        }
        Plays::Errors => {
            let error = format!(
                "Got invalid response from API request: ?module=API&idSite=2&token_auth={TOKEN}. Response was ''"
            );
            let text = head("500 Internal Server Error", "text/plain");
            write!(stream, "{text}{}{}", site(1), log("ERROR", &error))?;
            write!(stream, "{}", log("ERROR", "1 total errors during this script execution, please investigate"))?;
            write!(stream, "{{\"result\":\"error\",\"message\":\"1 total errors during this script execution\"}}")
        }
        Plays::Well | Plays::Maintenance | Plays::Nobody | Plays::Moved => {
            write!(stream, "{text}{}{}{}", site(1), site(2), end())
        }
    }
}

fn log(level: &str, text: &str) -> String {
    format!("{level} CoreAdminHome[2026-11-24 10:00:00 UTC] [77] {text}\n")
}

fn site(site: u32) -> String {
    let done = format!("Finished archiving for site {site}, 4 API requests, Time elapsed: 0.123s [{site} / 2 done]");
    log("INFO", &format!("Start processing archives for site {site}.")) + &log("INFO", &done)
}

fn end() -> String {
    log("INFO", "Done archiving!")
        + &log("INFO", "Processed 8 archives.")
        + "{\"result\":\"success\",\"message\":\"ok\"}"
}
