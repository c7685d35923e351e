//! A client that hands in mail, and says what it was told.
#![expect(clippy::expect_used, reason = "a client that cannot talk fails the journey")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

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
    let stream = connect(address);
    let mut reader = BufReader::new(stream);
    let greeting = hear(&mut reader);
    let mut answer = hand_in(&mut reader, from, to, text);
    answer.0.insert(0, greeting);
    answer
}

/// The same after STARTTLS, to a server whose certificate names `localhost` and comes from `authority` (PEM).
///
/// # Panics
/// When the server does not offer TLS, or cannot be trusted.
pub fn submit_in_tls(address: SocketAddr, authority: &str, from: &str, to: &[&str], text: &str) -> Answer {
    let mut reader = BufReader::new(connect(address));
    hear(&mut reader);
    assert!(ask(&mut reader, "EHLO client.example").starts_with("250"));
    let go = ask(&mut reader, "STARTTLS");
    assert!(go.starts_with("220"), "{go}");
    let stream = StreamOwned::new(tls_client(authority), reader.into_inner());
    hand_in(&mut BufReader::new(stream), from, to, text)
}

fn tls_client(authority: &str) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate");
    roots.add(authority).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), "localhost".try_into().expect("a name")).expect("a client")
}

fn hand_in<S: Read + Write>(reader: &mut BufReader<S>, from: &str, to: &[&str], text: &str) -> Answer {
    let mut answers = Vec::new();
    let mut commands = vec!["EHLO client.example".to_owned(), format!("MAIL FROM:<{from}>")];
    commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
    commands.push("DATA".to_owned());
    commands.push(format!("{}\r\n.", text.replace('\n', "\r\n")));
    for command in commands {
        let answer = ask(reader, &command);
        let refused = answer.starts_with(['4', '5']);
        answers.push(answer);
        if refused {
            break;
        }
    }
    // The answer to a farewell does not matter.
    let _ = reader.get_mut().write_all(b"QUIT\r\n");
    let _ = reader.read_line(&mut String::new());
    Answer(answers)
}

fn ask<S: Read + Write>(reader: &mut BufReader<S>, command: &str) -> String {
    reader.get_mut().write_all(format!("{command}\r\n").as_bytes()).expect("a server that listens");
    reader.get_mut().flush().expect("a server that listens");
    hear(reader)
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
