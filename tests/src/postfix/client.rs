//! A client that hands in mail, and says what it was told.
#![expect(clippy::expect_used, reason = "a client that cannot talk fails the journey")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer of Postfix on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(40);

/// What a server said to each command.
#[derive(Debug)]
pub struct Answer(pub Vec<String>);

impl Answer {
    /// Whether the message was taken.
    pub fn accepted(&self) -> bool {
        self.0.last().is_some_and(|line| line.starts_with("250"))
    }
}

/// The first line that a server says.
///
/// # Panics
/// When it says nothing.
pub fn greeting(address: SocketAddr) -> String {
    let mut stream = connect(address);
    let line = hear(&mut BufReader::new(stream.try_clone().expect("a second handle")));
    stream.write_all(b"QUIT\r\n").expect("a server that listens");
    line
}

/// Hands in a message; stops at the first refusal.
///
/// # Panics
/// When the server goes away.
pub fn submit(address: SocketAddr, from: &str, to: &[&str], text: &str) -> Answer {
    let mut stream = connect(address);
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut answers = vec![hear(&mut reader)];
    let mut commands = vec!["EHLO client.example".to_owned(), format!("MAIL FROM:<{from}>")];
    commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
    commands.push("DATA".to_owned());
    commands.push(format!("{}\r\n.", text.replace('\n', "\r\n")));
    for command in commands {
        stream.write_all(format!("{command}\r\n").as_bytes()).expect("a server that listens");
        let answer = hear(&mut reader);
        let refused = answer.starts_with(['4', '5']);
        answers.push(answer);
        if refused {
            break;
        }
    }
    // The answer to a farewell does not matter.
    let _ = stream.write_all(b"QUIT\r\n");
    let _ = reader.read_line(&mut String::new());
    Answer(answers)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a server that listens");
    stream.set_read_timeout(Some(ANSWER_MAX)).expect("a limit");
    stream
}

/// The last line of an answer.
fn hear(reader: &mut impl BufRead) -> String {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        if line.as_bytes().get(3) != Some(&b'-') {
            return line.trim_end().to_owned();
        }
    }
}
