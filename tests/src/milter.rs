//! A stand-in for a DKIM signer: a milter that adds a header to each message, as Postfix asks one.
#![expect(clippy::expect_used, reason = "a journey without its signer can only fail")]

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// What it adds.
pub const SIGNATURE: &str = "DKIM-Signature: v=1; d=example.org; b=stand-in";
/// Version 6 of the protocol, adding headers, and none of the steps that may be left out: 0x7f skips them all.
const NEGOTIATED: [u32; 3] = [6, 0x01, 0x7f];
/// More than any command holds.
const COMMAND_BYTES_MAX: usize = 1 << 20;

/// The signer. Its thread ends with the test.
pub struct Milter {
    address: SocketAddr,
}

impl Milter {
    /// One on a free port of the loopback.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the signer");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A relay that hangs up has no more to sign.
                thread::spawn(move || drop(serve(stream)));
            }
        });
        Self { address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A command is its length in four bytes, a letter, and its data; so is an answer.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut command = vec![0; (u32::from_be_bytes(length) as usize).min(COMMAND_BYTES_MAX)];
        stream.read_exact(&mut command)?;
        match command.first() {
            Some(b'O') => answer(&mut stream, b'O', &NEGOTIATED.map(u32::to_be_bytes).concat())?,
            // The end of the message.
            Some(b'E') => {
                let (name, value) = SIGNATURE.split_once(": ").unwrap_or_default();
                answer(&mut stream, b'h', format!("{name}\0{value}\0").as_bytes())?;
                answer(&mut stream, b'a', &[])?;
            }
            // Macros and farewells are not answered.
            Some(b'D' | b'A' | b'K') => {}
            Some(b'Q') | None => return Ok(()),
            Some(_) => answer(&mut stream, b'c', &[])?,
        }
    }
}

fn answer(stream: &mut TcpStream, letter: u8, data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len() + 1).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes(), [letter].as_slice(), data].concat())
}
