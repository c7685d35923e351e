//! One connection of a client, from the greeting to the last word.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};

use super::wire::{Tap, decode};
use super::{Auth, Inside, Login, Manners, Message, Mood, Tls, lock};

/// Far longer than any client is silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

struct Session<'a> {
    stream: Box<dyn Stream>,
    inside: &'a Arc<Inside>,
    in_tls: bool,
    logged_in: bool,
    from: String,
    to: Vec<String>,
}

enum Next {
    Goes,
    StartTls,
    Ends,
}

pub(super) fn serve(stream: &TcpStream, inside: &Arc<Inside>) {
    // A session that fails has been heard to the point where it failed.
    let _ = talk(stream, inside);
}

fn talk(stream: &TcpStream, inside: &Arc<Inside>) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let manners = *lock(&inside.manners);
    let tapped = Tap::on(stream.try_clone()?, inside);
    let in_tls = manners.tls == Tls::Implicit;
    let plain: Box<dyn Stream> = if in_tls { encrypted(tapped, inside)? } else { Box::new(tapped) };
    let mut session = Session { stream: plain, inside, in_tls, logged_in: false, from: String::new(), to: Vec::new() };
    if manners.mood == Mood::Silent {
        thread::sleep(SILENCE_MAX);
        return Ok(());
    }
    if let Mood::GreetsLate(pause) = manners.mood {
        thread::sleep(pause);
    }
    session.say("220 stand-in ESMTP")?;
    loop {
        let line = session.hear()?;
        lock(&inside.seen).commands.push(line.clone());
        match session.answer(&line)? {
            Next::Goes => {}
            Next::Ends => return Ok(()),
            Next::StartTls => {
                session.stream = encrypted(Tap::on(stream.try_clone()?, inside), inside)?;
                session.in_tls = true;
            }
        }
    }
}

fn encrypted(tapped: Tap, inside: &Arc<Inside>) -> io::Result<Box<dyn Stream>> {
    let connection = ServerConnection::new(inside.authority.server()).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(connection, tapped)))
}

