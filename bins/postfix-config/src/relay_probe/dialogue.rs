//! Commands and replies of SMTP over a connection, encrypted or not.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use super::certificate::Trust;

const LINE_BYTES_MAX: usize = 4_096;
const LINES_MAX: usize = 100;

/// An answer of a server.
#[derive(Debug)]
pub struct Reply {
    /// Its number.
    pub code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// Its first line, with the number.
    pub fn first(&self) -> &str {
        self.lines.first().map_or("nothing", String::as_str)
    }

    /// All of its lines, each with the number.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Whether an answer to EHLO holds this word at the beginning of a line.
    pub fn offers(&self, word: &str) -> bool {
        self.words().any(|mut words| words.next().is_some_and(|first| first.eq_ignore_ascii_case(word)))
    }

    /// The mechanisms of AUTH in an answer to EHLO.
    pub fn mechanisms(&self) -> Vec<&str> {
        let auth = self
            .words()
            .find_map(|mut words| words.next().filter(|first| first.eq_ignore_ascii_case("AUTH")).map(|_| words));
        auth.into_iter().flatten().collect()
    }

    fn words(&self) -> impl Iterator<Item = std::str::SplitWhitespace<'_>> {
        self.lines.iter().map(|line| line.get(4..).unwrap_or_default().split_whitespace())
    }
}

enum Wire {
    Clear(TcpStream),
    Encrypted(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A talk with a server.
pub struct Dialogue {
    wire: Wire,
    patience: Duration,
}

impl Dialogue {
    /// On a connection, with so much patience for each answer.
    pub fn on(stream: TcpStream, patience: Duration) -> io::Result<Self> {
        Self { wire: Wire::Clear(stream), patience }.with_patience(patience)
    }

    /// Waits this long for each answer from now on.
    pub fn with_patience(mut self, patience: Duration) -> io::Result<Self> {
        let stream = match &self.wire {
            Wire::Clear(stream) => stream,
            Wire::Encrypted(stream) => &stream.sock,
        };
        stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience)))?;
        self.patience = patience;
        Ok(self)
    }

    /// How it is encrypted; nothing when it is not.
    pub fn cipher(&self) -> Option<String> {
        let Wire::Encrypted(stream) = &self.wire else { return None };
        let version = stream.conn.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
        let suite =
            stream.conn.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
        Some(format!("{version} {suite}"))
    }

    /// Goes on encrypted. What the server said too early is refused by the handshake, as it must be.
    pub fn encrypt(self, trust: &Trust) -> io::Result<Self> {
        let Wire::Clear(stream) = self.wire else { return Err(io::Error::other("it is encrypted already")) };
        let mut stream = StreamOwned::new(trust.connection()?, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { wire: Wire::Encrypted(Box::new(stream)), patience: self.patience })
    }

    /// Says a line and hears the answer.
    pub fn ask(&mut self, words: &str) -> io::Result<Reply> {
        self.send(format!("{words}\r\n").as_bytes())?;
        self.hear()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Clear(stream) => stream.write_all(bytes),
            Wire::Encrypted(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Hears an answer of one or more lines.
    pub fn hear(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let line = self.line()?;
            let code = line.get(..3).and_then(|digits| digits.parse().ok());
            let code = code.ok_or_else(|| io::Error::other(format!("this is no mail server; it says {line:?}")))?;
            let goes_on = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !goes_on {
                return Ok(Reply { code, lines });
            }
        }
        Err(io::Error::other("its answer has no end"))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while line.len() < LINE_BYTES_MAX {
            match self.byte()? {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        let text = String::from_utf8_lossy(&line);
        Ok(text.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect())
    }

    /// Byte by byte, so that nothing of a handshake is taken for an answer.
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        let count = match &mut self.wire {
            Wire::Clear(stream) => stream.read(&mut byte),
            Wire::Encrypted(stream) => stream.read(&mut byte),
        };
        match count {
            Ok(0) => Err(io::Error::other("the relay closed the connection")),
            Ok(_) => Ok(byte[0]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(io::Error::other(format!("the relay says nothing for {} seconds", self.patience.as_secs())))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_from_an_answer() {
        let lines = ["250-relay", "250-STARTTLS", "250-AUTH PLAIN LOGIN", "250 8BITMIME"].map(str::to_owned).to_vec();
        let reply = Reply { code: 250, lines };
        assert!(reply.offers("starttls") && !reply.offers("PLAIN"));
        assert_eq!(reply.mechanisms(), ["PLAIN", "LOGIN"]);
    }
}
