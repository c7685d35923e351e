//! Identity of a file's content, independent of its name and compression.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::file::{self, ReadError};

/// How much of the original bytes, from the start, makes the identity.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The start of a file's original bytes, read once.
pub struct Head(Vec<u8>);

/// Hash of a file's first bytes: `bytes` of them, at most [`HEAD_BYTES_MAX`].
/// A file that grew still begins with the bytes it was known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many bytes were hashed.
    pub bytes: u32,
    /// Hash of the first line, which does not change when the file grows.
    pub first_line: u64,
    /// Hash of all `bytes`, as 32 hexadecimal digits.
    #[serde(with = "hex")]
    pub hash: u128,
}

impl Head {
    /// Reads the first original bytes of a file. An archive damaged within them is known by those before the damage.
    ///
    /// # Errors
    /// When the file cannot be opened, or not one byte can be read.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let (_, source) = file::open(path)?;
        let mut bytes = Vec::new();
        match source.take(HEAD_BYTES_MAX as u64).read_to_end(&mut bytes) {
            Err(error) if bytes.is_empty() => Err(ReadError::Read { path: path.to_owned(), error }),
            _ => Ok(Self(bytes)),
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The identity of these bytes.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint { bytes: self.0.len() as u32, first_line: self.first_line(), hash: xxh3_128(&self.0) }
    }

    /// Hash of the first line (the terminator included, so that a cut line is another line).
    pub fn first_line(&self) -> u64 {
        let end = memchr::memchr2(b'\n', b'\r', &self.0).map_or(self.0.len(), |at| at + 1);
        xxh3_64(&self.0[..end])
    }

    /// Whether a file known by `print` begins with, or has grown into, these bytes.
    pub fn continues(&self, print: &Fingerprint) -> bool {
        let bytes = print.bytes as usize;
        bytes > 0 && bytes <= self.0.len() && xxh3_128(&self.0[..bytes]) == print.hash
    }
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{hash:032x}"))
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<u128, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grown_file_continues_and_another_one_does_not() {
        let short = Head(b"one\ntwo\n".to_vec());
        let print = short.fingerprint();
        assert!(Head(b"one\ntwo\nthree\n".to_vec()).continues(&print));
        assert!(!Head(b"one\ntw0\nthree\n".to_vec()).continues(&print));
        assert!(!Head(b"one\n".to_vec()).continues(&print));
        assert!(!Head(Vec::new()).continues(&Head(Vec::new()).fingerprint()));
    }

    #[test]
    fn a_print_survives_the_journal() {
        let print = Head(b"one\n".to_vec()).fingerprint();
        let text = serde_json::to_string(&print).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), print);
    }
}