impl Session<'_> {
    fn manners(&self) -> Manners {
        *lock(&self.inside.manners)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        self.stream.flush()
    }

    /// One line. Byte by byte, so that nothing of a TLS handshake is read too early.
    fn hear(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            if self.stream.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match byte[0] {
                b'\n' => return Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()),
                other => line.push(other),
            }
        }
    }

    fn answer(&mut self, line: &str) -> io::Result<Next> {
        let word = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        if let Some((_, lines)) = self.manners().says.filter(|(command, _)| answers(command, &word)) {
            self.say(lines)?;
            return Ok(Next::Goes);
        }
        match word.as_str() {
            "EHLO" | "HELO" => self.greet()?,
            "STARTTLS" if !self.in_tls && self.manners().tls == Tls::StartTls => {
                self.say("220 2.0.0 go ahead")?;
                return Ok(Next::StartTls);
            }
            "AUTH" => self.log_in(line)?,
            "MAIL" => self.mail(line)?,
            "RCPT" => self.recipient(line)?,
            "DATA" => return self.message(),
            "RSET" => {
                self.to.clear();
                self.say("250 2.0.0 ok")?;
            }
            "NOOP" => self.say("250 2.0.0 ok")?,
            "QUIT" => {
                self.say("221 2.0.0 bye")?;
                return Ok(Next::Ends);
            }
            _ => self.say("502 5.5.2 what?")?,
        }
        Ok(Next::Goes)
    }

    fn greet(&mut self) -> io::Result<()> {
        let manners = self.manners();
        self.say("250-stand-in")?;
        if manners.tls == Tls::StartTls && !self.in_tls {
            self.say("250-STARTTLS")?;
        }
        match manners.auth {
            Auth::InTls(mechanisms) if self.in_tls => self.say(&format!("250-AUTH {mechanisms}"))?,
            Auth::Always(mechanisms) => self.say(&format!("250-AUTH {mechanisms}"))?,
            _ => {}
        }
        self.say("250 8BITMIME")
    }

    fn log_in(&mut self, line: &str) -> io::Result<()> {
        let mut words = line.split(' ').skip(1).map(str::to_owned);
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let initial = words.next();
        let (user, password) = match mechanism.as_str() {
            "PLAIN" => {
                let answer = initial.map_or_else(|| self.ask(""), Ok)?;
                let parts = text(&answer);
                let mut parts = parts.splitn(3, '\0').skip(1).map(str::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            "LOGIN" => {
                let user = initial.map_or_else(|| self.ask("VXNlcm5hbWU6"), Ok)?;
                (text(&user), text(&self.ask("UGFzc3dvcmQ6")?))
            }
            "XOAUTH2" => {
                let answer = initial.map_or_else(|| self.ask(""), Ok)?;
                let words = text(&answer);
                let word =
                    |name: &str| words.split('\u{1}').find_map(|word| word.strip_prefix(name)).unwrap_or_default();
                (word("user=").to_owned(), word("auth=Bearer ").to_owned())
            }
            _ => return self.say("504 5.5.4 unknown mechanism"),
        };
        let by_token = mechanism == "XOAUTH2";
        let login = Login { mechanism, user, password, in_tls: self.in_tls };
        lock(&self.inside.seen).logins.push(login);
        if self.manners().rejects_login {
            if by_token {
                // The reason, and the client says nothing more: {"status":"401"}.
                self.ask("eyJzdGF0dXMiOiI0MDEifQ==")?;
            }
            return self.say("535 5.7.8 authentication credentials invalid");
        }
        self.logged_in = true;
        self.say("235 2.7.0 welcome")
    }

    fn ask(&mut self, challenge: &str) -> io::Result<String> {
        self.say(&format!("334 {challenge}"))?;
        self.hear()
    }

    fn mail(&mut self, line: &str) -> io::Result<()> {
        if self.manners().auth != Auth::Nobody && !self.logged_in {
            return self.say("530 5.7.0 authentication required");
        }
        self.from = address(line);
        self.to.clear();
        self.say("250 2.1.0 ok")
    }

    fn recipient(&mut self, line: &str) -> io::Result<()> {
        match self.manners().mood {
            Mood::Greylists => self.say("450 4.7.1 greylisted, come back later"),
            Mood::Refuses => self.say("550 5.1.1 no such user"),
            _ => {
                self.to.push(address(line));
                self.say("250 2.1.5 ok")
            }
        }
    }

    fn message(&mut self) -> io::Result<Next> {
        if self.to.is_empty() {
            self.say("554 5.5.1 no recipients")?;
            return Ok(Next::Goes);
        }
        if self.manners().mood == Mood::Drops {
            return Ok(Next::Ends);
        }
        self.say("354 go on")?;
        let mut text = String::new();
        loop {
            match self.hear()?.as_str() {
                "." => break,
                line => text.push_str(&format!("{}\n", line.strip_prefix('.').unwrap_or(line))),
            }
        }
        if let Mood::Slow(pause) = self.manners().mood {
            thread::sleep(pause);
        }
        let (from, to) = (self.from.clone(), self.to.clone());
        let message = Message { from, to, text, in_tls: self.in_tls, logged_in: self.logged_in };
        lock(&self.inside.seen).messages.push(message);
        self.say("250 2.0.0 taken")?;
        Ok(Next::Goes)
    }
}

/// A client whose EHLO is refused tries the older HELO.
fn answers(command: &str, word: &str) -> bool {
    command == word || (command == "EHLO" && word == "HELO")
}

/// What stands between `<` and `>`.
fn address(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map(|(address, _)| address.to_owned()).unwrap_or_default()
}

fn text(base64: &str) -> String {
    String::from_utf8_lossy(&decode(base64).unwrap_or_default()).into_owned()
}
