//! One connection: the relay on one side, Postfix on the other, in step.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tracing::{debug, warn};

use super::Way;
use crate::relay_probe::{self, Dialogue, Opened, Reply};

/// As long as Postfix itself waits for the end of a message.
const PATIENCE: Duration = Duration::from_secs(600);
/// A message goes on in parts of this size.
const PART_BYTES: usize = 32 << 10;
/// Postfix thinks that its mail goes in circles when a server has its own name.
const NAME: &str = "token-gate";
/// What a relay may offer to Postfix through us: nothing that would let the two get out of step.
const OFFERS: [&str; 5] = ["8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "SIZE", "SMTPUTF8"];

/// Serves Postfix until it goes.
pub fn serve(stream: TcpStream, way: &Way) {
    let mut postfix = Postfix(BufReader::new(stream));
    let opened = match open(way) {
        Ok(opened) => opened,
        Err(why) => {
            warn!(why, "the relay does not take mail with the token; mail waits");
            // Postfix is gone already, or hears it.
            let _ = postfix.say(&format!("421 4.7.0 {why}"));
            return;
        }
    };
    if let Err(error) = pass_on(&mut postfix, opened) {
        debug!(%error, "a connection through the gate broke; Postfix tries again");
        // The same.
        let _ = postfix.say(&format!("421 4.4.2 the connection to the relay broke: {error}"));
    }
}

fn open(way: &Way) -> Result<Opened, String> {
    let token = way.current.get().ok_or("there is no token yet")?;
    let opened = relay_probe::open(&way.relay, &token, &way.client)?;
    let dialogue = opened.dialogue.with_patience(PATIENCE).map_err(|error| error.to_string())?;
    Ok(Opened { dialogue, ..opened })
}

/// Postfix as our client.
struct Postfix(BufReader<TcpStream>);

impl Postfix {
    fn say(&mut self, line: &str) -> io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes())
    }

    fn tell(&mut self, reply: &Reply) -> io::Result<()> {
        reply.lines().iter().try_for_each(|line| self.say(line))
    }

    /// A line with its end; empty when Postfix has gone.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).map(|_| line)
    }
}

fn pass_on(postfix: &mut Postfix, opened: Opened) -> io::Result<()> {
    let Opened { dialogue: mut relay, offers } = opened;
    postfix.say(&format!("220 {NAME} ESMTP"))?;
    loop {
        let line = postfix.line()?;
        let command = String::from_utf8_lossy(&line).trim_end().to_owned();
        match command.split(' ').next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "" => return Ok(()),
            "EHLO" | "HELO" => offer(postfix, &offers)?,
            "DATA" => {
                let go = relay.ask(&command)?;
                postfix.tell(&go)?;
                if go.code == 354 {
                    message(postfix, &mut relay)?;
                    postfix.tell(&relay.hear()?)?;
                }
            }
            "QUIT" => {
                // The answer of a server that is left does not matter.
                let _ = relay.ask(&command);
                return postfix.say("221 2.0.0 bye");
            }
            _ => {
                let reply = relay.ask(&command)?;
                postfix.tell(&reply)?;
            }
        }
    }
}

fn offer(postfix: &mut Postfix, offers: &Reply) -> io::Result<()> {
    let words = offers.lines().iter().filter_map(|line| line.get(4..));
    let kept = words.filter(|offer| {
        let word = offer.split(' ').next().unwrap_or_default();
        OFFERS.iter().any(|known| known.eq_ignore_ascii_case(word))
    });
    for offer in kept {
        postfix.say(&format!("250-{offer}"))?;
    }
    postfix.say(&format!("250 {NAME}"))
}

/// Passes a message on to its last line, a dot.
fn message(postfix: &mut Postfix, relay: &mut Dialogue) -> io::Result<()> {
    let mut part = Vec::new();
    loop {
        let line = postfix.line()?;
        if line.is_empty() {
            // Without its dot the relay does not take the message.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        part.extend_from_slice(&line);
        let is_last = line == b".\r\n";
        if is_last || part.len() >= PART_BYTES {
            relay.send(&part)?;
            part.clear();
        }
        if is_last {
            return Ok(());
        }
    }
}
