//! The wire below a session: every byte that comes in is copied before anything looks at it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::{Inside, lock};

/// A connection that is listened to.
pub struct Tap {
    stream: TcpStream,
    inside: Arc<Inside>,
}

impl Tap {
    pub fn on(stream: TcpStream, inside: &Arc<Inside>) -> Self {
        Self { stream, inside: Arc::clone(inside) }
    }
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        lock(&self.inside.seen).wire.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The ways in which bytes may appear on a wire: as they are, and inside base64 at each of its three offsets.
pub fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![bytes.to_vec()];
    for offset in 0..3 {
        let shifted = [&vec![0; offset][..], bytes].concat();
        let whole = encode(&shifted);
        // The first and the last letters depend on what stands beside.
        let from = [0, 2, 3][offset];
        let to = bytes.len().saturating_add(offset) / 3 * 4;
        if let Some(middle) = whole.get(from..to).filter(|middle| middle.len() >= 4) {
            forms.push(middle.to_vec());
        }
    }
    forms
}

fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().enumerate().fold(0_u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        let letters = (0..4).map(|at| ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]);
        text.extend(letters.enumerate().map(|(at, letter)| if at <= three.len() { letter } else { b'=' }));
    }
    text
}

/// The bytes of a base64 text; nothing when it is none.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bits = 0_u32;
    let mut count = 0;
    let mut bytes = Vec::new();
    for letter in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 255) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_goes_both_ways_and_is_found_at_any_offset() {
        for text in ["", "a", "ab", "abc", "\u{0}user\u{0}p$w#:\"\\ ü x"] {
            let encoded = String::from_utf8(encode(text.as_bytes())).unwrap();
            assert_eq!(decode(&encoded).unwrap(), text.as_bytes());
        }
        for before in ["", "\0", "\0u", "\0us", "\0user\0"] {
            let wire = encode(format!("{before}secret password").as_bytes());
            let found =
                forms(b"secret password").iter().any(|form| wire.windows(form.len()).any(|window| window == form));
            assert!(found, "{before:?}");
        }
    }
}
