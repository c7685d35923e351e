//! A stand-in for the server of a provider that gives access tokens (OAuth 2.0), and remembers what it was asked.
#![expect(clippy::expect_used, reason = "a journey without its server can only fail")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Far longer than a question takes.
const QUESTION_MAX: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Inside {
    answer: (u16, String),
    asked: Vec<String>,
}

/// The server. Its thread ends with the test.
pub struct TokenServer {
    port: u16,
    inside: Arc<Mutex<Inside>>,
}

impl TokenServer {
    /// A server that gives this token for some seconds.
    ///
    /// # Panics
    /// When there is no port.
    pub fn giving(token: &str, seconds: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the token server");
        let port = listener.local_addr().expect("its port").port();
        let server = Self { port, inside: Arc::default() };
        server.gives(token, seconds);
        let inside = Arc::clone(&server.inside);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away early has its answer already, or wants none.
                let _ = serve(&stream, &inside);
            }
        });
        server
    }

    /// Where it gives tokens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// From now on it gives this one.
    pub fn gives(&self, token: &str, seconds: u64) {
        self.answers(200, &format!(r#"{{"access_token":"{token}","expires_in":{seconds},"token_type":"Bearer"}}"#));
    }

    /// From now on it answers so.
    pub fn answers(&self, status: u16, body: &str) {
        lock(&self.inside).answer = (status, body.to_owned());
    }

    /// The forms it was sent so far.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.inside).asked.clone()
    }
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    // A test that fails elsewhere must still be able to read it.
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, inside: &Mutex<Inside>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(QUESTION_MAX))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut form = vec![0; length];
    reader.read_exact(&mut form)?;
    let (status, body) = {
        let mut inside = lock(inside);
        inside.asked.push(String::from_utf8_lossy(&form).into_owned());
        inside.answer.clone()
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()))
}
