//! A server that takes bulk requests and throws them away: it only counts hits, so that the importer is what is measured.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use memchr::memmem::{self, Finder};

/// Answers every call of the API well enough for an importer to start, Piwik PRO's included.
const API_ANSWER: &str = concat!(
    r#"{"value":"5.0.2","idsite":"1","name":"bench","main_url":"https://www.example.org","timezone":"UTC","#,
    r#""token_type":"Bearer","access_token":"bench","#,
    r#""data":{"id":"1","attributes":{"name":"bench","urls":["https://www.example.org"]}}}"#,
);
/// Room for a head and the body of a usual batch; grows when a batch is larger.
const BUFFER_BYTES: usize = 1 << 20;
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// A listening sink. Its threads end with the process.
pub struct Sink {
    address: SocketAddr,
    hits: Arc<AtomicU64>,
}

impl Sink {
    /// Listen on a free port of the loopback address.
    pub fn start() -> io::Result<Self> {
        Self::slow(Duration::ZERO)
    }

    /// The same, but each connection waits so long for every KiB of a body before it answers.
    pub fn slow(per_kib: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let hits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&hits);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                // A connection that ends in the middle is the importer's end, not the sink's business.
                thread::spawn(move || drop(serve(stream, &counter, per_kib)));
            }
        });
        Ok(Self { address, hits })
    }

    /// Its base address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Hits since the last time this was asked.
    pub fn take_hits(&self) -> u64 {
        self.hits.swap(0, Ordering::Relaxed)
    }
}

/// Serve until killed, and say every few seconds what arrived.
pub fn stay(per_kib: Duration) -> anyhow::Result<()> {
    let sink = Sink::slow(per_kib)?;
    println!("{}", sink.url());
    loop {
        thread::sleep(REPORT_EVERY);
        match sink.take_hits() {
            0 => {}
            hits => println!("{hits} hits"),
        }
    }
}

fn serve(mut stream: TcpStream, counter: &AtomicU64, per_kib: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let marker = Finder::new(br#""idsite":"#);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    loop {
        let body_at = loop {
            if let Some(at) = memmem::find(&buffer[..filled], b"\r\n\r\n") {
                break at + 4;
            }
            filled += read_more(&mut stream, &mut buffer, filled)?;
        };
        let head = String::from_utf8_lossy(&buffer[..body_at]).to_ascii_lowercase();
        let end = body_at + header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        buffer.resize(end.max(buffer.len()), 0);
        if header(&head, "expect").is_some() && filled < end {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        while filled < end {
            filled += read_more(&mut stream, &mut buffer, filled)?;
        }
        let body = &buffer[body_at..end];
        let hits = marker.find_iter(body).count() as u64;
        // Before an import a server is asked by a hit that it must not record.
        if memmem::find(body, br#""rec":"0""#).is_none() {
            counter.fetch_add(hits, Ordering::Relaxed);
        }
        if hits > 0 && !per_kib.is_zero() {
            thread::sleep(per_kib.mul_f64((end - body_at) as f64 / 1024.0));
        }
        let closes = header(&head, "connection") == Some("close");
        stream.write_all(answer(hits, closes).as_bytes())?;
        if closes {
            return Ok(());
        }
        buffer.copy_within(end..filled, 0);
        filled -= end;
    }
}

fn read_more(stream: &mut TcpStream, buffer: &mut [u8], filled: usize) -> io::Result<usize> {
    match stream.read(&mut buffer[filled..])? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Without a hit it was a call of the API.
fn answer(hits: u64, closes: bool) -> String {
    let body = match hits {
        0 => API_ANSWER.to_owned(),
        _ => format!(r#"{{"status":"success","tracked":{hits},"invalid":0,"invalid_indices":[]}}"#),
    };
    let connection = if closes { "close" } else { "keep-alive" };
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_counted_over_one_connection_and_a_name_inside_a_value_is_none() {
        let sink = Sink::start().unwrap();
        let mut stream = TcpStream::connect(sink.address).unwrap();
        let body = r#"{"requests":[{"idsite":"1","ua":"\"idsite\":"},{"idsite":"1"}]}"#;
        for _ in 0..2 {
            write!(stream, "POST /piwik.php HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            let mut seen = vec![0; 4096];
            let count = stream.read(&mut seen).unwrap();
            assert!(String::from_utf8_lossy(&seen[..count]).contains(r#""tracked":2"#));
        }
        assert_eq!(sink.take_hits(), 4);
    }
}
